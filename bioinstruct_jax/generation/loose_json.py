"""JSON as language models write it, read in one pass: time and memory grow with the length of the text, and nothing
that stands in it raises.

What is valid JSON is read as such. Besides: texts around it; several values one after another; raw line breaks in
strings; quotation marks inside strings that nobody escaped, where what follows shows that they end nothing; commas too
many; Python's True, False and None; and a text that ends too early. What else is wrong leaves a mark on the values
around it, and the reading goes on behind.
"""

import json
import re
from dataclasses import dataclass, field

DEEP = 50  # containers within containers; what lies deeper is not kept, and its containers are marked

_OPEN = re.compile(r'\{(?=\s*["}])|\[(?=\s*[\[{"\]])')  # in prose: not of "{10}", "[see below]"
# What follows a quotation mark that ends a string.
_ENDS = r"\s* (?: \Z | [:}\]] | ,\s*(?: [\"{}\[\]\d-] | [tT]rue | [fF]alse | null | None | \Z ) )"
# No group is possessive: Python below 3.11.5 matches those wrongly (CPython issue 106052).
_TOKEN = re.compile(
    r"""
    (?P<string> " (?P<inside> (?: [^"\\]++ | \\. | "(?! ENDS ) )* ) "(?= ENDS ) )
    | (?P<sign> [{}\[\],:] )
    | (?P<cut> " )
    | (?P<word> [^\s"{}\[\],:]++ )
    """.replace("ENDS", _ENDS),
    re.VERBOSE | re.DOTALL,
)
_SPACE = re.compile(r"\s*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
_WORDS = {"true": "true", "false": "false", "null": "null", "True": "true", "False": "false", "None": "null"}
_APOSTROPHE = re.compile(r"(\\[^'])|\\'", re.DOTALL)


class Literal(str):
    """A number, true, false or null, in the letters in which it stood: 1.50 stays 1.50."""

    __slots__ = ()


@dataclass(slots=True)
class Node:
    """An object or array.

    Attributes:
        fields: of an object, by key; ``entries``: of an array. The other one is None.
        start, end: characters of the text.
        sound: nothing in it was wrong, or had to be guessed.
        closed: it does not run into the end of the text.
        key, due: while an object is read: its last key, and what may follow (key, colon, value, comma).
    """

    start: int
    fields: "dict[str, Value] | None" = None
    entries: "list[Value] | None" = None
    end: int = 0
    sound: bool = True
    closed: bool = True
    key: str | None = field(default=None, repr=False)
    due: str = field(default="key", repr=False)

    @property
    def hollow(self) -> bool:
        """No text or number stands in it."""
        inside = self.entries if self.entries is not None else list((self.fields or {}).values())
        return all(isinstance(value, Node) and value.hollow for value in inside)

    def put(self, value: "Value") -> None:
        """The next value within."""
        if self.entries is not None:
            self.entries.append(value)
        elif self.fields is not None and self.due == "value" and self.key is not None:
            twice = self.key in self.fields
            self.sound &= not twice
            self.fields[f"\0{len(self.fields)}" if twice else self.key] = value
            self.due = "comma"
        elif self.due in ("key", "comma") and isinstance(value, str) and not isinstance(value, Literal):
            self.sound &= self.due == "key"
            self.key, self.due = value, "colon"
        else:
            self.sound = False
            if self.fields is not None and isinstance(value, Node):
                self.fields[f"\0{len(self.fields)}"] = value  # it has no name, and may hold items

    def sign(self, sign: str) -> None:
        """A comma or colon within."""
        if self.entries is not None:
            self.sound &= sign == ","
        elif sign == ",":
            self.sound &= self.due in ("comma", "key")
            self.due = "key"
        else:
            self.sound &= self.due == "colon"
            self.due = "value"

    def close(self, end: int, sign: str) -> None:
        """It ends with this bracket; an empty one: it runs into the end of the text."""
        self.end, self.closed = end, bool(sign)
        if self.fields is not None:
            self.sound &= self.due in ("comma", "key") or not sign
        self.sound &= not sign or sign == ("}" if self.fields is not None else "]")


Value = str | Node


def read(text: str) -> list[Node]:
    """The outermost objects and arrays of a text, in its order; those that its end cuts are not `Node.closed`."""
    found: list[Node] = []
    stack: list[Node] = []
    opened = {"{": 0, "[": 0}
    over = 0  # containers that are open and too deep to be kept
    place = 0

    def close(end: int, sign: str) -> None:
        node = stack.pop()
        opened["{" if node.entries is None else "["] -= 1
        node.close(end, sign)
        if stack:
            stack[-1].put(node)
            stack[-1].sound &= node.sound
            stack[-1].closed &= node.closed
        else:
            found.append(node)

    while token := (_TOKEN.match if stack else _OPEN.search)(text, place):
        place = token.end()
        sign = token[0] if len(token[0]) == 1 else ""
        if sign == "{" and stack and not over and stack[-1].fields is not None and stack[-1].due in ("key", "comma"):
            close(token.start(), sign)  # its own bracket is missing: what follows does not lie within
        if not stack or (sign in ("{", "[") and not over and len(stack) < DEEP):
            opened[sign] += 1
            stack.append(Node(token.start(), fields={}) if sign == "{" else Node(token.start(), entries=[]))
        elif sign in ("{", "["):
            stack[-1].sound = False
            over += 1
        elif sign in ("}", "]") and over:
            over -= 1
        elif sign in ("}", "]"):
            if opened["{" if sign == "}" else "["]:
                while ("}" if stack[-1].entries is None else "]") != sign:
                    close(place, sign)
                close(place, sign)
            else:
                stack[-1].sound = False
        elif token["cut"]:
            place = len(text)
            break
        elif over:
            pass
        elif sign and sign in ",:":
            stack[-1].sign(sign)
        elif token["word"]:
            _put_word(stack[-1], token["word"])
        else:
            _put_string(stack[-1], token["inside"])
        if stack:
            place = _SPACE.match(text, place).end()  # type: ignore[union-attr]  # it matches nothing, too
    while stack:
        close(len(text), "")
    return found


def _put_word(node: Node, word: str) -> None:
    if _NUMBER.fullmatch(word):
        node.put(Literal(word))
    elif word in _WORDS:
        node.put(Literal(_WORDS[word]))
    else:
        node.sound = False


def _put_string(node: Node, inside: str) -> None:
    if "\\" not in inside:
        node.put(inside)
        return
    plain = _APOSTROPHE.sub(lambda found: found[1] or "'", inside)  # \' is of JavaScript and means but one thing
    try:
        node.put(json.loads(f'"{_quoted(plain)}"', strict=False))
    except ValueError:  # an escape that is none
        node.put(inside)
        node.sound = False


def _quoted(inside: str) -> str:
    """With the quotation marks escaped that nobody had escaped."""
    return re.sub(r'(\\.)|"', lambda found: found[1] or '\\"', inside, flags=re.DOTALL)


def compact(value: Value) -> str:
    """A value as JSON on one line, numbers as they stood."""
    if isinstance(value, Literal):
        return str(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if value.entries is not None:
        return f"[{', '.join(map(compact, value.entries))}]"
    pairs = (f"{json.dumps(key, ensure_ascii=False)}: {compact(one)}" for key, one in (value.fields or {}).items())
    return f"{{{', '.join(pairs)}}}"
