import json
from dataclasses import replace

import numpy as np
import pytest
from upath import UPath

from bioinstruct_jax.evaluation.results import report, sections, words
from tests.evaluation.results.evaluated import judged, made
from tests.generation.pool import HOSTILE
from tests.reporting.document import Document

MADE = made(60, hostile=[text[:100_000] for text in HOSTILE])
MORE = {"settings": "seed: 0\n", "notes": ["A <b>note</b>."]}
SECTIONS = [
    *("Groups of tasks", "Each task", "Scores", "Written beside log-likelihood", "Comparisons", "Confusion matrices"),
    *("Answers that could not be read", "Calibration", "Items in the tuning data", "Published scores, for context"),
]


def html(one=MADE, **more):
    return "".join(report.pieces("Evaluation", one.results, one.comparisons, one.groups, one.samples, **MORE | more))


@pytest.fixture(scope="module")
def document():
    return Document(html(judge=judged(judge="<i>")))


def rows(document):
    (columns,) = (json.loads(text) for attrs, text in document.scripts if attrs.get("class") == "columns")
    for attrs, text in document.scripts:
        for row in json.loads(text) if attrs.get("class") == "rows" else ():
            yield {
                column["name"]: column["values"][cell] if column["kind"] == "value" else cell
                for column, cell in zip(columns, row, strict=True)
            }


def test_it_is_one_document_with_all_sections(document):
    # Mutations: a note that is not escaped; a matrix whose rows are named by td; two sections left out.
    document.check()
    heads = [text for tag, text in document.texts if tag == "h2"]
    assert heads == [*SECTIONS, "Judged by a language model", "Every item", "Settings"]
    assert not document.of("a") + document.of("img") + document.of("b")
    assert "A <b>note</b>." in document.text("p")
    assert {attrs["scope"] for attrs in document.of("th")} == {"col", "row"}
    cells = document.text("td")
    assert "3.25" in cells
    assert "Me-LLaMA" in cells  # published
    assert "Extraction rate is the share" in document.text("p")
    assert "seed: 0" in document.text("code")


def test_what_is_drawn_and_told_are_the_estimates(document):
    # Mutations: a share drawn without its factor of 100; the interval of another metric; a baseline of another model.
    titles, cells = document.text("title"), [text for tag, text in document.texts if tag == "td"]
    for one in MADE.results:
        estimate = one.estimates[one.headline.name]
        said = f"{100 * estimate.value:.1f}%"
        ends = f"{100 * estimate.low:.1f}\xa0to\xa0{100 * estimate.high:.1f}"
        assert f"{one.task}, {one.model}: {said} ({ends}) {one.headline.name}" in titles
        at = next(
            place
            for place, cell in enumerate(cells)
            if cells[place : place + 3] == [f"{one.task} (test)", words.of_protocol(one.protocol), one.model]
        )
        assert cells[at + 3 : at + 7] == [one.headline.title, said, ends, f"{one.answered:.1%}"]
        for kind, value in one.baselines.get("acc", {}).items():
            assert f"{one.task}, {kind}: {100 * value:.3g}" in titles
    for one in MADE.groups:
        assert f"{one.group}, {one.model}: {100 * one.score:.1f}%" in titles


def test_the_headline_says_what_came_out(document):
    # Mutation: p in place of Holm's p.
    lead = next(text for tag, text in document.texts if tag == "p")
    assert lead == words.headlines(MADE.results, MADE.comparisons)[0]
    written = [one for one in MADE.comparisons if one.protocol == "generated"]
    better = sum(one.holm < 0.05 and one.difference.estimate.value > 0 for one in written)
    assert 0 < better < 4
    assert lead.startswith(f"tuned against base (written): better in {better} of 4 tasks, worse in ")
    assert "% interval +" in lead
    largest = max((one for one in written if one.holm < 0.05), key=lambda one: abs(one.difference.estimate.value))
    assert f"The largest: {largest.task}, " in lead
    assert f"Holm's p {largest.holm:.3f})" in lead
    assert largest.holm != pytest.approx(largest.p, abs=1e-3)


def test_nothing_significant_is_said_to_be_so():
    # Mutations: `holm < LEVEL` left out; a task whose items show nothing told as one that shows 0.
    none = [replace(one, holm=0.2, smallest=0.31) for one in MADE.comparisons if one.protocol == "generated"]
    (said,) = words.headlines(MADE.results, none)
    assert "no difference is shown in any of 4 tasks" in said
    assert "which chance could explain; these items show 31.0 points or more" in said
    (said,) = words.headlines(MADE.results, [replace(none[0], smallest=None)])
    assert "could not show any difference" in said
    assert "better" not in said
    (said,) = words.headlines(MADE.results, [replace(none[0], holm=0.01, smallest=0.9)])
    assert "smaller than the 90.0 points" in said


