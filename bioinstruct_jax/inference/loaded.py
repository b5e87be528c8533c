"""What reading a model is alike in, whatever runs it: where it lies, its words, and what was read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from bioinstruct_jax.interop import hub_config, locate, wording

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast
    from upath import UPath

    from bioinstruct_jax.interop.wording import Words

L = TypeVar("L")


@dataclass(frozen=True)
class Loaded(Generic[L]):
    """A model ready to answer.

    Attributes:
        base, adapter: the folders it was read from.
        words: tokenizer and prompt template of the adapter, or of the base; `words.record` is None where no template is
            recorded, and then the template is a guess.
    """

    language_model: L
    base: UPath
    adapter: UPath | None
    words: Words


def places(model: str | None, adapter: str | None) -> tuple[UPath, UPath | None]:
    """The folders of the base and of its adapter.

    Args:
        model: folder, bucket URL or hub id; None: the base that the adapter names.
        adapter: PEFT folder, run folder, bucket URL or hub id.

    Raises:
        ValueError: nothing is named, or a file is damaged.
        OSError: something is not there or may not be read.
    """
    if adapter is not None:
        place = locate.adapter(adapter)
        return locate.base(model, place), place
    if model is not None:
        return hub_config.locate(model, None, setting="--model"), None
    raise ValueError("give --model=FOLDER, --adapter=FOLDER, or both")


def words_of(base: UPath, adapter: UPath | None) -> tuple[Words, PreTrainedTokenizerFast]:
    """Words and tokenizer. Raises ValueError where neither has a tokenizer, or a file is damaged."""
    words = wording.read(adapter or base, base)
    if words.tokenizer is None:
        raise ValueError(
            f"{base}: no tokenizer there{' or beside the adapter' if adapter else ''}; put its files there"
        )
    return words, words.tokenizer


def check_rows(words: Words, base: UPath, rows: int) -> None:
    """Raises ValueError where a tokenizer has more ids than the base has rows of embedding."""
    if words.tokenizer is not None and len(words.tokenizer) > rows:
        raise ValueError(
            f"{words.folder}: the tokenizer has {len(words.tokenizer)} ids, {base} only {rows} embedding rows: they do "
            "not belong together"
        )


def ends(words: Words, base: UPath) -> frozenset[int]:
    """The tokens that end an answer."""
    assert words.tokenizer is not None
    eos = wording.generation(words, base)["eos_token_id"]
    known = (words.tokenizer.eos_token_id, *(eos if isinstance(eos, list) else [eos]))
    return frozenset(one for one in known if one is not None)
