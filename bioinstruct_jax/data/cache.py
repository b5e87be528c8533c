"""Token rows and trained tokenizers, kept under a fingerprint of everything they follow from.

A cache is a folder or a bucket URL. Nothing in it is renamed, and no array is ever overwritten: writers at the same
time do each other no harm, and a reader never maps a file that changes.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Literal

import numpy as np

from bioinstruct_jax import files
from bioinstruct_jax.data import rows, tokenizer
from bioinstruct_jax.data.prompts import Template
from bioinstruct_jax.data.records import Record

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast
    from upath import UPath

MANIFEST = "manifest.json"

log = logging.getLogger(__name__)


def cached_rows(
    records: Sequence[Record],
    template: Template,
    fast: PreTrainedTokenizerFast,
    *,
    length: int,
    packing: bool,
    over_length: Literal["drop", "truncate_input", "raise", "split"],
    cache_dir: str,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> rows.Built:
    """``rows.build``, or its result from `cache_dir` if it is there and whole. The report gains the fingerprint.

    A damaged entry is reported and built again; a cache that cannot be written is reported and done without. The tokens
    of restricted records, which can be read back as text, are kept on a disk of this machine or not at all.

    Raises:
      ValueError: as ``rows.build``; or `cache_dir` is no path.
    """
    name = rows.fingerprint(records, template, fast, length=length, packing=packing, over_length=over_length)
    folder = files.path(cache_dir) / name
    if (found := load(folder, name)) is not None:
        on_progress(len(records), len(records))
        return found
    built = rows.build(
        records, template, fast, length=length, packing=packing, over_length=over_length, on_progress=on_progress
    )
    built.report["fingerprint"] = name
    if not files.is_local(folder) and any(record.restricted for record in records):
        log.warning("token rows of restricted records are not kept in %s, which is not on this machine", folder)
        return built
    try:
        save(folder, built)
    except Exception as error:  # a bucket's client raises what it likes; the rows are there all the same
        log.warning("token rows cannot be kept in %s (%s); going on without", folder, error)
    return built


def save(folder: UPath, built: rows.Built) -> None:
    """Writes the arrays into a sub-folder of their own, then the manifest that names it.

    Raises:
      OSError, or what the bucket's client raises, if something cannot be written; then no manifest was.
    """
    part = folder / uuid.uuid4().hex
    try:
        files.make_folder(part)
        arrays = {}
        for name in rows.DTYPES:
            buffer = io.BytesIO()
            np.save(buffer, getattr(built.rows, name), allow_pickle=False)
            (part / f"{name}.npy").write_bytes(buffer.getvalue())
            arrays[name] = {
                "file": f"{part.name}/{name}.npy",
                "sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
            }
        members = json.dumps(built.members).encode()
        (part / "members.json").write_bytes(members)
        arrays["members"] = {"file": f"{part.name}/members.json", "sha256": hashlib.sha256(members).hexdigest()}
        manifest = {"shape": list(built.rows.tokens.shape), "arrays": arrays, "report": built.report}
        files.write_text(folder / MANIFEST, json.dumps(manifest, indent=1))
    except BaseException:
        with suppress(Exception):
            for file in part.iterdir():
                file.unlink()
            part.rmdir()
        raise


def load(folder: UPath, name: str) -> rows.Built | None:
    """What `save` wrote, mapped from local disk or read from a bucket; None if absent or, with a warning, damaged."""
    try:
        if not folder.exists():
            return None
        if not (folder / MANIFEST).exists():
            raise ValueError(f"no {MANIFEST}: it was never finished")
        manifest = json.loads(files.read_text(folder / MANIFEST))
        if manifest["report"]["fingerprint"] != name:
            raise ValueError(f"its {MANIFEST} belongs to {manifest['report']['fingerprint']}")
        arrays = {key: _array(folder, manifest["arrays"][key]) for key in rows.DTYPES}
        for key, array in arrays.items():
            if list(array.shape) != manifest["shape"] or array.dtype != rows.DTYPES[key]:
                raise ValueError(f"{key} is {array.dtype} {array.shape}")
        entry = manifest["arrays"]["members"]
        members = (folder / entry["file"]).read_bytes()
        if hashlib.sha256(members).hexdigest() != entry["sha256"]:
            raise ValueError(f"{entry['file']} is not what was written")
        return rows.Built(rows.Rows(**arrays), manifest["report"], json.loads(members))
    except Exception as error:  # whatever damage does to JSON, to a header or to a bucket's client: build again
        log.warning("token rows in %s are damaged (%s: %s); building them again", folder, type(error).__name__, error)
        return None


def _array(folder: UPath, entry: dict[str, str]) -> np.ndarray:
    file = folder / entry["file"]
    if files.is_local(file):
        digest = files.sha256(file)
        source: str | io.BytesIO = str(file)
    else:
        content = file.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        source = io.BytesIO(content)
    if digest != entry["sha256"]:
        raise ValueError(f"{entry['file']} is not what was written")
    return np.load(source, mmap_mode="r" if isinstance(source, str) else None, allow_pickle=False)


def cached_tokenizer(texts: Sequence[str], vocab_size: int, *, cache_dir: str) -> PreTrainedTokenizerFast:
    """``tokenizer.train``, or its result from `cache_dir`, under a sha256 of texts and size.

    Raises:
      ValueError: as ``tokenizer.train``; or `cache_dir` is no path.
    """
    digest = hashlib.sha256(json.dumps([rows.FORMAT, vocab_size]).encode())
    for text in texts:
        digest.update(json.dumps(text).encode() + b"\n")
    file = files.path(cache_dir) / f"tokenizer-{digest.hexdigest()}.json"
    try:
        if file.exists():
            entry = json.loads(files.read_text(file))
            if hashlib.sha256(entry["tokenizer"].encode()).hexdigest() != entry["sha256"]:
                raise ValueError("it is not what was written")
            return tokenizer.from_json(entry["tokenizer"])
    except Exception as error:  # as in load
        log.warning("the tokenizer in %s is damaged (%s: %s); training it again", file, type(error).__name__, error)
    trained = tokenizer.train(texts, vocab_size)
    text = trained.backend_tokenizer.to_str()
    entry = {"sha256": hashlib.sha256(text.encode()).hexdigest(), "tokenizer": text}
    try:
        files.write_text(file, json.dumps(entry))
    except Exception as error:  # as in cached_rows
        log.warning("the tokenizer cannot be kept in %s (%s); going on without", file, error)
    return trained
