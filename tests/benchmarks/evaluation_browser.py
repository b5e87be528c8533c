"""A report of an evaluation in a real browser: hostile outputs, 20,000 items, keyboard, contrast, paper, no network.

    python -m tests.benchmarks.evaluation_browser --chromium /usr/bin/chromium [--items 4000] [--out FOLDER]

As `report_browser`: it needs `pip install playwright` and a Chromium of the system, ends with an AssertionError where
the page does not do what it should, prints what was measured, and leaves pictures and a PDF in the folder.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from upath import UPath

from bioinstruct_jax.evaluation.results import report
from tests.benchmarks.report_browser import _focused, _open, _status
from tests.evaluation.results.evaluated import made
from tests.generation.pool import HOSTILE

_RATIO = """([selector, other]) => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const light = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3)
      .map((part) => part / 255).map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (node) => { for (; node; node = node.parentElement) {
    const colour = getComputedStyle(node).backgroundColor;
    if (!/, 0\\)$|transparent/.test(colour)) return colour; } return "#fff"; };
  return Math.min(...[...document.querySelectorAll(selector)].map((node) => {
    const [one, two] = [light(getComputedStyle(node)[other]), light(behind(node))].sort((a, b) => b - a);
    return (one + 0.05) / (two + 0.05);
  }));
}"""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--chromium", required=True, help="its program")
    arguments.add_argument("--items", type=int, default=4000, help="of each of five tasks in the large report")
    arguments.add_argument("--out", type=Path, default=None, help="folder for pages, pictures and PDF")
    asked = arguments.parse_args()
    folder = asked.out or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / "small.html", 60, hostile=HOSTILE)
    _write(folder / "large.html", asked.items)

    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=asked.chromium, args=["--no-sandbox"])
        print("browser", browser.version)
        for theme, width in (("light", 1280), ("dark", 1280), ("light", 400), ("dark", 400)):
            _small(browser, folder, theme, width)
        _large(browser, folder, 5 * asked.items)
        browser.close()
    print("pictures and pages in", folder)


def _write(file: Path, items: int, hostile: tuple[str, ...] = ()) -> None:
    one = made(items, hostile=hostile)
    began = time.perf_counter()
    settings = "tasks: [medqa]\n# " + "</script><b>" * bool(hostile)
    given = (one.results, one.comparisons, one.groups, one.samples)
    report.write(UPath(file), "Evaluation", *given, settings=settings, notes=["Made up: no model answered."])
    print(
        f"{file.name}: {len(one.samples):,} samples, {file.stat().st_size / 1e6:.1f} MB, "
        f"written in {time.perf_counter() - began:.1f} s"
    )


def _small(browser: Any, folder: Path, theme: str, width: int) -> None:
    file = folder / "small.html"
    page, heard = _open(browser, file, color_scheme=theme, viewport={"width": width, "height": 900})
    assert page.title() == "Evaluation"
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"wider than {width} pixels"
    page.screenshot(path=folder / f"{theme}-{width}.png", full_page=True)
    for selector, other, least in (
        ("p, td, th, caption, figcaption, summary, pre, .cut, section.browser button", "color", 4.5),
        ("svg text", "fill", 4.5),
        ("svg .dot", "fill", 3.0),
        ("svg .mark0, svg .mark1, svg .thin0, svg .thin1, svg .span", "stroke", 3.0),
    ):
        ratio = page.evaluate(_RATIO, [selector, other])
        assert ratio >= least, (theme, selector, ratio)
    assert "\u202e" not in page.inner_text("body")
    for name in ("script:not([type])", "img", "a", "iframe", "b"):
        assert page.locator(f"section.browser {name}").count() == 0, name

    # every output of the hostile ones, by keyboard, beside the other model's
    page.fill("#items-search", "medqa/test harness")
    _status(page, "60 of 300 rows")
    page.locator("tbody.body button").first.focus()
    for place, text in enumerate(HOSTILE):
        page.keyboard.press("Enter")
        pair = page.locator("dialog .pair", has_text="base: output")
        shown = pair.locator("dd").first.evaluate("node => node.textContent")
        if text.isascii() and text.isprintable() and text and len(text) < 1000:
            assert shown == text, (place, shown)
        assert pair.locator("dt").all_inner_texts() == ["base: output", "tuned: output"]
        left, right = (pair.locator("dd").nth(at).bounding_box() for at in (0, 1))
        assert (left["x"] < right["x"]) == (width > 900), (left, right)
        if place == 5:
            page.screenshot(path=folder / f"detail-{theme}-{width}.png")
        page.keyboard.press("Escape")
        page.evaluate("new Promise((go) => requestAnimationFrame(() => setTimeout(go, 20)))")  # `close` is an event
        assert _focused(page) == f"medqa/test/{place}"
        page.keyboard.press("ArrowDown")
    assert not heard, heard
    page.close()


def _large(browser: Any, folder: Path, rows: int) -> None:
    began = time.perf_counter()
    page, heard = _open(browser, folder / "large.html", viewport={"width": 1280, "height": 900})
    _status(page, f"{rows:,} of {rows:,} rows")
    print(f"large.html: {rows:,} rows, {time.perf_counter() - began:.2f} s until they can be searched")
    page.evaluate("""() => { window.longest = 0;
        new PerformanceObserver(list => { for (const task of list.getEntries())
            window.longest = Math.max(window.longest, task.duration); }).observe({type: "longtask"}); }""")
    for outcome in ("base wrong, tuned right", "base right, tuned wrong", "both wrong", "tuned worse"):
        button = page.get_by_role("group", name="filter by outcome").get_by_role("button", name=outcome)
        due = int(button.inner_text().rpartition(" ")[2].replace(",", ""))
        assert due, outcome
        began = time.perf_counter()
        button.focus()
        page.keyboard.press("Space")
        _status(page, f"{due:,} of {rows:,} rows")
        print(f"filter {outcome!r}: {due:,} rows in {time.perf_counter() - began:.2f} s")
        seen = page.locator('td[data-column="outcome"]').all_inner_texts()
        assert set(seen) == {outcome}, set(seen)
        page.keyboard.press("Space")
        _status(page, f"{rows:,} of {rows:,} rows")
    for name, words in (("first search", "pubmedqa"), ("second search", "dose medqa/test/1"), ("no row", "qqqq")):
        began = time.perf_counter()
        before = page.inner_text(".status")
        page.fill("#items-search", words)
        page.wait_for_function("was => document.querySelector('.status').textContent !== was", arg=before)
        print(f"{name}: {page.inner_text('.status')} in {time.perf_counter() - began:.2f} s, of which 0.15 wait")
    _status(page, f"0 of {rows:,} rows")
    heap = page.evaluate("performance.memory.usedJSHeapSize") / 1e6
    print(f"longest task of all these {page.evaluate('window.longest'):.0f} ms; heap {heap:.0f} MB")
    page.get_by_role("button", name="Show all rows").click()
    _status(page, f"{rows:,} of {rows:,} rows")
    tree = page.locator("main").aria_snapshot()
    for name in ('heading "Comparisons"', 'img "Scores of each task', 'group "table: task, protocol', "searchbox"):
        assert name in tree, name
    page.set_viewport_size({"width": 718, "height": 1000})  # A4 between its margins
    page.emulate_media(media="print")
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "wider than paper"
    page.screenshot(path=folder / "paper.png", full_page=True)
    page.pdf(path=folder / "large.pdf")
    print(f"PDF: {(folder / 'large.pdf').stat().st_size / 1e6:.1f} MB")
    assert not heard, heard
    page.close()


if __name__ == "__main__":
    main()
