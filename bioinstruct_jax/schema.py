"""What keys a configuration class of `config.py` has: for help, for the nearest valid key, for the command line."""

import difflib
import types
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic.dataclasses import is_pydantic_dataclass
from pydantic.fields import FieldInfo


@dataclass(frozen=True)
class Key:
    """One key of a configuration, with its full path (list items as N) and what is said of it."""

    path: tuple[str, ...]
    kind: Any
    required: bool
    default: object
    description: str

    @property
    def name(self) -> str:
        return ".".join(self.path)


def fields(kind: Any) -> dict[str, FieldInfo]:
    """The fields of a configuration class by name; none for any other type."""
    inner = bare(kind)
    return dict(inner.__pydantic_fields__) if is_pydantic_dataclass(inner) else {}


def bare(kind: Any) -> Any:
    """`kind` without `Annotated` and without `| None`."""
    if get_origin(kind) is Annotated:
        return bare(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        members = [member for member in get_args(kind) if member is not types.NoneType]
        return bare(members[0]) if len(members) == 1 else kind
    return kind


def nullable(kind: Any) -> bool:
    """Whether null is a value of `kind`."""
    if get_origin(kind) is Annotated:
        return nullable(get_args(kind)[0])
    return types.NoneType in get_args(kind)


def is_list(kind: Any) -> bool:
    """Whether a type is a tuple, with or without None."""
    return get_origin(bare(kind)) is tuple


def has_keys(kind: Any) -> bool:
    """Whether a value of `kind` has something below it."""
    return bool(fields(kind)) or is_list(kind) or get_origin(bare(kind)) is dict


def child(kind: Any, key: str) -> Any | None:
    """The type found under `key` (a field, a list index, a key of a mapping) of a value of type `kind`; None: none."""
    kind = bare(kind)
    if is_list(kind):
        return get_args(kind)[0] if key.isascii() and key.isdigit() else None
    if get_origin(kind) is dict:
        return get_args(kind)[1]
    info = fields(kind).get(key)
    return info.annotation if info else None


def keys(kind: Any, path: tuple[str, ...] = ()) -> Iterator[Key]:
    """Every key below `kind`, in the order of the classes: a section before what it holds."""
    for name, info in fields(kind).items():
        here = (*path, name)
        default = None if info.is_required() else info.get_default(call_default_factory=True, validated_data={})
        yield Key(here, info.annotation, info.is_required(), default, info.description or "")
        if is_list(info.annotation):
            yield from keys(child(info.annotation, "0"), (*here, "N"))
        else:
            yield from keys(info.annotation, here)


def word(kind: Any) -> str:
    """The type as help shows it: TEXT, INT, NUMBER, true|false, a|b, LIST, MAPPING, SECTION; `|null` where allowed."""
    inner = bare(kind)
    if get_origin(inner) is Literal:
        text = "|".join(str(choice) for choice in get_args(inner))
    elif is_dataclass(inner):
        text = "SECTION"
    else:
        names = {str: "TEXT", int: "INT", float: "NUMBER", bool: "true|false", tuple: "LIST", dict: "MAPPING"}
        text = names.get(get_origin(inner) or inner, "VALUE")
    return f"{text}|null" if nullable(kind) else text


def nearest(kind: Any, path: tuple[str, ...]) -> str:
    """For a key that does not exist: ' did you mean ...?', else the keys that its section has."""
    section, known = kind, 0
    while known < len(path) and (inner := child(section, path[known])) is not None:
        section, known = inner, known + 1
    every = [key.name for key in keys(kind)]
    same_word = [name for name in every if name.rpartition(".")[2] == path[-1]]
    whole = ".".join(path)
    siblings = difflib.get_close_matches(path[known], fields(section), 1, 0.7) if known < len(path) else []
    if same_word:
        found = difflib.get_close_matches(whole, same_word, 1, 0.0)[0]
    elif siblings:
        found = ".".join((*path[:known], siblings[0], *path[known + 1 :]))
    else:
        found = "".join(difflib.get_close_matches(whole, every, 1, 0.75))
    if found:
        return f"did you mean {found}?"
    here = ".".join(path[:known])
    return f"the keys {'of ' + here if here else 'here'} are {', '.join(fields(section))}"
