"""The folder of a merged model: what stands in it beside the weights, and when it counts as finished.

`begin` marks the folder as unfinished, then come weights and everything else, and `finish` writes ``config.json``,
without which no tool takes it for a model, and removes the mark. An interrupted export is done again from the start.
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast
from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.config import Shape
from bioinstruct_jax.data import prompts, tokenizer
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.data.tokens import encode_prompt
from bioinstruct_jax.interop import hub_config
from bioinstruct_jax.interop.hub_config import GENERATION, MODEL_FILES, TOKENIZER_FILES
from bioinstruct_jax.interop.peft_adapter import PROMPT

MARK = "export_unfinished.json"
CARD = "README.md"
_OURS = (CARD, PROMPT, *MODEL_FILES)  # beside the mark
_QUESTIONS = (
    ("Name the drug class of metoprolol.", ""),
    ("List every disease named in the text.", "She was treated for asthma and later developed type 2 diabetes."),
    ("Does the hypothesis follow from the premise?", "Premise: No fracture was seen. Hypothesis: A bone is broken."),
    ("Explain in two sentences what a randomised controlled trial is.", ""),
)
_LONGEST = 512  # tokens of a prompt that are compared


@dataclass(frozen=True)
class Words:
    """What of an adapter or its base has to do with text.

    Attributes:
        folder: of the tokenizer's files, None if neither has one.
        tokenizer: loaded from there.
        record: the adapter's prompt_template.json as it stands there, None without.
        template: the one that `record` names, or alpaca; None without a tokenizer.
    """

    folder: UPath | None
    tokenizer: PreTrainedTokenizerFast | None
    record: str | None
    template: prompts.Template | None


def words(adapter: UPath, base: UPath) -> Words:
    """The tokenizer, the adapter's own or else the base's, and the prompt template of an adapter.

    Raises:
        ValueError: a damaged file, or a template that this tokenizer cannot write.
    """
    file = adapter / PROMPT
    record = files.read_text(file) if file.exists() else None
    fields = hub_config.read_json(file) if record is not None else {"name": "alpaca"}
    folder = next((folder for folder in (adapter, base) if _tokenizer_files(folder)), None)
    if folder is None:
        return Words(None, None, record, None)
    loaded = tokenizer.load(str(folder))
    try:
        return Words(folder, loaded, record, prompts.template(str(fields.get("name")), loaded))
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from error


def _tokenizer_files(folder: UPath) -> list[UPath]:
    """The tokenizer's files in a folder; none unless there is one to load."""
    found = [file for file in folder.iterdir() if any(fnmatch(file.name, pattern) for pattern in TOKENIZER_FILES)]
    return sorted(found) if any(file.name in ("tokenizer.json", "tokenizer.model") for file in found) else []


def notes(words: Words, shape: Shape) -> list[str]:
    """What a user should know of the words of a merged model, a line each."""
    lines = []
    if words.tokenizer is None:
        lines.append("neither adapter nor base has a tokenizer: none is written, and random tokens are compared")
    elif len(words.tokenizer) > (shape.vocab_size or 0):
        lines.append(f"the tokenizer has {len(words.tokenizer)} ids, the model only {shape.vocab_size} rows for them")
    if words.record is None:
        lines.append(f"the adapter has no {PROMPT}: the template it was trained with is not known")
    elif words.template and json.loads(words.record).get("hash") != words.template.hash:
        lines.append(f"the hash in {PROMPT} is not that of this template with this tokenizer: prompts may differ")
    return lines


