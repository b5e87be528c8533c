"""Messages that the pages quote are messages of the program."""

import ast
import re
from functools import cache

import pytest

from tests.docs import pages

SAID = [
    (pages.name(page), block.line + number, line)
    for page in pages.guides()
    for block in pages.blocks(page)
    if block.mark[:1] == ("says",)
    for number, line in enumerate(block.text.splitlines())
    if line.strip()
]


@cache
def written() -> str:
    """Every text in the package, one a line; a null stands for what is filled in."""
    found = []
    for file in sorted((pages.ROOT / "bioinstruct_jax").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [part.value if isinstance(part, ast.Constant) else "\0" for part in node.values]
                found.append("".join(map(str, parts)))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(" ".join(text.split()) for text in found)


def test_messages_are_quoted():
    assert len(SAID) > 20


@pytest.mark.parametrize(("page", "line", "message"), SAID)
def test_a_message_is_one_of_the_program(page, line, message):
    # Mutation: the words of an error changed, and troubleshooting.md left as it was.
    told = message.strip().removeprefix("error: ")
    parts = [re.escape(" ".join(part.split())) for part in told.split("...")]
    assert re.search(r"[^\n]*?".join(parts), written()), f"{page}:{line}: {message}"
