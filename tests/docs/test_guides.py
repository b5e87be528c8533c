"""The worked examples of README and docs/ are run as they stand, and leave what the pages say."""

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.docs import pages

AFTER = re.compile(r"^<!-- after (\S+) -->$", re.MULTILINE)


def runs(page: Path, slow: bool) -> list[pages.Block]:
    """The blocks of a page that a test executes: the quick ones, or all."""
    found = [block for block in pages.blocks(page) if block.mark[:1] == ("run",)]
    return [block for block in found if slow or "slow" not in block.mark]


QUICK = [page for page in pages.guides() if runs(page, slow=False) and not AFTER.search(pages.text(page))]
SLOW = [page for page in pages.guides() if runs(page, slow=True) != runs(page, slow=False)]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("guides")


@pytest.mark.parametrize("page", QUICK, ids=pages.name)
def test_the_quick_examples_of_a_guide(page, place):
    # Mutations: a file renamed in the verb and not in the guide; an exit code that changed.
    folder = place / "quick" / page.stem
    folder.mkdir(parents=True)
    execute(page, folder, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize("page", SLOW, ids=pages.name)
def test_all_examples_of_a_guide(page, place):
    finished(page, place)


@cache
def finished(page: Path, place: Path) -> Path:
    """The folder in which all examples of a page were run, after those of the page that it builds on."""
    folder = place / page.stem
    if (after := AFTER.search(pages.text(page))) is not None:
        shutil.copytree(finished(page.parent / after[1], place), folder, symlinks=True)
    else:
        folder.mkdir()
    execute(page, folder, slow=True)
    return folder


def execute(page: Path, folder: Path, *, slow: bool) -> None:
    """Run the blocks of a page in a folder and look for what it says is left there."""
    if not (folder / "tpu").exists():
        (folder / "tpu").symlink_to(pages.ROOT / "tpu")
    for block in runs(page, slow):
        code = int(block.mark[-1]) if "exit" in block.mark else 0
        done = shell(block.text, folder)
        where = f"{pages.name(page)}:{block.line}"
        assert done.returncode == code, f"{where}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    for block in pages.blocks(page):
        if block.mark[:1] == ("leaves",) and (slow or "slow" not in block.mark):
            for one in left(block.text):
                assert list(folder.glob(one)), f"{pages.name(page)}:{block.line}: {one} is not there"


def shell(text: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A block in bash, with this Python, no network, and a home of its own."""
    python = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {
        "PATH": python,
        "PYTHONPATH": str(pages.ROOT),
        "HOME": str(folder),
        "HF_HUB_OFFLINE": "1",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",  # one device, compiled quickly
    }
    ended = "trap 'jobs -p | xargs -r kill 2>/dev/null || true' EXIT\n"  # nothing that a failed example began goes on
    command = ["bash", "-euo", "pipefail", "-c", ended + text]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=400, stdin=subprocess.DEVNULL
    )


def left(listing: str) -> list[str]:
    """Patterns of the files in a listing: a folder on the first line, then names, two blanks, and what they are."""
    first, *lines = listing.splitlines()
    names = [
        name for line in lines if re.match(r"  \S", line) for name in re.split(r"  +", line.strip())[0].split(", ")
    ]
    assert names, listing
    return [first.strip() + re.sub(r"<\w+>", "*", name) for name in names]


def test_the_listing_is_read_name_by_name():
    text = (
        "runs/mine/\n  adapter/  a folder\n            goes on here\n  a.json, b.json  two files\n  <model>/x_*.json\n"
    )
    assert left(text) == ["runs/mine/adapter/", "runs/mine/a.json", "runs/mine/b.json", "runs/mine/*/x_*.json"]
