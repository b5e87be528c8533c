"""One instruction, one row that is none, and the rules that tell them apart."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bioinstruct_jax.data import guard

FIELDS = ("id", "instruction", "input", "output", "category", "system", "messages", "licence", "text")


class SourceError(ValueError):
    """A source that cannot be read as a whole. The message names it and says what to do."""


class RowError(ValueError):
    """Why a row is bad. Where the message quotes a name or value of the row, ``bare`` is the reason without."""

    def __init__(self, message: str, bare: str = "") -> None:
        super().__init__(message)
        self.bare = bare or message


@dataclass(frozen=True, slots=True)
class Record:
    """An instruction and its output. ``history``: earlier turns as (user, assistant), oldest first.

    ``restricted``: its licence says so, and its texts go nowhere but into tokens (`guard`).
    """

    id: str
    instruction: str
    input: str
    output: str
    category: str = ""
    source: str = ""
    system: str = ""
    history: tuple[tuple[str, str], ...] = ()
    restricted: bool = False


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that is no record. ``line`` counts from 1; ``text``: its first 200 characters, unprintable ones escaped.

    Of a row that is restricted, or may be, ``text`` is the sign of `guard.shown`, and ``reason`` quotes nothing.
    """

    source: str
    line: int
    reason: str
    text: str


@dataclass(frozen=True, slots=True)
class Row:
    """What a reader found before anyone asked what it means. ``reason``: why ``value`` could not be had, or empty."""

    line: int
    value: object
    text: str = ""
    reason: str = ""

    def bad(self, source: str, why: RowError | str, *, hidden: bool) -> BadRow:
        """The bad row that this is; ``hidden``: nothing of it may be shown."""
        reason = why.bare if hidden and isinstance(why, RowError) else str(why)
        text = guard.shown(self.text or repr(self.value), hidden)[:200]
        escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
        return BadRow(source, self.line, reason, escaped)

    def hidden(self, key: str, labelled: Callable[[], bool]) -> bool:
        """Whether the row is restricted or may be: its licence cannot be read, and its file has the label somewhere.

        Args:
            key: the row's name for ``licence``.
            labelled: whether the file has; asked only where it matters.
        """
        if isinstance(self.value, dict) and key in self.value:
            licence = self.value[key]
            return guard.is_restricted(licence) if isinstance(licence, str) else True
        return labelled()


def from_fields(row: object, columns: Mapping[str, str], *, default_id: str, source: str) -> Record:
    """A record from ``instruction, input, output``, the form of Stanford Alpaca (Taori et al., 2023).

    ``columns`` maps our field to the row's. ``input``, ``category``, ``system``, ``licence`` and ``id`` may be null or
    absent. Raises RowError with the reason why the row is bad.
    """
    fields = _object(row)
    return Record(
        id=_id(fields, columns) or default_id,
        instruction=_required(fields, columns, "instruction"),
        input=_optional(fields, columns, "input"),
        output=_required(fields, columns, "output"),
        category=_optional(fields, columns, "category").strip(),
        source=source,
        system=_optional(fields, columns, "system"),
        restricted=guard.is_restricted(_optional(fields, columns, "licence")),
    )


def from_text(row: object, columns: Mapping[str, str], *, default_id: str, source: str) -> Record:
    """A record of text that answers nothing, from ``text``: its instruction is empty, its output the text.

    ``category``, ``licence`` and ``id`` may be null or absent. Raises RowError with the reason why the row is bad.
    """
    fields = _object(row)
    return Record(
        id=_id(fields, columns) or default_id,
        instruction="",
        input="",
        output=_required(fields, columns, "text"),
        category=_optional(fields, columns, "category").strip(),
        source=source,
        restricted=guard.is_restricted(_optional(fields, columns, "licence")),
    )


