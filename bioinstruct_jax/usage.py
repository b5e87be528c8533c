"""The `--help` of a verb: every key of its configuration, with type, default and meaning, under its section."""

import shutil
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

from bioinstruct_jax import schema, yaml12

_LEFT = 34  # columns for the option; longer ones get a line of their own

_TYPES = """\
INT whole number, NUMBER number, TEXT text, LIST [a, b], MAPPING {a: b}, N place in a list from 0, null: nothing.
Values are read as YAML 1.2, in the file and on the command line. A later option wins over an earlier one."""


@dataclass(frozen=True)
class Verb:
    """What the command line needs to know of a verb beside its settings.

    Attributes:
        description: what it does, for the help.
        examples: command lines after ``python -m bioinstruct_jax.<name>``.
        default: settings file of a call that names none; None: every required key must be given.
        configs: folder of the verb's shipped settings files within ``configs``; empty: that itself.
    """

    name: str
    description: str
    examples: tuple[str, ...]
    default: Path | None = None
    configs: str = ""


def text(verb: Verb, job: type, extras: type) -> str:
    """Help for `python -m bioinstruct_jax.<verb>`, as wide as the terminal (60 to 120 columns)."""
    width = min(max(shutil.get_terminal_size().columns, 60), 120)
    command, own = f"python -m bioinstruct_jax.{verb.name}", list(schema.keys(extras))
    words = " ".join(
        ["[CONFIG.yaml]", "[--key=value ...]", *(f"[--{key.name}={schema.word(key.kind)}]" for key in own)]
    )
    lines = [f"usage: {command} {words}", "", *textwrap.wrap(verb.description, width), ""]
    default = f"; default: {verb.default.name}" if verb.default else ""
    lines += _option("CONFIG.yaml", f"a file, a bucket URL or the name of a shipped configuration{default}", width)
    lines += _option("-h, --help", "print this and stop", width)
    for key in own:
        lines += _option(f"--{key.name}={schema.word(key.kind)}", _meaning(key), width)
    lines += ["", "Settings of the run, as keys of the file or as options:", *_settings(job, width), ""]
    lines += [*textwrap.wrap(_TYPES, width), "", "Examples:"]
    lines += [f"  {command} {words}".rstrip() for words in verb.examples]
    return "\n".join(lines)


def _settings(job: type, width: int) -> Iterator[str]:
    section: tuple[str, ...] = ()
    for key in schema.keys(job):
        inner = schema.bare(key.kind)
        if is_dataclass(inner):
            section = key.path
            yield ""
            yield from textwrap.wrap(f"{key.name}: {_first_line(inner)}", width)
            if schema.nullable(key.kind):
                yield from _option(f"--{key.name}=null", _meaning(key), width)
            continue
        if schema.is_list(key.kind) and is_dataclass(schema.bare(schema.child(key.kind, "0"))):
            yield from _option(f"--{key.name}={schema.word(key.kind)}", f"{_meaning(key)}; each item has:", width)
            continue
        if section and key.path[: len(section)] != section:
            section = key.path[:-1]
            yield ""
            yield f"{'.'.join(section)}, continued:" if section else "the run, continued:"
        yield from _option(f"--{key.name}={schema.word(key.kind)}", _meaning(key), width)


def _meaning(key: schema.Key) -> str:
    if key.required:
        return f"{key.description} (required)"
    if key.default is None or is_dataclass(key.default):
        return key.description
    default = list(key.default) if isinstance(key.default, tuple) else key.default
    return f"{key.description} (default: {yaml12.inline(default)})"


def _first_line(kind: Any) -> str:
    return (kind.__doc__ or "").partition("\n")[0]


def _option(option: str, meaning: str, width: int) -> list[str]:
    wrapped = textwrap.wrap(meaning, width - _LEFT - 2) or [""]
    if len(option) > _LEFT - 2:
        return [f"  {option}", *(" " * (_LEFT + 2) + line for line in wrapped)]
    return [f"  {option:<{_LEFT}}{wrapped[0]}".rstrip(), *(" " * (_LEFT + 2) + line for line in wrapped[1:])]
