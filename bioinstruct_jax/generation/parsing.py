"""What a teacher's answer holds: instructions, and parts that are none.

Asked for is ``{"tasks": [{"instruction", "input", "output", "is_classification"}, ...]}``. Read are also other
wrappers, a bare array, single objects, JSON lines, all of it in code fences and among prose (`loose_json`), and texts
with headings (`headed_text`).

Of an item, ``instruction`` must be text. ``input`` and ``output`` may be missing or null, which is empty; a number is
kept as it stood ("1.50"), an array or object becomes JSON on one line, as in the seeds. An input of "<noinput>", "N/A"
or "None" is empty. No part of a text is ever cut off at a number, so "20. " in a dose does no harm. `filters` judges
whether the texts are any good, empty ones too; here a part is broken only as

- ``empty``: the answer holds nothing;
- ``truncated``: the answer ends within it;
- ``malformed``: it has no instruction; it is not JSON where it has to be; the same field stands in it twice; or it has
  characters that are no text (NUL, lone surrogates, control characters: mostly LaTeX with single backslashes).

All functions take any text, raise nothing, and need time that grows with its length.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from bioinstruct_jax.generation.headed_text import FIELDS, sections
from bioinstruct_jax.generation.item import CATEGORIES, Broken, Item
from bioinstruct_jax.generation.loose_json import Literal, Node, Value, compact, read

SHOWN = 200  # characters of a broken part that are kept

_NO_TEXT = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")
_NO_INPUT = re.compile(
    r"\W*(?:no ?input|n/?a|none|null|nil|not applicable|no input (?:needed|required))\W*", re.IGNORECASE
)
_YES = ("true", "yes", "1")
# what a teacher may say for one of the four, besides its name
_SAID = {
    "qa": "question_answering",
    "question": "question_answering",
    "questionanswering": "question_answering",
    "questionandanswer": "question_answering",
    "informationextraction": "extraction",
    "ie": "extraction",
    "extract": "extraction",
    "textgeneration": "generation",
    "gen": "generation",
    "generate": "generation",
    "others": "other",
    "othertasks": "other",
} | {name.replace("_", ""): name for name in CATEGORIES}


def parse(text: str, *, truncated: bool) -> list[Item | Broken]:
    """Items and broken parts in the order in which they stand; at least one. Their places count from 0.

    Args:
        truncated: the server says that the answer was cut off. A text of headings does not show it; JSON does.
    """
    if not text.strip("\ufeff \t\r\n"):
        return [Broken(0, "empty", "")]
    nodes = read(text)
    parts = [part for node in nodes for part in _parts(node, text, listed=True)]
    if not any(part.fields.keys() & {"instruction"} for part in parts) and (found := sections(text)):
        parts = [_Part(section.fields, section.text, "" if section.sound else "malformed") for section in found]
        if truncated:
            parts[-1] = replace(parts[-1], reason="truncated")
    if not parts:
        cut = truncated or any(not node.closed for node in nodes)
        hollow = bool(nodes) and all(node.sound and node.hollow for node in nodes)
        parts = [_Part({}, text, "truncated" if cut else "empty" if hollow else "malformed")]
    return [part.judged(place) for place, part in enumerate(parts)]


def parse_answer(text: str) -> dict[str, str] | None:
    """The fields of the first sound object of an answer of one object; None where there is none.

    Names are in lower case. What is no text becomes one, as an output does; null becomes empty.
    """
    for node in read(text):
        if node.fields is None or not node.fields or not (node.sound and node.closed):
            continue
        fields = _texts(node.fields)
        if not any(_NO_TEXT.search(one) for one in fields.values()):
            return fields
    return None


def parse_categories(text: str, ids: Sequence[str]) -> dict[str, str]:
    """Categories of a batch by id, from objects with ``id`` and ``category`` or one object of id: category.

    Left out, so unknown, is an id that the answer does not name, or names with a label that is none of `CATEGORIES` nor
    another word for one, or with two that differ. Ids that nobody asked about are passed over.
    """
    asked = set(ids)
    found: dict[str, set[str]] = {}
    for node in read(text):
        for name, label in _labels(node):
            if name in asked:
                found.setdefault(name, set()).add(_SAID.get(re.sub(r"[\W_]+", "", label.lower()), ""))
    one = {name: next(iter(labels)) for name, labels in found.items() if len(labels) == 1}
    return {name: one[name] for name in ids if one.get(name)}


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of an answer; ``reason``: why it is broken, or empty."""

    fields: dict[str, str]
    text: str
    reason: str

    def judged(self, place: int) -> Item | Broken:
        reason = self.reason
        if not reason and ("instruction" not in self.fields or any(map(_NO_TEXT.search, self.fields.values()))):
            reason = "malformed"
        if reason:
            return Broken(place, reason, _NO_TEXT.sub(_escaped, self.text[:SHOWN]))
        fields = {name: self.fields.get(name, "").strip() for name in FIELDS}
        return Item(
            place,
            fields["instruction"],
            "" if _NO_INPUT.fullmatch(fields["input"]) else fields["input"],
            fields["output"],
            fields["is_classification"].lower() in _YES,
        )