def test_lower_is_better_where_the_metric_says_so():
    # Mutation: the sign alone.
    one = next(one for one in MADE.comparisons if one.holm < 0.05 and one.difference.estimate.value > 0)
    metric = MADE.results[0].headline
    assert words.verdict(one, metric) == "better"
    assert words.verdict(one, replace(metric, higher_is_better=False)) == "worse"


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.0412, "share", "+4.1"),
        (-0.0412, "share", "\u22124.1"),
        (-1e-5, "share", "0.0"),
        (1.25, "nats", "+1.250 nats"),
    ],
)
def test_differences_have_signs(value, unit, said):
    assert words.change(value, unit, named=False) == said


def test_matrices_count_every_item(document):
    # Mutation: items without an answer left out.
    found = [text for tag, text in document.texts if tag == "summary" and text.endswith(" right")]
    for one in MADE.results:
        if one.labels:
            right = int(one.values.sum())
            where = f"{one.task}, {words.of_protocol(one.protocol)}, {one.model}"
            assert f"{where}: {right} of 60 right" in found
    assert "no answer" in document.text("th")


def test_items_are_paired_and_filtered(document):
    # Mutations: the other model's output for the baseline's; `>=` for `>` in who is better.
    found = list(rows(document))
    base = {(one["task"], one["protocol"], one["id"]): one for one in MADE.samples if one["model"] == "base"}
    tuned = {(one["task"], one["protocol"], one["id"]): one for one in MADE.samples if one["model"] == "tuned"}
    assert len(found) == len(base) == len(tuned)
    names = {words.of_protocol(name): name for name in words.PROTOCOLS}
    for row in found:
        key = (row["task"], names[row["protocol"]], row["item"])
        one, two = base[key], tuned[key]
        if row["task"] in ("medqa", "pubmedqa"):
            due = {
                (0, 1): "base wrong, tuned right",
                (1, 0): "base right, tuned wrong",
                (1, 1): "both right",
                (0, 0): "both wrong",
            }[one["value"], two["value"]]
        else:
            gain = np.sign(two["value"] - one["value"])
            due = {1: "tuned better", -1: "tuned worse", 0: "equal"}[gain]
        assert row["outcome"] == due
        assert row["tuned: output"] == two["output"]
        assert row["base: output"] == one["output"] or row["base: output"][1] == len(one["output"])
        assert row["gain"] == pytest.approx(two["value"] - one["value"], abs=1e-4)
        assert row["right answer"] == one["gold"]
        assert row["base: read"] == ("(no answer)" if one["answer"] is None else one["answer"])
    assert {row["in tuning data"] for row in found} == {"no", "of tuned"}


def test_hostile_outputs_stay_text(document):
    # Mutation: as in tests/reporting/test_browser.py.
    assert len(document.scripts) == sum(attrs.get("type") is not None for attrs, _ in document.scripts) + 1
    outputs = {row["item"]: row["base: output"] for row in rows(document) if row["protocol"] != "written"}
    for place, text in enumerate(HOSTILE):
        shown = outputs[f"medqa/test/{place}"]
        assert shown == text or text.startswith(shown[0])


def test_it_is_written_in_pieces_from_an_iterator(tmp_path):
    file = UPath(tmp_path) / "deep" / "report.html"
    given = (MADE.results, MADE.comparisons, MADE.groups)
    report.write(file, "Evaluation", *given, iter(MADE.samples), **MORE)
    assert file.read_text(encoding="utf-8") == html()


def test_a_single_model_and_no_model_are_reports_too():
    # Mutations: `comparisons[0]` without any; the paired columns for one model.
    alone = made(12, models=("base",))
    document = Document(html(alone))
    document.check()
    assert "nothing was compared" in document.text("p")
    assert {row["outcome"] for row in rows(document)} <= {"right", "wrong", "full", "part", "nothing"}
    assert "Nobody looked" in document.text("p")
    nothing = replace(alone, results=[], comparisons=[], groups=[], samples=[])
    Document(html(nothing)).check()


def test_five_models_are_told_apart():
    # Mutation: `place % SERIES` for the shape too.
    document = Document(html(made(12, models=("base", "tuned", "third", "fourth", "fifth"))))
    document.check()
    assert len({row["tuned model"] for row in rows(document)}) == 4
    assert len(document.text("p").split(" against base")) - 1 == 8


def test_scores_without_flagged_items_stand_beside():
    # Mutation: the estimate of all items twice.
    one = next(one for one in MADE.results if one.clean)
    made_of = "".join(sections.contamination(MADE.results))
    assert f"{100 * one.clean['acc'].value:.1f}%" in made_of
    assert f"{100 * one.estimates['acc'].value:.1f}%" in made_of
    unmet = [replace(one, flagged=np.zeros(60, bool), clean={})]
    assert "No item stands in" in "".join(sections.contamination(unmet))
