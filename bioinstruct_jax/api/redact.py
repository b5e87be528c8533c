"""Keys stay out of all that is written, printed or raised: where one stands, `SIGN` is put instead."""

import logging
import re
from collections.abc import Iterable
from urllib.parse import quote

SIGN = "[key]"
LEAST = 8  # characters; what is shorter is a word such as EMPTY, no secret, and stands in honest text too
_LOGGERS = ("openai", "httpx2", "httpcore2", "httpx", "httpcore")


class Redactor:
    """Puts `SIGN` where a key stands: as it is, as in a URL, or with characters escaped as JSON may escape them."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = sorted({key for key in keys if len(key) >= LEAST}, key=len, reverse=True)
        self._plain = [form for key in self._keys for form in {key, quote(key, safe=""), quote(key)}]
        self._escaped = [re.compile("".join(map(_character, key)), re.IGNORECASE) for key in self._keys]

    def __call__(self, text: str) -> str:
        for form in self._plain:
            if form in text:
                text = text.replace(form, SIGN)
        if "\\u00" in text or "\\/" in text:  # no other escape can hide a key
            for pattern in self._escaped:
                text = pattern.sub(SIGN, text)
        return text


def _character(letter: str) -> str:
    r"""A pattern of a character as it may stand in JSON, or in JSON within JSON: ``s``, ``\s``, ``\u0073``.

    The backslashes before it belong to it, so that none is left to escape what follows.
    """
    return rf"(?:\\*(?:{re.escape(letter)}|(?<=\\)u{ord(letter):04x}))"


def silence() -> None:
    """Have the libraries beneath log nothing but what is critical: they would log addresses and headers."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
