"""From a YAML file and a command line to the checked tree of `config.py`, and back.

    python -m bioinstruct_jax.train [CONFIG.yaml] [--a.b=value ...]

The values of the command line are laid over those of the file, and the whole is checked at once. An option that takes
true or false may stand alone (``--check_vllm``), and a dash in its name means an underscore.
"""

import dataclasses
import difflib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, TypeVar, get_args

from pydantic import TypeAdapter, ValidationError
from upath import UPath

from bioinstruct_jax import files, schema, usage, yaml12
from bioinstruct_jax.config import config
from bioinstruct_jax.reporting.terminal import put
from bioinstruct_jax.resources import resource

Job = TypeVar("Job")
Extras = TypeVar("Extras")
_Keys = tuple[str | int, ...]


class SettingsError(ValueError):
    """What is wrong with the settings, one problem a line: to be printed as it stands, with exit code 2."""

    def __init__(self, *problems: str) -> None:
        shown = ["".join(c if c.isprintable() else repr(c)[1:-1] for c in problem) for problem in problems]
        super().__init__(
            "\n  ".join(shown if len(shown) == 1 else [f"{len(shown)} problems with the settings:", *shown])
        )


@dataclass
class _Tree:
    """Values before they are checked, and where each came from."""

    value: Any
    source: str
    lines: dict[_Keys, int] = field(default_factory=dict)
    options: dict[_Keys, str] = field(default_factory=dict)

    def origin(self, loc: _Keys) -> str:
        """'file.yaml:3: a.b: ' or '--a.b: ' for the value at `loc`, or for the nearest things around or in it."""
        name = ".".join(str(key) for key in loc)
        within = [option for place, option in self.options.items() if loc and place[: len(loc)] == loc]
        if within:
            return f"{', '.join(within)}: " if loc in self.options else f"{', '.join(within)}: {name}: "
        for end in range(len(loc), 0, -1):
            if loc[:end] in self.options:
                return f"{self.options[loc[:end]]}: {name}: "
            if loc[:end] in self.lines:
                return f"{self.source}:{self.lines[loc[:end]]}: {name}: "
        where = self.source
        if self.options and "command line" not in where:
            where += " with the command line"
        return f"{where}: {name}: " if name else f"{where}: "


@config
class NoExtras:
    """The `extras` of a verb whose options all belong to the job."""


def load(argv: list[str], verb: usage.Verb, job: type[Job], extras: type[Extras]) -> tuple[Job, Extras]:
    """Read the settings of a verb: a file (its default if none is named) with the command line laid over it.

    Args:
      argv: the words after the verb: at most one file, shipped name or bucket URL; `--a.b=value` or `--a.b value`,
        whose values are read as YAML (text where a key takes text); `--help` prints every key and exits with 0.
      job: configuration class of the run, what `dump` writes.
      extras: configuration class of options that belong to this call and not to the run, such as `--preview`.

    Raises:
      SettingsError: naming all unknown keys (with the nearest valid one), wrong types and impossible combinations.
    """
    if any(word in ("-h", "--help") for word in argv):
        put(usage.text(verb, job, extras))
        sys.exit(0)
    named, options, problems = _words(argv)
    if len(named) > 1:
        problems.append(f"one settings file at most, given {', '.join(named)}")
    if problems:
        raise SettingsError(*problems)
    if named:
        run = _read(find(named[0], verb.configs))
    else:
        run = _read(files.path(verb.default)) if verb.default else _Tree({}, "command line")
    call = _Tree({}, "command line")
    for option, text in options:
        first = option.removeprefix("--").split(".")[0]
        near = difflib.get_close_matches(first, schema.fields(extras), 1, 0.75)
        ours = first in schema.fields(job) or not near
        try:
            _lay_over(run if ours else call, option, text, job if ours else extras)
        except SettingsError as error:
            problems.append(f"{option}: {error}")
    made, unmade = _check(run, job)
    made_extras, unmade_extras = _check(call, extras)
    if problems or unmade or unmade_extras or made is None or made_extras is None:
        raise SettingsError(*problems, *unmade, *unmade_extras)
    return made, made_extras


def loads(text: str, *, job: type[Job], where: str) -> Job:
    """The settings in a YAML text, such as the `config.yaml` of the run folder `where`. Raises SettingsError."""
    made, problems = _check(_parse(text, where), job)
    if made is None:
        raise SettingsError(*problems)
    return made


def dump(job: object) -> str:
    """`job` as YAML: every key in the order of its class, the same bytes for equal objects; `loads` gives it back."""
    return yaml12.write(_plain(job))


def holds(text: str, job: type) -> bool:
    """Whether a settings file is of class `job`, be it damaged or of another version: not where most keys are others'.

    So that the `config.yaml` of another verb or program is not taken for one's own.
    """
    try:
        value = yaml12.read(text).value
    except yaml12.YamlError:
        return True  # damaged: `loads` says where
    keys = set(value) if isinstance(value, dict) else set()
    return not keys or 2 * len(keys & set(schema.fields(job))) > len(keys)


