"""YAML 1.2 as settings need it: plain values only, no duplicate keys, and the line of every key.

PyYAML alone reads YAML 1.1, in which `1e-4` is text and `yes`, `no`, `on`, `off` are booleans. Here its parser is used
with the core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#103-core-schema) and nodes are turned into values here.
"""

import re
from dataclasses import dataclass, field

import yaml

MOST_VALUES = 10_000  # aliases of aliases can make a small file endless
DEEPEST = 50

_TAG = "tag:yaml.org,2002:"
_CORE = (
    ("null", re.compile(r"~|null|Null|NULL|"), ["~", "n", "N", ""]),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE"), list("tTfF")),
    ("int", re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+"), list("-+0123456789")),
    (
        "float",
        re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
        list("-+.0123456789"),
    ),
)

Path = tuple[str | int, ...]


class YamlError(ValueError):
    """Text that is not YAML, or YAML that settings cannot be made of; `line` counts from 1."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line


@dataclass(frozen=True)
class Document:
    """The value of a YAML text, and the line on which each key or list item stands."""

    value: object
    lines: dict[Path, int] = field(default_factory=dict)


class _Reader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict = {}  # noqa: RUF012 - PyYAML's own attribute, emptied


class _Writer(yaml.SafeDumper):
    """Quotes what YAML 1.1 or 1.2 would take for something else than text; never writes aliases."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _text(writer: _Writer, text: str) -> yaml.ScalarNode:
    """PyYAML loses a lone line separator other than \\n outside double quotes."""
    return writer.represent_scalar(_TAG + "str", text, style=None if text.replace("\n", "").isprintable() else '"')


_Writer.add_representer(str, _text)
for _name, _pattern, _first in _CORE:
    _whole = re.compile(rf"(?:{_pattern.pattern})\Z")
    _Reader.add_implicit_resolver(_TAG + _name, _whole, _first)
    _Writer.add_implicit_resolver(_TAG + _name, _whole, _first)


def read(text: str) -> Document:
    """The one document in `text`: dicts with text keys, lists, text, int, float, bool, None.

    Raises:
      YamlError: a syntax error, a duplicate key, a tag or key that is no plain value, a text nested or repeated
        (aliases) beyond reason; the message says what, `line` says where.
    """
    try:
        node = yaml.compose(text, _Reader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlError(line, f"character {chr(error.character)!r} is not allowed in YAML") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = " ".join(part for part in (error.context, error.problem) if part)
        raise YamlError(mark.line + 1 if mark else 1, problem) from None
    except RecursionError:
        raise YamlError(1, f"nested more than {DEEPEST} deep") from None
    if node is None:
        return Document(None)
    lines: dict[Path, int] = {}
    return Document(_value(node, (), lines), lines)


def _value(node: yaml.Node, path: Path, lines: dict[Path, int]) -> object:
    line = node.start_mark.line + 1
    if len(path) > DEEPEST:
        raise YamlError(line, f"nested more than {DEEPEST} deep (or an alias that holds itself)")
    if len(lines) > MOST_VALUES:
        raise YamlError(line, f"more than {MOST_VALUES} values, aliases counted as often as they are used")
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node, line)
    if node.tag not in (_TAG + "seq", _TAG + "map"):
        raise YamlError(line, f"tag {node.tag} has no place in settings; write plain values")
    if isinstance(node, yaml.SequenceNode):
        items = []
        for index, item in enumerate(node.value):
            lines[*path, index] = item.start_mark.line + 1
            items.append(_value(item, (*path, index), lines))
        return items
    mapping: dict[str, object] = {}
    for key_node, item in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise YamlError(line, "a key has to be a word, not a list or mapping")
        key = key_node.value
        if key in mapping:
            raise YamlError(line, f"key {key!r} stands twice, first on line {lines[*path, key]}")
        lines[*path, key] = line
        mapping[key] = _value(item, (*path, key), lines)
    return mapping


def _scalar(node: yaml.ScalarNode, line: int) -> object:
    text, kind = node.value, node.tag.removeprefix(_TAG)
    try:
        match kind:
            case "str":
                return text
            case "null":
                return None
            case "bool":
                return {"true": True, "false": False}[text.lower()]
            case "int":
                return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))
            case "float":
                return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    except (ValueError, KeyError):
        raise YamlError(line, f"{text[:40]!r} cannot be read as {kind}") from None
    raise YamlError(line, f"tag {node.tag} has no place in settings; write plain values")


def write(value: object) -> str:
    """`value` (dicts, lists, text, numbers, bool, None) as YAML that `read` and YAML 1.1 readers take alike."""
    return yaml.dump(value, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=120)


def inline(value: object) -> str:
    """`value` on one line, for messages."""
    for style in (None, '"'):  # text of several lines needs the quoted form, in which a line break is \\n
        text = yaml.dump(
            value,
            Dumper=_Writer,
            sort_keys=False,
            allow_unicode=True,
            width=10**9,
            default_flow_style=True,
            default_style=style,
        )
        text = text.removesuffix("\n").removesuffix("\n...")
        if "\n" not in text:
            break
    return text
