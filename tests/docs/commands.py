"""The commands of this project in shell text: which module is run, with which words, and whether these can be read."""

import importlib
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from bioinstruct_jax import cli, settings
from tests.docs.pages import ROOT

VERBS = tuple(cli.VERBS)
_ENDS = {"&", "&&", "|", "||", ";", "<", ">", ">>", "2>", "(", ")"}
_HEREDOC = re.compile(r"<<-?\s*'?(\w+)'?(.*?)\n.*?^\1$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Command:
    """A module (``bioinstruct_jax.train``, ``tests.benchmarks.kills``) and the words after it."""

    module: str
    words: tuple[str, ...]

    @property
    def verb(self) -> str | None:
        """The verb that is run, None for other modules."""
        name = self.module.removeprefix("bioinstruct_jax.")
        return name if name in VERBS else None


class Loaded(BaseException):
    """The settings of a verb were read: nothing more is to happen."""

    def __init__(self, job: Any, extras: Any) -> None:
        self.job, self.extras = job, extras


def commands(shell: str) -> list[Command]:
    """What a piece of shell text runs of this project's modules."""
    found = []
    for line in _HEREDOC.sub("", shell).replace("\\\n", " ").splitlines():
        parsed = shlex.shlex(line, posix=True, punctuation_chars="&|;<>()")
        parsed.whitespace_split, parsed.commenters = True, "#"
        words = list(parsed)
        for place, word in enumerate(words):
            rest = words[place + 1 :]
            if word == "-m" and rest and rest[0].startswith(("bioinstruct_jax", "tests.")):
                found.append(Command(rest[0], _until_end(rest[1:])))
            elif word == "bioinstruct" and rest and rest[0] in VERBS:
                found.append(Command(f"bioinstruct_jax.{rest[0]}", _until_end(rest[1:])))
            elif word == "sbatch" and rest and rest[0].endswith("slurm.sbatch"):
                found.append(Command("bioinstruct_jax.train", _until_end(rest[1:])))
    return found


def _until_end(words: list[str]) -> tuple[str, ...]:
    end = next((place for place, word in enumerate(words) if word in _ENDS), len(words))
    return tuple(words[:end])


def load(verb: str, words: tuple[str, ...]) -> Loaded:
    """The settings that a verb reads from its words; AssertionError where it cannot, after it printed why."""
    read = settings.load

    def stop(*given: Any) -> Any:
        raise Loaded(*read(*given))

    with mock.patch.object(settings, "load", stop):
        try:
            code = importlib.import_module(f"bioinstruct_jax.{verb}").main(list(words))
        except Loaded as loaded:
            return loaded
    raise AssertionError(f"{verb} {' '.join(words)}: ended with {code} before its settings were read")


def classes(verb: str) -> tuple[type, type]:
    """The classes of a verb's settings and of its options."""

    def stop(_argv: Any, _verb: Any, job: type, extras: type) -> Any:
        raise Loaded(job, extras)

    with mock.patch.object(settings, "load", stop):
        try:
            importlib.import_module(f"bioinstruct_jax.{verb}").main([])
        except Loaded as loaded:
            return loaded.job, loaded.extras
    raise AssertionError(f"{verb} reads no settings")


def source(module: str) -> Path:
    """The file of a module of this repository."""
    return (ROOT / module.replace(".", "/")).with_suffix(".py")
