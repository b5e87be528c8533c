"""The files of a study, of findings made by hand."""

import json
import math
import re
from dataclasses import fields, replace

import pytest

from bioinstruct_jax.evaluation.results import words
from bioinstruct_jax.studies.found import Contrast, Found, Score
from bioinstruct_jax.studies.job import Arm, Curve, Hypothesis, Learner, Reported
from bioinstruct_jax.studies.results import others, printed, record, report, sources, tables, verdicts, views, write
from tests.reporting.document import Document
from tests.studies.results.example import HOSTILE, TASKS, found, job

JOB = job()
FOUND = found(JOB)
ONE = job(models=(Learner(name="tiny", settings="tiny.yaml"),))
LESS = found(ONE)
SMALL = Found("Nothing yet", (), (), {}, (), ())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    study = job(tmp_path_factory.mktemp("study"), models=ONE.models)
    return study, write.write(study, LESS)


def html(one=FOUND, study=JOB):
    return Document("".join(report.pieces(one, study)))


def links(one):
    places = [place for state in one.states for place in (state.run, state.scores, state.log)]
    return [*places, *(row.file for row in one.rows)]


def test_all_files_are_there_and_the_terminal_is_told(written):
    study, said = written
    assert said.splitlines()[0] == LESS.notes[0]
    assert sum("p after Holm" in line for line in said.splitlines()) == 3
    assert said.splitlines()[-1] == f"report: {study.out}/report.html"
    folder = write.files.path(study.out)
    assert {one.name for one in folder.iterdir()} == {
        *("study.json", "report.html", "tables.md", "tables.tex", "figures"),
    }
    names = {one.name for one in (folder / "figures").iterdir()}
    assert {name[:-4] + ".svg" for name in names if name.endswith(".png")} == {n for n in names if n.endswith(".svg")}
    kinds = ("natural-generated-from-base", "matched-generated-from-base", "matched-generated-from-all")
    assert {name[:-4] for name in names} == {
        *(f"differences-tiny-{kind}" for kind in kinds),
        *(f"curve-{kind}-tiny-generated-all" for kind in ("groups", "tasks")),
    }


def test_figures_have_the_same_bytes_twice_and_old_ones_go(written):
    # Mutations: no hash salt; a date in the SVG; figures of an earlier time that stay.
    study, _ = written
    folder = write.files.path(study.out) / "figures"
    before = {one.name: one.read_bytes() for one in folder.iterdir()}
    (folder / "differences-gone.png").write_bytes(b"")
    (folder / "own.txt").write_bytes(b"kept")
    write.write(study, LESS)
    assert (folder / "own.txt").read_bytes() == b"kept"
    (folder / "own.txt").unlink()
    assert {one.name: one.read_bytes() for one in folder.iterdir()} == before
    assert all(data.startswith(b"\x89PNG" if name.endswith("png") else b"<?xml") for name, data in before.items())
    assert not [name for name, data in before.items() if b"<dc:date>" in data]


def test_the_record_holds_every_score_and_contrast():
    # Mutations: contrasts of the curve left out; NaN as it is; a key without its meaning.
    told = json.loads(record.text(FOUND))
    for name, kind in (("scores", Score), ("contrasts", Contrast)):
        there = getattr(FOUND, name)
        assert len(told[name]) == len(there)
        for row, one in zip(told[name], there, strict=True):
            assert list(row) == [field.name for field in fields(kind)]
            assert all(row[key] == (list(value) if isinstance(value, tuple) else value)
                       for key, value in vars(one).items())  # fmt: skip
            assert set(row) == set(record.KEYS[name])
    for name in ("states", "rows", "reported"):
        assert set(told[name][0]) == set(record.KEYS[name])
    assert set(told["states"][0]["cell"]) == set(record.KEYS["states"]["cell"])
    assert set(told) == {*record.KEYS, "keys"}
    odd = replace(FOUND, scores=(replace(FOUND.scores[0], value=math.nan, low=math.inf),))
    first = json.loads(record.text(odd), parse_constant=pytest.fail)["scores"][0]
    assert first["value"] is None
    assert first["low"] is None