def changes(old: object, new: object) -> list[str]:
    """What differs between two configurations, a line each: 'optimizer.learning_rate: 0.0002 -> 0.0001'."""
    return list(_differences(_plain(old), _plain(new), ""))


def find(text: str, folder: str = "") -> UPath:
    """The settings file a user means: a local file, a bucket URL, or the name of a shipped one ('tiny').

    Args:
      folder: of shipped ones, within ``configs``.
    """
    try:
        file = files.path(text)
        if file.is_file():
            return file
        if (file / "config.yaml").is_file():
            raise SettingsError(
                f"{text} is a run folder; train goes on with {file / 'config.yaml'}, chat and export take it as "
                f"--adapter={text}"
            )
    except SettingsError:
        raise
    except Exception as error:  # a bucket's client may raise anything
        raise SettingsError(f"{text}: cannot be read: {error}") from error
    shipped = {path.stem: path for path in sorted((resource("configs") / folder).glob("*.yaml"))}
    if text.removesuffix(".yaml") in shipped:
        return files.path(shipped[text.removesuffix(".yaml")])
    if "=" in text:
        raise SettingsError(f"{text}: no such file; a value is set with --{text.lstrip('-')}")
    near = difflib.get_close_matches(text.removesuffix(".yaml"), shipped, 1)
    hint = f"did you mean {near[0]}?" if near else f"shipped ones are {', '.join(shipped)}"
    raise SettingsError(f"{text}: no such settings file; {hint}")


def _words(argv: list[str]) -> tuple[list[str], list[tuple[str, str | None]], list[str]]:
    """Split a command line into files, (option, value or None) pairs and problems."""
    named: list[str] = []
    options: list[tuple[str, str | None]] = []
    problems: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            named.append(word)
            continue
        name, equals, value = word.partition("=")
        name = re.sub(r"(?<=[a-z])-(?=[a-z])", "_", name)
        if not name.startswith("--") or not name.removeprefix("--"):
            problems.append(f"{word}: options are written --key=value; --help lists the keys")
        elif equals:
            options.append((name, value))
        elif words and not words[0].startswith("--"):
            options.append((name, words.pop(0)))
        else:
            options.append((name, None))
    return named, options, problems