def from_messages(row: object, columns: Mapping[str, str], *, default_id: str, source: str) -> Record:
    """A record from ``messages`` with ``role`` and ``content``, the form of OpenAI's chat completions.

    An optional system message, then user and assistant in turn; the last is the assistant's and becomes the output.
    Content is text or a list of ``{"type": "text", "text": ...}``.
    Raises RowError with the reason why the row is bad.
    """
    fields = _object(row)
    key = columns.get("messages", "messages")
    messages = _value(fields, key)
    if not isinstance(messages, list):
        raise RowError(f"{key!r} is {_kind(messages)}, not a list", f"{key!r} is not a list")
    turns = [_turn(message, f"message {place}") for place, message in enumerate(messages, 1)]
    system = _optional(fields, columns, "system")
    if turns and turns[0][0] == "system":
        system = turns.pop(0)[1]
    due = ["user", "assistant"] * (len(turns) // 2)
    if not turns or [role for role, _ in turns] != due:
        order = ", ".join(role for role, _ in turns) or "none"
        raise RowError(
            f"{key!r}: the roles are {order}; due are user and assistant in turn (after at most one system message), "
            "the last one assistant"
        )
    texts = [text for _, text in turns]
    for place, text in enumerate(texts, 1):
        if not text.strip():
            raise RowError(f"{key!r}: turn {place} ({turns[place - 1][0]}) is empty")
    return Record(
        id=_id(fields, columns) or default_id,
        instruction=texts[-2],
        input="",
        output=texts[-1],
        category=_optional(fields, columns, "category").strip(),
        source=source,
        system=system,
        history=tuple(zip(texts[:-2:2], texts[1:-2:2], strict=True)),
        restricted=guard.is_restricted(_optional(fields, columns, "licence")),
    )


def _turn(message: object, place: str) -> tuple[str, str]:
    if not isinstance(message, dict):
        raise RowError(f"{place} is {_kind(message)}, not an object", f"{place} is not an object")
    role, content = message.get("role"), message.get("content")
    if role not in ("system", "user", "assistant"):
        known = "known are system, user, assistant"
        raise RowError(f"{place} has the role {str(role)[:40]!r}; {known}", f"{place} has an unknown role; {known}")
    if isinstance(content, list):
        for part in content:
            if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
                raise RowError(f'{place} has a content part that is not {{"type": "text", "text": ...}}')
        content = "".join(part["text"] for part in content)
    return str(role), _text(content, f"content of {place}")


def _object(row: object) -> dict[str, object]:
    if not isinstance(row, dict):
        raise RowError(f"the row is {_kind(row)}, not an object", "the row is not an object")
    return row


def _value(fields: dict[str, object], key: str) -> object:
    if key not in fields:
        found = ", ".join(repr(name)[:40] for name in list(fields)[:12])
        raise RowError(f"missing field {key!r} (found: {found or 'none'})", f"missing field {key!r}")
    return fields[key]


def _required(fields: dict[str, object], columns: Mapping[str, str], field: str) -> str:
    key = columns.get(field, field)
    text = _text(_value(fields, key), key)
    if not text.strip():
        raise RowError(f"{key!r} is empty")
    return text


def _optional(fields: dict[str, object], columns: Mapping[str, str], field: str) -> str:
    key = columns.get(field, field)
    value = fields.get(key)
    return "" if value is None else _text(value, key)


def _id(fields: dict[str, object], columns: Mapping[str, str]) -> str:
    key = columns.get("id", "id")
    value = fields.get(key)
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return _text(value, key).strip()


def _text(value: object, key: str) -> str:
    if not isinstance(value, str):
        raise RowError(f"{key!r} is {_kind(value)}, not text", f"{key!r} is not text")
    if "\0" in value:
        raise RowError(f"{key!r} contains a NUL character")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RowError(
            f"{key!r} contains a lone surrogate (U+{ord(value[error.start]):04X}): not valid Unicode"
        ) from None
    return value


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return f"the number {str(value)[:40]}"
        case list():
            return "a list"
        case dict():
            return "an object"
        case str():
            return "text"
    return f"of type {type(value).__name__}"
