"""A report of a generation in a real browser: hostile rows, many rows, keyboard, paper, no network.

    python -m tests.benchmarks.report_browser --chromium /usr/bin/chromium [--rows 55005] [--words 60] [--out FOLDER]

It needs what the tests do not: `pip install playwright`, and a Chromium of the system. Ends with an AssertionError
where the page does not do what it should; prints what was measured, and leaves pictures and a PDF in the folder.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from upath import UPath

from bioinstruct_jax.generation import report
from bioinstruct_jax.generation.item import Accepted, Rejected
from bioinstruct_jax.generation.statistics import statistics
from tests.generation.pool import HOSTILE, made, numbers

_TABLE = "nav.pages:not([hidden])"  # seen as soon as the rows have been read


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--chromium", required=True, help="its program")
    arguments.add_argument("--rows", type=int, default=55_005, help="of the large report")
    arguments.add_argument("--words", type=int, default=60, help="at most, of an input or output of the large report")
    arguments.add_argument("--out", type=Path, default=None, help="folder for pages, pictures and PDF")
    asked = arguments.parse_args()
    folder = asked.out or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    small, large = folder / "small.html", folder / "large.html"
    accepted, rejected = made(300, 400, words=60, seed=0, hostile=True)
    _write(small, accepted, rejected)
    accepted, rejected = made(asked.rows * 5 // 11, asked.rows - asked.rows * 5 // 11, words=asked.words, seed=1)
    _write(large, accepted, rejected)
    del accepted, rejected

    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=asked.chromium, args=["--no-sandbox"])
        print("browser", browser.version)
        _hostile(browser, small, folder)
        _without_script(browser, small)
        _many(browser, large, asked.rows, folder)
        browser.close()
    print("pictures and pages in", folder)


def _write(file: Path, accepted: list[Accepted], rejected: list[Rejected]) -> None:
    began = time.perf_counter()
    report.write(UPath(file), statistics(accepted, **numbers(accepted, rejected)), accepted, rejected, note="Made up.")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    rows = len(accepted) + len(rejected)
    print(
        f"{file.name}: {rows:,} rows, {file.stat().st_size / 1e6:.1f} MB, {time.perf_counter() - began:.1f} s, "
        f"peak memory of this process {peak:.0f} MB with the rows themselves"
    )


def _open(browser: Any, file: Path, **settings: Any) -> tuple[Any, list[str]]:
    """The page, and what it complained of or asked the network for."""
    page = browser.new_page(**settings)
    heard: list[str] = []
    page.on("console", lambda message: heard.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: heard.append(f"error: {error}"))
    page.on("request", lambda asked: asked.url == file.as_uri() or heard.append(f"asked for {asked.url[:80]}"))
    page.on("dialog", lambda dialog: (heard.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.goto(file.as_uri())
    if settings.get("java_script_enabled", True):
        page.wait_for_selector(_TABLE, timeout=120_000)
    return page, heard


def _status(page: Any, due: str) -> None:
    page.wait_for_function("due => document.querySelector('.status').textContent === due", arg=due, timeout=20_000)


def _focused(page: Any) -> str:
    return page.evaluate("document.activeElement.closest('tr')?.querySelector('button').textContent ?? ''")


def _hostile(browser: Any, file: Path, folder: Path) -> None:
    for theme, width in (("light", 1280), ("dark", 1280), ("light", 400), ("dark", 400)):
        page, heard = _open(browser, file, color_scheme=theme, viewport={"width": width, "height": 900})
        assert page.title() == "Generated instructions"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"wider than {width} pixels"
        page.fill("#rows-search", "hostile")
        _status(page, f"{2 * len(HOSTILE)} of 700 rows")
        page.screenshot(path=folder / f"{theme}-{width}.png", full_page=True)
        for name in ("script:not([type])", "img", "a", "iframe", "b"):
            assert page.locator(f"section.browser {name}").count() == 0, name
        assert "\u202e" not in page.inner_text("body")
        page.locator("tbody.body button").first.focus()
        for place, text in enumerate(HOSTILE):
            page.keyboard.press("Enter")
            shown = page.locator("dialog dd").nth(2).evaluate("node => node.textContent")
            if text.isascii() and text.isprintable() and len(text) < 1000:
                assert shown == f"Hostile {text}", (place, shown)
            if len(text) > 1_000_000:
                assert len(shown) < 60_000, len(shown)
                assert f"{len(text) + 8:,} characters in the file" in shown
            if text and place == 5:
                page.screenshot(path=folder / f"detail-{theme}-{width}.png")
            page.keyboard.press("Escape")
            assert not page.locator("dialog").evaluate("node => node.open")
            assert _focused(page) == f"h{place}"
            page.keyboard.press("ArrowDown")
        assert not heard, heard
        page.close()


def _without_script(browser: Any, file: Path) -> None:
    page, _ = _open(browser, file, java_script_enabled=False)
    text = page.inner_text("section.browser")
    assert "Without JavaScript" in text, text
    assert "instructions.jsonl and rejected.jsonl" in text, text
    assert not page.locator("form.tools").is_visible()
    page.close()


def _many(browser: Any, file: Path, rows: int, folder: Path) -> None:
    began = time.perf_counter()
    page, heard = _open(browser, file, viewport={"width": 1280, "height": 900})
    _status(page, f"{rows:,} of {rows:,} rows")
    print(f"large.html: {time.perf_counter() - began:.2f} s until it can be searched")
    page.evaluate("""() => { window.longest = 0;
        new PerformanceObserver(list => { for (const task of list.getEntries())
            window.longest = Math.max(window.longest, task.duration); }).observe({type: "longtask"}); }""")
    for name, words in (
        ("first search", "cardiology"),
        ("second search", "neuropathy cardiology"),
        ("by a name of the files", "near_duplicate"),
        ("no row", "qqqq"),
    ):
        began = time.perf_counter()
        page.fill("#rows-search", words)
        page.wait_for_function("due => document.querySelector('.status').textContent !== due",
                               arg=page.inner_text(".status"), timeout=20_000)  # fmt: skip
        seconds = time.perf_counter() - began
        print(f"{name}: {page.inner_text('.status')} in {seconds:.2f} s, of which 0.15 wait for the next key")
    assert page.inner_text(".where") == "none"
    page.get_by_role("button", name="Show all rows").click()
    _status(page, f"{rows:,} of {rows:,} rows")
    assert page.locator("tbody.body tr").count() == 50

    # filters, by mouse; the count beside a value is what is left
    button = page.get_by_role("group", name="filter by outcome").get_by_role("button", name="rejected")
    left = button.inner_text().split()[-1]
    button.click()
    _status(page, f"{left} of {rows:,} rows")
    assert button.get_attribute("aria-pressed") == "true"
    reason = page.get_by_role("group", name="filter by reason").get_by_role("button").first
    left = reason.inner_text().split()[-1]
    reason.focus()
    page.keyboard.press("Space")
    _status(page, f"{left} of {rows:,} rows")

    # sorted by number, both ways, and as it was
    page.get_by_role("button", name="Show all rows").click()
    _status(page, f"{rows:,} of {rows:,} rows")
    first = page.locator("tbody.body button").first.inner_text()
    head = page.get_by_role("button", name="output words")
    for way in ("descending", "ascending", "none"):
        head.click()
        assert page.locator("th", has=head).get_attribute("aria-sort") == way
        page.wait_for_function("""way => { const seen = [...document.querySelectorAll("td[data-column='output words']")]
            .map(cell => Number(cell.textContent));
            return way === "none" || seen.every((one, at) => !at || (way === "ascending") === (one >= seen[at - 1])
                || one === seen[at - 1]); }""", arg=way)  # fmt: skip
    assert page.locator("tbody.body button").first.inner_text() == first

    # keyboard alone: from search into the rows, over the page's edge, into a row and out of it
    page.focus("#rows-search")
    page.keyboard.press("ArrowDown")
    for _ in range(50):
        page.keyboard.press("ArrowDown")
    assert page.inner_text(".where") == "51 to 100"
    assert _focused(page) == page.locator("tbody.body button").first.inner_text()
    page.keyboard.press("ArrowUp")
    assert page.inner_text(".where") == "1 to 50"
    page.keyboard.press("Enter")
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    assert page.inner_text("dialog .place") == f"Row 52 of {rows:,}"
    page.keyboard.press("Escape")
    assert page.inner_text(".where") == "51 to 100"
    page.keyboard.press("PageDown")
    assert page.inner_text(".where") == "101 to 150"

    heap = page.evaluate("performance.memory.usedJSHeapSize") / 1e6
    print(f"longest task of all these {page.evaluate('window.longest'):.0f} ms; heap {heap:.0f} MB")
    page.fill("#rows-search", "hepatology")
    page.wait_for_function("due => !document.querySelector('.status').textContent.startsWith(due)", arg=f"{rows:,}")
    began = time.perf_counter()
    page.pdf(path=folder / "large.pdf")
    print(f"PDF: {(folder / 'large.pdf').stat().st_size / 1e6:.1f} MB in {time.perf_counter() - began:.1f} s")
    page.emulate_media(media="screen")
    assert page.locator("tbody.body tr").count() == 50
    said = page.evaluate("document.querySelector('.printed').textContent")
    assert said.startswith("Printed: the first 200 of"), said
    assert 'search "hepatology"' in said, said
    assert not heard, heard
    page.close()


if __name__ == "__main__":
    main()