def _read(file: UPath) -> _Tree:
    try:
        return _parse(file.read_bytes().decode("utf-8-sig"), str(file))
    except SettingsError:
        raise
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file}: not UTF-8 text: byte {error.start} is {error.object[error.start]:#04x}") from None
    except Exception as error:  # a bucket's client may raise anything
        raise SettingsError(f"{file}: cannot be read: {error}") from error


def _parse(text: str, source: str) -> _Tree:
    try:
        document = yaml12.read(text)
    except yaml12.YamlError as error:
        raise SettingsError(f"{source}:{error.line}: not valid settings YAML: {error}") from None
    if document.value is None:
        raise SettingsError(f"{source}: no settings in it; shipped examples are in {resource('configs')}")
    if not isinstance(document.value, dict):
        raise SettingsError(f"{source}:1: holds {_given(document.value)} and no keys; write key: value")
    return _Tree(document.value, source, document.lines)


def _lay_over(tree: _Tree, option: str, text: str | None, job: type) -> None:
    keys = tuple(option.removeprefix("--").split("."))
    kind: Any = job
    loc: tuple[str | int, ...] = ()
    for key in keys:
        above, kind = kind, schema.child(kind, key)
        if kind is None and not schema.has_keys(above):
            raise SettingsError(f"{'.'.join(map(str, loc))} is one value and has no keys below it")
        if kind is None:
            hint = schema.nearest(job, keys)
            raise SettingsError(f"unknown key; {hint.replace('did you mean ', 'did you mean --')}")
        loc = (*loc, int(key) if schema.is_list(above) else key)
    if text is None and schema.bare(kind) is not bool:
        raise SettingsError(f"needs a value, {option}=...")
    value = True if text is None else _argument(text, kind)
    tree.value = _put(tree.value, keys, value, job, "")
    tree.lines = {place: line for place, line in tree.lines.items() if place[: len(loc)] != loc}
    tree.options = {place: name for place, name in tree.options.items() if place[: len(loc)] != loc}
    tree.options[loc] = option


def _argument(text: str, kind: Any) -> object:
    """The value of an option: YAML, except that a key which takes text gets 12 or [a] as the text it is."""
    try:
        value = yaml12.read(text).value
    except yaml12.YamlError as error:
        if schema.bare(kind) is str:
            return text
        raise SettingsError(f"{_given(text)} is no YAML value: {error}") from None
    return text if schema.bare(kind) is str and not isinstance(value, str | None) else value


def _put(old: Any, keys: tuple[str, ...], value: object, kind: Any, above: str) -> object:
    """`old` with `value` at `keys`; the old value is left as it is."""
    if not keys:
        return value
    key, name = keys[0], f"{above}.{keys[0]}".lstrip(".")
    if schema.is_list(kind):
        items = list(old) if isinstance(old, list | None) and old else []
        index = int(key)
        if index > len(items):
            raise SettingsError(f"{above} has {len(items)} items, so the next is {above}.{len(items)}")
        before = items[index] if index < len(items) else None
        items[index : index + 1] = [_put(before, keys[1:], value, schema.child(kind, key), name)]
        return items
    if not isinstance(old, dict | None):
        raise SettingsError(f"{above} is {_given(old)} in the file, not a section")
    section = old or {}
    return {**section, key: _put(section.get(key), keys[1:], value, schema.child(kind, key), name)}


def _check(tree: _Tree, job: type[Job]) -> tuple[Job | None, list[str]]:
    """The checked object, or every problem."""
    try:
        return TypeAdapter(job).validate_python(tree.value), []
    except ValidationError as error:
        return None, [tree.origin(one["loc"]) + _problem(one, job) for one in _found(error)]


def problems(error: ValidationError, job: type, key: str) -> list[str]:
    """What pydantic found wrong in a `job` that stands under `key` of other settings, in our words, with its key."""
    found = [(".".join(map(str, (key, *one["loc"]))), _problem(one, job, key)) for one in _found(error)]
    return [f"{name}: {problem}" for name, problem in found]


def _found(error: ValidationError) -> list[Any]:
    """Pydantic's errors, but those that follow from others: a list whose items are wrong is not too short as well."""
    found = error.errors(include_url=False)
    wrong = {one["loc"][:-1] for one in found} | {one["loc"][:1] for one in found if len(one["loc"]) > 1}
    return [one for one in found if one["type"] != "too_short" or one["loc"] not in wrong]


_NEEDS = {
    "int_type": "needs a whole number",
    "float_type": "needs a number",
    "finite_number": "needs a finite number",
    "bool_type": "needs true or false",
    "string_type": "needs text (in quotes if it looks like a number)",
    "tuple_type": "needs a list, [a, b]",
    "dict_type": "needs a mapping, {a: b}",
}


def _problem(error: Any, job: type, above: str = "") -> str:
    """One of pydantic's errors in our words; `above`: the key under which the object stands, where no option does."""
    loc, value = error["loc"], error["input"]
    kind: Any = job
    for key in loc:
        kind = schema.child(kind, str(key)) if kind is not None else None
    match error["type"]:
        case "unexpected_keyword_argument":
            if len(loc) == 1 and "." in loc[0]:
                return "in a file, keys with dots are written as sections: " + ": {".join(loc[0].split(".")) + ": ...}"
            hint = schema.nearest(job, tuple(map(str, loc)))
            hint = hint.replace("did you mean ", f"did you mean {above}.") if above else hint
            return f"unknown key, given {_given(value)}; {hint}"
        case "missing":
            place = tuple("N" if isinstance(key, int) else key for key in loc)
            meaning = next(key.description for key in schema.keys(job) if key.path == place)
            return f"missing ({meaning})" + ("" if above else f"; give --{'.'.join(map(str, loc))}=...")
        case "too_short":
            least, there = error["ctx"]["min_length"], error["ctx"]["actual_length"]
            return f"{there} given, at least {least} {'is' if least == 1 else 'are'} needed: {_given(value)}"
        case "value_error":
            return str(error["ctx"]["error"])
        case "dataclass_type":
            return f"needs a section with {', '.join(schema.fields(kind))}; given {_given(value)}"
        case "literal_error":
            choices = get_args(schema.bare(kind))
            near = difflib.get_close_matches(str(value), choices, 1)
            return f"needs one of {', '.join(choices)}; given {_given(value)}" + (
                f"; did you mean {near[0]}?" if near else ""
            )
    needs = _NEEDS.get(error["type"], re.sub(r"^(Input|String|Tuple) should", "should", error["msg"]))
    null = (
        "; nothing is written null" if value in ("none", "None") and kind is not None and schema.nullable(kind) else ""
    )
    return f"{needs}, given {_given(value)}{null}"


def _given(value: object) -> str:
    text = yaml12.inline(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _plain(value: Any) -> Any:
    """Dataclasses as dicts, tuples as lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {key: _plain(value[key]) for key in sorted(value)}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


_ABSENT = object()


def _differences(old: Any, new: Any, name: str) -> Iterator[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            yield from _differences(old.get(key, _ABSENT), new.get(key, _ABSENT), f"{name}.{key}".lstrip("."))
    elif isinstance(old, list) and isinstance(new, list):
        for index, (one, other) in enumerate(zip_longest(old, new, fillvalue=_ABSENT)):
            yield from _differences(one, other, f"{name}.{index}")
    elif old is _ABSENT or new is _ABSENT or (type(old), old) != (type(new), new):
        before, after = ("nothing" if value is _ABSENT else yaml12.inline(value) for value in (old, new))
        yield f"{name}: {before} -> {after}"
