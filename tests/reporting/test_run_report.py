"""The section on scores while training, made from rows of the metrics."""

from bioinstruct_jax.reporting.run_report import scores

LOSS = {"step": 1, "loss": 2.0}


def _row(step: int, value: float | None, low: float | None, high: float | None, unfit: int = 0) -> dict:
    found = {"step": step, "t/f1": value, "t/f1_low": low, "t/f1_high": high, "t/items": 1200, "t/unfit": unfit}
    return found | {"t/other": 3.5, "t/other_low": 3.0, "t/other_high": 4.0}


def test_no_section_without_scores():
    assert scores([LOSS]) == []


def test_a_curve_a_table_and_what_did_not_fit():
    # Mutations: the last metric drawn instead of the headline; what did not fit left unsaid.
    (found,) = scores([_row(0, 0.2, 0.1, 0.3), LOSS, _row(5, 0.4, 0.3, 0.5, unfit=7)])
    assert "t/f1 by step, from 0.200 to 0.400" in found
    assert "0.400 (0.300 to 0.500)" in found
    assert "3.500 (3.000 to 4.000)" in found
    assert "1,200 items; 7 of them are longer than the context and count as wrong" in found


def test_what_has_no_interval_or_is_below_zero_is_told_without_a_curve():
    # Mutation: an interval drawn from 0 where there is none.
    for row, told in ((_row(0, 0.2, None, None), "0.200"), (_row(0, 0.1, -0.1, 0.3), "0.100 (-0.100 to 0.300)")):
        (found,) = scores([row])
        assert told in found
        assert "<svg" not in found
    (found,) = scores([_row(0, None, None, None)])
    assert "unknown" in found