def test_numbers_in_the_tables_are_those_of_the_findings():
    # Mutations: a share without its factor of 100; first and second exchanged; the interval of the score.
    made = {(one.model, one.protocol, one.against, one.size, one.arm): one.table for one in tables.compared(FOUND)}
    seen = 0
    for one in FOUND.contrasts:
        table = made[one.model, one.protocol, one.against, one.size, one.arm]
        (row,) = (row for row in table.rows if row[0] == one.on)
        cells = dict(zip(table.head, row, strict=True))
        assert row[3:5] == (words.score(one.first, one.unit), words.score(one.second, one.unit))
        shown = cells["difference, points"].rstrip("*\u2020")
        scale = {"share": 100, "points": 1, "error": 1}[one.unit]
        assert float(shown.replace("\u2212", "-")) == pytest.approx(scale * one.difference, abs=0.051)
        low, high = cells["95% interval"].replace("\u2212", "-").split(words.TO)
        assert [float(low), float(high)] == pytest.approx([scale * one.low, scale * one.high], abs=0.051)
        assert cells["p"] == words.p_value(one.p)
        assert cells["Holm's p"] == (words.p_value(one.holm) if one.primary else verdicts.UNADJUSTED)
        if one.on == "pubmedqa":
            assert cells["without met items"] == words.change(one.clean, one.unit, named=False)
            assert cells["majority"] == "55.2%"
        seen += 1
    assert seen == len(FOUND.contrasts) == sum(len(table.rows) for table in made.values())
    first = tables.compared(FOUND)[0]
    assert (first.arm, first.size, first.against) == ("all", "natural", "base")
    for row, one in zip(tables.scores(FOUND).rows, FOUND.scores, strict=True):
        assert row[6] == words.score(one.value, one.unit)
    for table in tables.curve(views.curves(FOUND)):
        assert table.head == ("on", "metric", "base", "1%", "5%", "25%", "100%")
        assert [row[0] for row in table.rows] == ["QA", "IE", "GEN", *TASKS]


@pytest.mark.parametrize(
    ("p", "holm", "primary", "higher", "difference", "mark", "verdict"),
    [
        (0.01, 0.03, True, True, 0.1, "*", "better"),
        (0.01, 0.03, True, False, 0.1, "*", "worse"),
        (0.01, 0.03, True, True, -0.1, "*", "worse"),
        (0.01, 0.06, True, True, 0.1, "", "not shown"),
        (0.01, None, True, True, 0.1, "", "not tested"),
        (0.04, None, False, True, 0.1, "\u2020", "hint: better"),
        (0.04, None, False, False, 0.1, "\u2020", "hint: worse"),
        (0.05, None, False, True, 0.1, "", "not shown"),
        (0.01, None, False, True, 0.0, "", "not shown"),
        (None, None, False, True, 0.1, "", "not tested"),
    ],
)
def test_marks_follow_holm_for_primary_and_p_for_exploratory(p, holm, primary, higher, difference, mark, verdict):
    one = replace(FOUND.contrasts[0], p=p, holm=holm, primary=primary, difference=difference)
    assert verdicts.mark(one) == mark
    assert verdicts.verdict(one, higher) == verdict
    assert (verdicts.good_points(one, higher) or 0) * (1 if higher else -1) == pytest.approx(100 * difference)


def test_the_matrix_has_a_square_for_each_contrast():
    # Mutations: parts of the curve in a matrix; lower is better coloured as higher; arms of the two sizes mixed.
    heats = views.heats(FOUND)
    keys = [(one.model, one.size, one.against) for one in heats]
    assert keys == [(model, *rest) for model in ("tiny", "larger")
                    for rest in (("natural", "base"), ("matched", "base"), ("matched", "all"))]  # fmt: skip
    for heat in heats:
        these = [one for one in FOUND.contrasts if (one.model, one.size, one.against) ==
                 (heat.model, heat.size, heat.against)]  # fmt: skip
        assert set(heat.squares) == {(one.arm, one.on) for one in these}
        assert heat.lower == ("mts_dialog",)
        for one in these:
            square = heat.squares[one.arm, one.on]
            assert square.text.endswith(verdicts.mark(one))
            assert square.primary == one.primary
            assert (square.good > 0) == ((one.difference > 0) != (one.on == "mts_dialog"))
        assert heat.columns == ("QA", "IE", "GEN", *TASKS)