def _escaped(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _parts(node: Node, text: str, *, listed: bool) -> Iterator[_Part]:
    """Of a value that is none of an item's own.

    Args:
        listed: it stands in an array or outermost, where an object without an instruction is an item gone wrong.
    """
    if node.entries is not None:
        objects = any(isinstance(entry, Node) and entry.fields is not None for entry in node.entries)
        for found, run in groupby(node.entries, lambda entry: isinstance(entry, Node)):
            entries = list(run)
            if not found and objects:  # what was meant to be an object
                yield _Part({}, ", ".join(map(compact, entries)), "malformed")
            for entry in entries:
                if isinstance(entry, Node):
                    yield from _parts(entry, text, listed=True)
        return
    fields = {key.strip().lower(): value for key, value in (node.fields or {}).items()}
    inner: list[_Part] = []
    for key, value in fields.items():  # of an item too, if a bracket went missing and it has swallowed others
        if isinstance(value, Node) and ("instruction" not in fields or not (node.sound or key in FIELDS)):
            inner += _parts(value, text, listed=False)
    yield from inner
    if inner and "instruction" not in fields:
        return
    begun = not node.hollow or (not node.closed and text[node.start + 1 : node.end].strip())
    if "instruction" in fields or "output" in fields or (listed and begun):
        words = isinstance(fields.get("instruction"), str) and not isinstance(fields["instruction"], Literal)
        once = len(fields) == len(node.fields or {})
        reason = "truncated" if not node.closed else "" if node.sound and words and once else "malformed"
        yield _Part(_texts(fields), text[node.start : node.end], reason)


def _texts(fields: Mapping[str, Value]) -> dict[str, str]:
    return {key.strip().lower(): _text(value) for key, value in fields.items()}


def _text(value: Value) -> str:
    if isinstance(value, Node):
        return compact(value)
    return "" if isinstance(value, Literal) and value == "null" else str(value)


def _labels(node: Node) -> Iterator[tuple[str, str]]:
    """Pairs of id and label in a value, whatever is around them."""
    for entry in node.entries or ():
        if isinstance(entry, Node):
            yield from _labels(entry)
    fields = {key.strip().lower(): value for key, value in (node.fields or {}).items()}
    name, label = fields.get("id"), fields.get("category", fields.get("label"))
    if isinstance(name, str) and label is not None:
        if isinstance(label, str) and node.closed and node.sound:
            yield name.strip(), label
        return
    for key, value in (node.fields or {}).items():
        if isinstance(value, Node):
            yield from _labels(value)
        elif node.sound:  # else a key may stand there twice
            yield key.strip(), value
