"""Every relative link of every page leads to a file, and every anchor to a heading."""

import re

import pytest

from tests.docs import pages


@pytest.mark.parametrize("page", pages.pages(), ids=pages.name)
def test_links_and_anchors_lead_somewhere(page):
    # Mutation: a guide renamed, or a heading reworded, without the pages that point there.
    for link in pages.links(page):
        if re.match(r"(https?|mailto):", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), f"{pages.name(page)}: {link}"
        assert not anchor or anchor in pages.anchors(target), f"{pages.name(page)}: {link}: no such heading"


def test_every_page_of_docs_can_be_reached_from_the_readme():
    # Mutation: a guide that the index does not name.
    start = pages.ROOT / "README.md"
    seen, ahead = {start}, [start]
    while ahead:
        page = ahead.pop()
        for link in pages.links(page):
            target = (page.parent / link.partition("#")[0]).resolve()
            if target.suffix == ".md" and target not in seen and target.exists():
                seen.add(target)
                ahead.append(target)
    assert set(pages.pages()) <= seen


def test_the_readme_is_short_and_keeps_the_marks_that_programs_read():
    text = pages.text(pages.ROOT / "README.md")
    assert 100 <= text.count("\n") <= 220
    for mark in ("tests", "study"):
        assert text.count(f"<!-- {mark} -->") == text.count(f"<!-- /{mark} -->") == 1


def test_the_marks_before_blocks_are_known_ones():
    # Mutation: a mark with a slip of the pen, whose block no test would run.
    known = {("run",), ("run", "slow"), ("leaves",), ("leaves", "slow"), ("says",), ("tests",), ()}
    for page in pages.pages():
        for block in pages.blocks(page):
            mark = block.mark[:-2] if block.mark[-2:-1] == ("exit",) else block.mark
            assert mark in known, f"{pages.name(page)}:{block.line}: {block.mark}"