def test_the_page_is_well_formed_and_has_its_sections():
    document = html()
    document.check(links(FOUND))
    assert [text for tag, text in document.texts if tag == "h2"] == [
        *("Primary hypotheses", "Base against tuned", "Which instructions help which tasks"),
        *("How much data is needed", "Rows of each arm", "Models of others, measured here"),
        *("Published by others, not measured here", "Every score", "Cells", "Settings"),
    ]
    hrefs = {attrs["href"] for attrs in document.of("a")}
    assert hrefs == {place for place in links(FOUND) if place}
    cells = document.text("td")
    assert "CUDA out of memory: 3 GiB <wanted>" in cells
    assert "12\xa0min\xa034\xa0s" in cells
    assert "published: a paper (2024)" in cells
    assert "+17.3%" in cells
    assert "seeds: [0, 1, 2]" in document.text("code")
    notes = [attrs for tag, attrs in document.elements if attrs.get("class") == "note"]
    assert notes
    marked = [one for one in FOUND.contrasts if one.primary]
    framed = [attrs for attrs in document.of("td") if "right" in (attrs.get("class") or "").split()]
    assert len(framed) == len(marked) == 6
    titles = document.text("title")
    for one in FOUND.scores:
        if one.on == one.group and one.size in ("", "natural", "0.05") and one.arm == "all":
            assert words.score(one.value, one.unit) in titles


def test_hypotheses_without_scores_are_said():
    # Mutation: only those that have a contrast are told.
    study = job(hypotheses=(Hypothesis(on="QA"), Hypothesis(on="IE", against="no-IE", size="matched")))
    one = found(study)
    said = report.headlines(one, study)
    assert len(said) == 4
    assert said[-1] == (
        "larger: all (matched) against no-IE (matched) in IE, written: not answered, because scores are missing."
    )
    assert [row[-2] for row in tables.primary(one, study).rows][-1] == "not answered"


def test_what_is_not_tested_is_said_once_with_its_reason(tmp_path):
    # Mutations: a note of it beside the sentence; the sentence without why; the declared twice told twice.
    study = job(tmp_path, models=ONE.models, hypotheses=(*(2 * (Hypothesis(on="QA"),)), Hypothesis(on="IE")))
    one = found(study)
    why = "1 of 3 seeds: how seeds differ is unknown"
    kept = [
        replace(each, low=None, high=None, p=None, holm=None, note=why) if each.primary and each.on == "QA" else each
        for each in one.contrasts
        if not (each.primary and each.on == "IE")
    ]
    told = write.write(study, replace(one, contrasts=tuple(kept))).splitlines()
    assert next(line for line in told if "QA, written" in line).endswith(f"(no interval; no p). Not tested: {why}.")
    for group in ("QA", "IE"):
        assert sum(f"against base in {group}, written" in line for line in told) == 1
    assert not any(line.startswith("not tested") for line in told)


def test_the_guide_says_what_the_intervals_are():
    # hierarchical.py widens them as Student's t does; a page that calls them short would be of another program.
    text = " ".join(report._GUIDE)
    assert "Student's t" in text
    assert "too short" not in text


def test_answers_that_cannot_be_read_are_told_first():
    # Mutations: a rate of log-likelihoods told; the highest named as the lowest.
    assert report.notes(LESS) == list(LESS.notes)
    low = {"hoc": 0.125, "medqa": 0.25}
    scores = tuple(replace(one, answered=low.get(one.on, one.answered)) if one.arm == "base" else one
                   for one in LESS.scores)  # fmt: skip
    tasks = sum(one.on != one.group for one in scores)
    assert report.notes(replace(LESS, scores=scores))[-1] == (
        f"In 2 of {tasks} scores of written answers most answers could not be read and count as wrong; the lowest "
        "extraction rates: tiny, base in hoc 12.5%, tiny, base in medqa 25.0%. Part of these differences is form."
    )
    other = replace(LESS, scores=tuple(replace(one, protocol="harness", answered=0.0) for one in LESS.scores))
    assert report.notes(other) == list(LESS.notes)


def test_equality_of_matched_arms_is_told():
    table = sources.composition(FOUND)
    tokens = [one.target_tokens for one in FOUND.rows if one.size == "matched"]
    apart = 100 * (max(tokens) - min(tokens)) / (sum(tokens) / len(tokens))
    assert table.says == (
        f"Matched arms have 1,200 rows and {min(tokens):,} to {max(tokens):,} target tokens, {apart:.2f}% of their "
        "mean apart."
    )
    row = dict(zip(table.head, table.rows[0], strict=True))
    assert (row["rows"], row["target tokens"], row["QA, rows"], row["QA, of target tokens"]) == (
        *("3,000", "114,000", "1,000", "33.3%"),
    )