def rows(words: Words, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """Fixed prompts in the adapter's template, as tokens and segments int32 [B, S]; random tokens without a tokenizer.

    Raises:
        ValueError: the tokenizer gives ids that the model has no row for.
    """
    longest, vocabulary = min(_LONGEST, shape.max_position_embeddings), shape.vocab_size or 0
    if words.tokenizer is None or words.template is None:
        random = np.random.default_rng(0).integers(0, vocabulary, (len(_QUESTIONS), min(64, longest)), np.int32)
        return random, np.ones_like(random)
    records = [Record(id=text, instruction=text, input=more, output="") for text, more in _QUESTIONS]
    prompts = [encode_prompt(record, words.template, words.tokenizer)[:longest] for record in records]
    if (highest := max(int(prompt.max()) for prompt in prompts)) >= vocabulary:
        raise ValueError(
            f"{words.folder}: the tokenizer gives id {highest}, but the base has only {vocabulary} embedding rows: "
            "they do not belong together"
        )
    tokens = np.zeros((len(prompts), max(map(len, prompts))), np.int32)
    segments = np.zeros_like(tokens)
    for row, prompt in enumerate(prompts):
        tokens[row, : len(prompt)], segments[row, : len(prompt)] = prompt, 1
    return tokens, segments


# -------------------------------------------------------------------- the folder


def check(out: UPath, sources: dict[str, UPath]) -> None:
    """Refuse a folder that is not ours to write: nothing of a user's is ever replaced.

    Args:
        sources: folders that are read, by the name the user knows them under.

    Raises:
        ValueError: the folder is one of the sources or inside one, or holds something else than an unfinished export.
    """
    for name, source in sources.items():
        if _place(source) in (_place(out), *_place(out).parents):
            raise ValueError(f"--out {out} is {name} {source}, or inside it; choose another folder")
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file; choose a folder that does not exist yet")
    held = sorted(file.name for file in out.iterdir()) if out.is_dir() else []
    if held and MARK not in held:
        more = f" and {len(held) - 3} more" if len(held) > 3 else ""
        raise ValueError(
            f"--out {out} holds {', '.join(held[:3])}{more}, and is no unfinished export: nothing was changed. "
            "Choose another folder, or empty this one"
        )


def begin(out: UPath) -> None:
    """Make a folder that was checked and mark it as unfinished; what an unfinished export left there is removed."""
    out.mkdir(parents=True, exist_ok=True)
    files.write_text(out / MARK, '{"unfinished": "the same export command, run again, completes this folder"}\n')
    (out / "config.json").unlink(missing_ok=True)
    for file in list(out.iterdir()):
        if any(fnmatch(file.name, pattern) for pattern in _OURS):
            file.unlink()


@contextlib.contextmanager
def writing(out: UPath) -> Iterator[None]:
    """Around what writes the folder: an OSError, as of a full disk, says what it leaves behind."""
    try:
        yield
    except OSError as error:
        raise OSError(f"--out {out} is not finished ({error}); the same command, run again, starts it anew") from error


def _place(folder: UPath) -> Any:
    """A path that equals another one of the same folder."""
    return Path(folder.path).resolve() if folder.protocol in ("", "file", "local") else folder


def write_words(out: UPath, words: Words) -> None:
    """The tokenizer's files and prompt_template.json, as they stand where they come from."""
    for file in _tokenizer_files(words.folder) if words.folder else []:
        (out / file.name).write_bytes(file.read_bytes())
    if words.record is not None:
        files.write_text(out / PROMPT, words.record)


def generation(words: Words, base: UPath) -> dict[str, Any]:
    """The base's generation settings; answers also stop at the token that the template ends them with.

    Without a template it is the tokenizer's EOS token.
    """
    if words.tokenizer is None or words.template is None:
        return hub_config.generation(base, bos=None, end=None)
    end = tokenizer.token_id(words.template.end, words.tokenizer)
    return hub_config.generation(base, bos=words.tokenizer.bos_token_id, end=end)


def finish(out: UPath, shape: Shape, generation: dict[str, Any], dtype: str, card: str) -> None:
    """The files that say how to use the weights; config.json last.

    Raises:
        ValueError: config.json was read back with other values.
    """
    files.write_text(out / CARD, card)
    files.write_text(out / GENERATION, json.dumps(generation, indent=2) + "\n")
    tokens = {"bos": generation["bos_token_id"], "eos": generation["eos_token_id"]}
    hub_config.write_config(out, shape, **tokens, dtype=dtype)
    whole = replace(shape, num_key_value_heads=shape.key_value_heads, head_dim=shape.head_size)
    if hub_config.read_shape(out) != whole:
        (out / "config.json").unlink()
        raise ValueError(f"{out / 'config.json'} was read back with other values than were written; check the disk")
    (out / MARK).unlink()
