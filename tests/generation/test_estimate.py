"""What a dry run says: sums that can be done by hand."""

import pytest

from bioinstruct_jax.generation import asking
from bioinstruct_jax.generation.estimate import BYTES, SAMPLE, SPEED, estimate, said
from tests.generation.jobs import TEACHER, job, seeds

PRICED = {**TEACHER, "price": {"input": 10.0, "output": 20.0}}


def test_the_cost_is_tokens_times_prices():
    made = job(target=60, asked=10, shown=2, teachers=(PRICED,), categories={"by": "off"})
    one = estimate(made, seeds(), 0.5)
    assert one.requests == 12
    messages = [asking.request(made, seeds(), number).messages for number in range(SAMPLE)]
    shown = sum(len(text.encode()) for said in messages for _, text in said) / SAMPLE / BYTES
    assert one.tokens[0] == pytest.approx(12 * shown, abs=1)
    assert one.dollars == pytest.approx((one.tokens[0] * 10 + one.tokens[1] * 20) / 1e6, rel=1e-3)
    assert one.seconds == pytest.approx(one.tokens[1] / SPEED / 32, rel=1e-2)


def test_half_as_many_accepted_cost_twice_and_the_batch_api_half():
    made = job(target=6000, asked=10, teachers=(PRICED,), categories={"by": "off"})
    whole = estimate(made, seeds(), 0.8)
    assert estimate(made, seeds(), 0.4).dollars == pytest.approx(2 * whole.dollars)
    batch = job(target=6000, asked=10, teachers=({**PRICED, "batch": "on"},), categories={"by": "off"})
    assert estimate(batch, seeds(), 0.8).dollars == pytest.approx(whole.dollars / 2)


def test_more_passes_cost_more():
    plain = job(target=600, teachers=(PRICED,), categories={"by": "off"})
    labelled = job(target=600, teachers=(PRICED,), categories={"by": "teacher"})
    second = job(target=600, teachers=(PRICED,), categories={"by": "off"}, answers={"by": "second_pass"})
    requests = [estimate(made, seeds(), 0.5).requests for made in (plain, labelled, second)]
    assert requests == [400, 400 + 30 + 1, 400 + 600]


def test_what_is_said_has_the_assumptions_with_it():
    text = said(job(target=25_005, teachers=(PRICED,), budget={"dollars": 12.5}), seeds())
    assert "25,005 instructions" in text
    assert "Assumed" in text
    assert "12.50 dollars" in text
    assert len([line for line in text.splitlines() if "%" in line and "of the" not in line]) == 3
