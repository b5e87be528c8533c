"""Tables of settings of other tools and ours, of exit codes, and of what reproduces a figure."""

import ast
import importlib
import re
from typing import Literal, get_args, get_origin

import pytest

from bioinstruct_jax import schema
from tests.docs import commands, pages

COMING = sorted((pages.ROOT / "docs").glob("from-*.md"))
HERE = re.compile(r"here \(`(\w+)`\)")


def ours() -> list[tuple[str, str, str]]:
    """(page, verb, setting) for each setting that stands in a column 'here (`verb`)'."""
    found = []
    for page in COMING:
        for head, *rows in pages.tables(page):
            for column, cell in enumerate(head):
                if (verb := HERE.fullmatch(cell)) is not None:
                    found += [(page.name, verb[1], span) for row in rows for span in pages.spans(row[column])]
    return found


def test_each_page_for_newcomers_has_such_a_table():
    assert {page for page, _, _ in ours()} == {page.name for page in COMING}
    assert len(ours()) > 60


@pytest.mark.parametrize(("page", "verb", "setting"), ours())
def test_a_setting_of_ours_is_in_the_schema(page, verb, setting):
    # Mutations: lora.rank renamed to lora.r; a value that a key does not take, `model.quantize: nf8`.
    key, _, value = re.match(r"-{0,2}([\w.-]+)(: |=)?(.*)", setting).groups()
    key = re.sub(r"(?<=[a-z])-(?=[a-z])", "_", key)
    for kind in commands.classes(verb):
        inner = kind
        for part in key.split("."):
            inner = schema.child(inner, "0" if part == "N" else part) if inner is not None else None
        if inner is not None:
            break
    assert inner is not None, f"{page}: {verb} has no {key}; {schema.nearest(commands.classes(verb)[0], (key,))}"
    if value and get_origin(schema.bare(inner)) is Literal:
        assert value in get_args(schema.bare(inner)), f"{page}: {setting}"


def codes(verb: str) -> set[int]:
    """The exit codes that the help of a verb names."""
    tree = ast.parse(commands.source(f"bioinstruct_jax.{verb}").read_text(encoding="utf-8"))
    said = " ".join((ast.get_docstring(tree) or "").split()).partition("Exit code: ")[2]
    return {int(code) for code in re.findall(r"(?:^|, )(\d+)(?= )", said)}


@pytest.mark.parametrize("verb", commands.VERBS)
def test_the_exit_codes_of_a_guide_are_those_of_the_help(verb):
    # Mutation: a row of the table taken out, or a new code in the verb's help alone.
    (table,) = [
        rows for head, *rows in pages.tables(pages.ROOT / "docs" / f"{verb}.md") if head[0] == "exit code"
    ]  # fmt: skip
    shown = {int(code) for row in table for code in re.findall(r"\d+", row[0])}
    assert codes(verb) - {0} <= shown, (codes(verb), shown)


def test_the_exit_code_of_every_verb_is_told_once_for_all():
    # Mutation: the code that `put` ends with changed, or the sentence taken out.
    (code,) = re.findall(r"SystemExit\((\d+)\)", commands.source("bioinstruct_jax.reporting.terminal").read_text())
    assert f"exit code {code} says" in (pages.ROOT / "docs/README.md").read_text(encoding="utf-8")


def test_what_reproduces_a_figure_can_be_run():
    # Mutation: a benchmark renamed.
    rows = [row for head, *rows in pages.tables(pages.ROOT / "docs/reproducing.md") for row in rows if len(head) >= 3]
    assert len(rows) > 15
    for row in rows:
        run = [span for cell in row for span in pages.spans(cell) if "python -m" in span or "pytest" in span]
        assert run, row
        for span in run:
            for name in re.findall(r"(?:^| )(?:-m (tests\.[\w.]+)|(tests/[\w/.]+))", span):
                place = name[0].replace(".", "/") + ".py" if name[0] else name[1]
                assert (pages.ROOT / place).exists(), span
            for command in commands.commands(span):
                importlib.import_module(f"bioinstruct_jax.{command.verb}") if command.verb else None
