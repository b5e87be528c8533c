"""Tables of several models, by hand."""

import numpy as np
import pytest

from bioinstruct_jax.evaluation.bootstrap import Estimate
from bioinstruct_jax.evaluation.results import tables
from bioinstruct_jax.evaluation.results.tables import Cell, Line
from tests.evaluation.results.by_hand import estimate, result

RESULTS = [
    result("base_7b", "pubmedqa", "harness"),
    result("tuned", "pubmedqa", "harness", estimates={"acc": estimate(0.319), "macro_f1": estimate(0.2)}),
    result("tuned", "mmlu_anatomy", "generated", answered=0.987, baselines={}),
]
GROUP = Line("QA, mean", "log-likelihood, harness", "accuracy", (8,), {"tuned": Cell("40.0 [30.0, 50.0]")})
MARKDOWN = """\
| Task | Protocol | Metric | n | Majority | Chance | base\\_7b | tuned | tuned, read |
| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |
| pubmedqa | log-likelihood, harness | accuracy | 4 | 55.2 | 33.3 | 50.0 [47.5, 52.5] | 31.9 [29.4, 34.4] | @ |
| mmlu\\_anatomy | generated | accuracy | 4 | @ | @ | @ | 50.0 [47.5, 52.5] | 98.7 |
| QA, mean | log-likelihood, harness | accuracy | 8 | @ | @ | @ | 40.0 [30.0, 50.0] | @ |
""".replace("@", tables.ABSENT)
LATEX = r"""\begin{tabular}{lllrrrrrr}
\toprule
Task & Protocol & Metric & n & Majority & Chance & base\_7b & tuned & tuned, read \\
\midrule
pubmedqa & log-likelihood, harness & accuracy & 4 & 55.2 & 33.3 & 50.0 {[}47.5, 52.5{]} & 31.9 {[}29.4, 34.4{]} & -- \\
mmlu\_anatomy & generated & accuracy & 4 & -- & -- & -- & 50.0 {[}47.5, 52.5{]} & 98.7 \\
QA, mean & log-likelihood, harness & accuracy & 8 & -- & -- & -- & 40.0 {[}30.0, 50.0{]} & -- \\
\bottomrule
\end{tabular}
"""


def test_markdown_and_latex_by_hand():
    # Mutations: no escapes; the share as it is; a column of what was read for the base too.
    lines = [*tables.lines(RESULTS), GROUP]
    assert tables.markdown(lines, ("base_7b", "tuned")) == MARKDOWN
    assert tables.latex(lines, ("base_7b", "tuned")) == LATEX


@pytest.mark.parametrize(
    ("value", "unit", "told"),
    [
        (0.3195, "share", "31.9"),
        (23.456, "points", "23.5"),
        (0.6789, "error", "0.679"),
        (None, "share", ""),
        (0.0, "share", "0.0"),
    ],
)
def test_units(value, unit, told):
    assert tables.number(value, unit) == told


def test_a_score_without_an_interval_stands_alone():
    assert tables.shown(estimate(0.5, None)) == "50.0"
    assert tables.shown(Estimate(None, None, None, None, 0.95, "BCa", 0)) == ""


def test_any_name_is_escaped():
    line = Line("a_b|c\n%d & $e #f {g} ~h ^i \\j <k>", "generated", "F1", (1200, 12), {})
    assert tables.markdown([line], ()).splitlines()[2] == (
        "| a\\_b\\|c %d & $e #f {g} ~h ^i \\\\j \\<k> | generated | F1 | 1,200 / 12 | @ | @ |".replace(
            "@", tables.ABSENT
        )
    )
    assert (
        tables.latex([line], ())
        .splitlines()[4]
        .startswith(
            r"a\_b\textbar{}c \%d \& \$e \#f \{g\} \textasciitilde{}h \textasciicircum{}i \textbackslash{}j "
            r"\textless{}k\textgreater{} &"
        )
    )


def test_a_bracket_after_a_line_break_is_no_length():
    # LaTeX reads \\ [x] as a break of that length.
    assert tables.latex([Line("[x]", "generated", "F1", (1,), {})], ()).splitlines()[4].startswith("{[}x{]}")


def test_models_on_different_items_are_seen():
    other = result("tuned", ids=("pubmedqa/test/1",), documents=("d",), values=np.ones(1))
    (line,) = tables.lines([result("base"), other])
    assert line.items == (4, 1)


def test_two_results_of_one_model_are_refused():
    with pytest.raises(ValueError, match="pubmedqa, harness: two results of the model 'tuned'"):
        tables.lines([result(), result()])
