"""New tokens to new text: whole characters only, and nothing from a stop text on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

_UNFINISHED = "\ufffd"  # what the first bytes of a character look like


class TextStream:
    """The text of one completion while it is written.

    Attributes:
        text: so far, without a stop text.
        tokens: so far, with the one that completed a stop text and none after it.
        stopped: whether a stop text came.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, stop: tuple[str, ...]):
        self._tokenizer, self._stop = tokenizer, stop
        self._shown = 0
        self.tokens: list[int] = []
        self.text, self.stopped = "", False

    def push(self, tokens: list[int]) -> None:
        """Take the next tokens; all after a stop text are dropped."""
        before = len(self.tokens)
        self.tokens += tokens
        self.text = self._decode(len(self.tokens))
        if self._cut(self.text) is None:
            return
        count = next(n for n in range(before + 1, len(self.tokens) + 1) if self._cut(self._decode(n)) is not None)
        self.tokens = self.tokens[:count]
        self.text, self.stopped = self._cut(self._decode(count)) or "", True

    def show(self, last: bool) -> str:
        """The text that was not shown yet, less what may be half a character or the beginning of a stop text."""
        end = len(self.text)
        if not last:
            end = len(self.text.rstrip(_UNFINISHED))
            held = (n for word in self._stop for n in range(1, len(word)) if self.text[:end].endswith(word[:n]))
            end -= max(held, default=0)
        new = self.text[self._shown : end]
        self._shown = max(self._shown, end)
        return new

    def _decode(self, count: int) -> str:
        text = self._tokenizer.decode(self.tokens[:count], skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(text)

    def _cut(self, text: str) -> str | None:
        """What stands before the first stop text; None if there is none."""
        places = [place for word in self._stop if (place := text.find(word)) >= 0]
        return text[: min(places)] if places else None