def test_others_stand_apart():
    # Mutations: gains among the scores; rows of papers told as measured.
    scores, gains = others.reported(FOUND)
    assert scores.title == others.THEIRS
    assert [row[1] for row in scores.rows] == ["measured here"] * 4 + ["published: a paper (2024)"]
    assert scores.rows[-1][-2:] == ("41.5", "30.2")
    relative = next(one.relative for one in FOUND.contrasts if one.primary and one.on == "QA")
    assert gains.rows[0][-1] == f"{100 * relative:+.1f}%"
    assert gains.rows[-1][-1] == "+17.3%"
    (table, *_) = others.comparators(FOUND)
    assert [row[1] for row in table.rows] == ["of this study"] * 4 + ["of others"]


def test_latex_is_balanced_and_escaped():
    # Mutations: a caption or a head that is not escaped; U+2212, which LaTeX does not know, as it is.
    study = job(arms=(Arm(name="a_b"), Arm(name="all")), models=(Learner(name="m_1", settings="tiny.yaml"),))
    one = replace(found(study), title=HOSTILE, removed={HOSTILE: 3}, reported=(
        Reported(model=HOSTILE, paper=HOSTILE, scores={"QA": 1.0}),))  # fmt: skip
    text = write.latex(one, study)
    stack = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            stack.append(name)
        else:
            assert stack.pop() == name
    assert not stack
    assert text.isascii()
    assert "U+03B2" in text
    bare = re.sub(r"\\[\\{}&%$#_]|\$[-]\$", "", text.split("\n", 1)[1])
    assert bare.count("{") == bare.count("}")
    assert not re.findall(r"[%$#_~^|<>]", bare)
    for body in re.findall(r"\\begin\{tabular\}\{([lr]+)\}\n(.*?)\\end\{tabular\}", text, re.DOTALL):
        rows = [line for line in body[1].splitlines() if line.endswith(r" \\")]
        assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {len(body[0])}


def test_hostile_words_are_escaped_in_page_and_markdown():
    state = replace(FOUND.states[0], why=HOSTILE, status="failed")
    one = replace(FOUND, title=HOSTILE, notes=(HOSTILE,), states=(state,), removed={HOSTILE: 1}, settings=HOSTILE)
    document = html(one)
    document.check(links(FOUND))
    assert not document.of("b")
    assert document.text("h1") == HOSTILE
    assert HOSTILE in document.text("code")
    text = write.markdown(one, JOB)
    assert "<b>" not in text.replace("\\<b>", "")
    for table in [tables.primary(one, JOB), sources.cells(one), sources.removed(one)]:
        lines = [line for line in printed.markdown(table).splitlines() if line.startswith("|")]
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


BARE_SCORES = tuple(replace(one, low=None, high=None, majority=None, seeds=()) for one in LESS.scores)
BARE = {"low": None, "high": None, "p": None, "holm": None, "clean": None, "relative": None}


@pytest.mark.parametrize(
    "one",
    [
        SMALL,
        replace(LESS, contrasts=()),
        replace(LESS, scores=(), contrasts=(), rows=(), removed={}, reported=()),
        replace(LESS, scores=BARE_SCORES, contrasts=tuple(replace(one, **BARE) for one in LESS.contrasts)),
        replace(
            LESS,
            scores=tuple(replace(one, value=math.nan) for one in LESS.scores),
            contrasts=tuple(replace(one, difference=math.nan, first=math.nan) for one in LESS.contrasts),
        ),
        replace(
            LESS,
            scores=tuple(one for one in LESS.scores if one.arm != "base" and one.on == "hoc"),
            contrasts=tuple(one for one in LESS.contrasts if one.on == "hoc"),
        ),
    ],
    ids=["nothing", "no contrasts", "no scores", "no intervals", "no numbers", "one task, no base"],
)
def test_whatever_is_missing_all_files_are_written(one, tmp_path):
    write.write(job(tmp_path, models=ONE.models), one)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    Document(text).check(links(FOUND))
    for name in ("report.html", "tables.md", "tables.tex", "study.json"):
        assert not re.search(r"\bnan\b|\bNone\b(?! is known)", (tmp_path / name).read_text(encoding="utf-8")), name


@pytest.mark.slow
def test_forty_tasks_and_twenty_arms(tmp_path):
    tasks = {f"task_{at}": (("QA", "IE", "GEN")[at % 3], "acc", "share", 0.2, 0.1) for at in range(40)}
    study = job(tmp_path, arms=tuple(Arm(name=f"arm-{at}") for at in range(20)), curve=Curve(arm="arm-0"),
                hypotheses=(Hypothesis(on="QA", arm="arm-0"),))  # fmt: skip
    one = found(study, tasks)
    write.write(study, one)
    Document((tmp_path / "report.html").read_text(encoding="utf-8")).check(links(one))
