"""Loads a tokenizer, trains a small one, and says which of its tokens are control rather than text.

``python -m bioinstruct_jax.data.tokenizer --source seeds --vocab-size 2048 --out DIR`` trains one on a source.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from bioinstruct_jax import config, files
from bioinstruct_jax.resources import resource, shipped_base

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BOS, EOS = "<s>", "</s>"
SMALLEST = 256 + 2  # every byte, and the two special tokens
FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "tokenizer.model",
    "vocab.json",
    "merges.txt",
    "config.json",
)
PLAIN_WORD = re.compile(r"[\w\s-]*")


def load(path: str, revision: str | None = None) -> PreTrainedTokenizerFast:
    """Loads a fast tokenizer and changes nothing in it.

    Args:
      path: ``tiny`` (shipped), the name of a shipped base, a local folder, a bucket URL of such a folder, or a hub id.
      revision: branch, tag or commit of a hub id.

    Raises:
      ValueError: nothing is there, it needs code of its own, it has no fast form, or it has no EOS token.
    """
    if path == "tiny":
        tokenizer = _load(str(resource("configs", "tokenizers/tiny/tokenizer.json").parent), path, None)
    elif (shipped := shipped_base(path)) is not None:
        tokenizer = _load(str(shipped), path, None)
    elif "://" in path:
        with tempfile.TemporaryDirectory() as folder:
            _fetch(path, Path(folder))
            tokenizer = _load(folder, path, None)
    elif Path(path).expanduser().is_dir():
        tokenizer = _load(str(Path(path).expanduser()), path, None)
    elif path.startswith(("/", ".", "~")) or path.count("/") > 1:
        raise ValueError(f"tokenizer {path!r}: there is no such folder")
    else:
        tokenizer = _load(path, path, revision)
    if tokenizer.eos_token is None:
        raise ValueError(
            f"tokenizer {path!r} has no EOS token, so a model could never learn to stop; "
            'set "eos_token" in its tokenizer_config.json'
        )
    return tokenizer


def of_job(job: config.Train) -> PreTrainedTokenizerFast:
    """The tokenizer that a training job names, or else its base has; raises as `load`."""
    return load(job.tokenizer.path) if job.tokenizer.path else load(job.model.weights, job.model.revision)


def _load(where: str, path: str, revision: str | None) -> PreTrainedTokenizerFast:
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    try:
        # False, not left out: then transformers neither runs a repository's code nor asks at the terminal whether to
        tokenizer = AutoTokenizer.from_pretrained(where, revision=revision or "main", trust_remote_code=False)
    except Exception as error:  # transformers raises OSError, ValueError, KeyError, ImportError and bare Exception here
        at = f" (revision {revision})" if revision else ""
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise ValueError(f"tokenizer {path!r}{at} cannot be loaded: {reason}") from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise ValueError(f"tokenizer {path!r} has no fast form (tokenizer.json); convert it with transformers first")
    return tokenizer


def _fetch(path: str, folder: Path) -> None:
    found = 0
    for name in FILES:
        source = files.path(path) / name
        if source.exists():
            (folder / name).write_bytes(source.read_bytes())
            found += name.startswith("tokenizer")
    if not found:
        raise ValueError(f"tokenizer {path!r}: no tokenizer.json there")


def train(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Trains a byte-level BPE (Sennrich et al., 2016, on bytes as in GPT-2): the same texts give the same tokenizer.

    Every Unicode string survives encoding and decoding. ``<s>`` is 0, ``</s>`` is 1; there is no unknown token. With
    too little text for `vocab_size` the vocabulary is smaller.

    Raises:
      ValueError: `vocab_size` has no room for the 256 bytes and the two special tokens.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    if vocab_size < SMALLEST:
        raise ValueError(f"a vocabulary of {vocab_size}: {SMALLEST} is the least (256 bytes, {BOS} and {EOS})")
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[BOS, EOS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return from_json(backend.to_str())


def from_json(text: str) -> PreTrainedTokenizerFast:
    """A tokenizer of `train`'s kind from the text of its ``tokenizer.json``."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(text), bos_token=BOS, eos_token=EOS, clean_up_tokenization_spaces=False
    )


def definition(tokenizer: PreTrainedTokenizerFast) -> dict:
    """The tree of ``tokenizer.json`` without what an earlier call may have left in it (truncation, padding)."""
    return json.loads(tokenizer.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}


def fingerprint(tokenizer: PreTrainedTokenizerFast) -> str:
    """sha256 (hex) of the tokenizer: its ``tokenizer.json`` and the names of its special tokens."""
    special = {name: str(token) for name, token in tokenizer.special_tokens_map.items()}
    text = json.dumps([definition(tokenizer), special], sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def control_tokens(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    """The tokens that a text must never turn into, with their ids.

    Those are all special tokens, and the added ones that are written like markup (``<think>``, ``[INST]``). An added
    token of letters, digits, blanks and hyphens (``pembrolizumab``, a run of spaces) is vocabulary.
    """
    added = {
        token.content: index
        for index, token in tokenizer.added_tokens_decoder.items()
        if token.special or not PLAIN_WORD.fullmatch(token.content)
    }
    special = [str(token) for token in tokenizer.all_special_tokens]
    return added | {token: token_id(token, tokenizer) for token in special}


def token_id(token: str, tokenizer: PreTrainedTokenizerFast) -> int:
    """The id of exactly this token; ValueError if the vocabulary lacks it."""
    found = tokenizer.backend_tokenizer.token_to_id(token)
    if found is None:
        raise ValueError(f"token {token!r} is not in the tokenizer's vocabulary of {len(tokenizer)}")
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line: train a tokenizer and write its folder."""
    parser = argparse.ArgumentParser(
        prog="python -m bioinstruct_jax.data.tokenizer",
        description="Train a byte-level BPE on a source of instructions and save it as a folder transformers loads.",
    )
    parser.add_argument("--source", required=True, help="'seeds', a file, a folder, a bucket URL or a hub id")
    parser.add_argument("--columns", default="", help="our field=the file's, e.g. instruction=question,output=answer")
    parser.add_argument("--template", default="alpaca", choices=("alpaca", "medtuned", "llama2"), help="how to render")
    parser.add_argument("--vocab-size", type=int, required=True, help=f"tokens, at least {SMALLEST}")
    parser.add_argument("--out", required=True, help="folder to write")
    options = parser.parse_args(arguments)

    from bioinstruct_jax.data import dataset, mixture

    try:
        pairs = [pair.partition("=") for pair in options.columns.split(",") if pair]
        if bad := [ours for ours, _, theirs in pairs if not theirs]:
            raise ValueError(
                f"--columns {options.columns}: {bad[0]!r} is no pair; write instruction=question,output=answer"
            )
        columns = {ours.strip(): theirs.strip() for ours, _, theirs in pairs}
        source = TypeAdapter(config.Source).validate_python({"path": options.source, "columns": columns})
        mixed = mixture.mix((source,), seed=0, on_bad_row="report")
        tokenizer = train(dataset.texts(mixed.records, options.template), options.vocab_size)
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
    tokenizer.save_pretrained(options.out)
    print(
        f"{options.out}: {len(tokenizer)} tokens from {len(mixed.records)} records "
        f"({len(mixed.bad_rows)} bad rows left out), fingerprint {fingerprint(tokenizer)[:12]}"
    )


if __name__ == "__main__":
    main()
