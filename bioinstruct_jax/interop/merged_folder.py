"""The folder of a merged model: what stands in it beside the weights, and when it counts as finished.

`begin` marks the folder as unfinished, then come weights and everything else, and `finish` writes ``config.json``,
without which no tool takes it for a model, and removes the mark. An interrupted export is done again from the start.
"""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
from upath import UPath

from bioinstruct_jax import files
from bioinstruct_jax.config import Shape
from bioinstruct_jax.data.records import Record
from bioinstruct_jax.data.tokens import encode_prompt
from bioinstruct_jax.interop import hub_config
from bioinstruct_jax.interop.hub_config import GENERATION, MODEL_FILES
from bioinstruct_jax.interop.peft_adapter import PROMPT
from bioinstruct_jax.interop.wording import Words

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
    if wrong := files.hindrance(out):
        raise ValueError(f"--out {out} cannot be made: {wrong}; choose another")
    held = sorted(file.name for file in out.iterdir()) if out.is_dir() else []
    if held and MARK not in held:
        more = f" and {len(held) - 3} more" if len(held) > 3 else ""
        raise ValueError(
            f"--out {out} holds {', '.join(held[:3])}{more}, and is no unfinished export: nothing was changed. "
            "Choose another folder, or empty this one"
        )


def begin(out: UPath) -> None:
    """Make a folder that was checked and mark it as unfinished; what an unfinished export left there is removed."""
    files.make_folder(out)
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
    return Path(folder.path).resolve() if files.is_local(folder) else folder


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
