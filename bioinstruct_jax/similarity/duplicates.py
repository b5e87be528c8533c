"""Rows that say what an earlier row says: the same text, or nearly."""

import hashlib
import unicodedata

from bioinstruct_jax.similarity.join import THRESHOLD, Match, Near

_BYTES = 16


def normalised(text: str) -> str:
    """What must be equal for texts to be the same: in Unicode's composed form, without case, runs of blanks as one."""
    return " ".join(unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold()).split())


class Exact:
    """Normalised texts to be met again, of any length and alphabet, the empty one too.

    Kept as digests of 16 bytes (BLAKE2b): two different texts of a billion rows share one with a probability below
    2^-68. Memory: 80 to 160 bytes and the id a row, however long its text. It pickles.
    """

    def __init__(self) -> None:
        self._ids: dict[bytes, str] = {}

    def __len__(self) -> int:
        """Distinct texts."""
        return len(self._ids)

    def add(self, id: str, text: str) -> None:
        """One more text to be met; of equal ones the first is."""
        self._ids.setdefault(_digest(text), id)

    def find(self, text: str) -> str | None:
        """The id of the text that is the same, None where there is none."""
        return self._ids.get(_digest(text))


class NearDuplicates:
    """Keeps of a stream of rows those that are near to none kept before.

    What is kept depends on the rows and their order alone. A row that is near to a dropped one only is kept. Memory:
    what `join.Near` takes, for the rows kept.
    """

    def __init__(self, threshold: float = THRESHOLD):
        """Raises ValueError for a ROUGE-L F1 that is not above 0 and at most 1."""
        self._kept = Near(threshold)

    def see(self, id: str, text: str) -> Match | None:
        """The nearest kept row, of equals the earliest, for a row that is to be dropped; None keeps the row."""
        match = self._kept.find(text)
        if match is None:
            self._kept.add(id, text)
        return match


def _digest(text: str) -> bytes:
    return hashlib.blake2b(normalised(text).encode("utf-8", "surrogatepass"), digest_size=_BYTES).digest()
