import asyncio
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bioinstruct_jax.api import pace
from bioinstruct_jax.api.pace import Bucket, Gate, retry_after


class Clock:
    def __init__(self, monkeypatch):
        self.now = 1000.0
        monkeypatch.setattr(pace.time, "monotonic", lambda: self.now)


@settings(max_examples=60, deadline=None)
@given(minute=st.integers(1, 3000), amount=st.floats(0.1, 1500), count=st.integers(1, 80), give_back=st.booleans())
def test_no_minute_has_more_than_it_may(minute, amount, count, give_back):
    # Mutation: a rate of minute / 60 lets a burst come on top.
    with pytest.MonkeyPatch.context() as patch:
        clock = Clock(patch)
        bucket, taken = Bucket(minute), []
        amount = min(amount, minute / 2) if minute > 1 else 1.0
        for _ in range(count):
            for _ in range(100):
                seconds = bucket.wait(amount)
                if not seconds:
                    break
                clock.now += seconds
            assert not seconds, "it comes to its turn"
            taken.append((clock.now, amount / 2 if give_back else amount))
            if give_back:
                bucket.correct(amount / 2)
        for start, _ in taken:
            within = sum(used for when, used in taken if start <= when < start + 59.999)
            assert within <= minute * 1.0001 + (0 if minute > 1 else 1)


def through(gate: Gate, count: int) -> None:
    gate.busy = count


def test_slow_start_one_cut_a_round_and_a_ceiling(monkeypatch):
    clock = Clock(monkeypatch)
    gate = Gate(100)
    assert gate.limit == 4
    for _ in range(36):
        through(gate, int(gate.limit))
        gate.succeeded(clock.now, int(gate.limit))
    assert gate.limit == 40
    sent = clock.now
    clock.now += 1
    gate.overloaded(sent, 41, ours=True)
    after = gate.limit
    assert after == pytest.approx(28)
    gate.overloaded(sent, 45, ours=True)  # of the same round. Mutation: no look at `_cut` cuts again
    assert gate.limit == after
    clock.now += 1
    for _ in range(500):
        through(gate, int(gate.limit))
        gate.succeeded(clock.now, int(gate.limit))
    assert gate.limit == pytest.approx(40 * pace.MARGIN), "up to what was borne, with a margin, and no further"
    gate.overloaded(clock.now, 39, ours=True)
    assert gate.limit == pytest.approx(40 * pace.MARGIN * 0.9)
    clock.now += pace.PROBE + 1
    for _ in range(500):
        through(gate, int(gate.limit))
        gate.succeeded(clock.now, int(gate.limit))
    assert gate.limit == pytest.approx(38 * pace.MARGIN + 1), "one more is tried, once"


def test_limits_stay_between_one_and_most(monkeypatch):
    clock = Clock(monkeypatch)
    gate = Gate(3)
    for number in range(200):
        clock.now += 1
        gate.overloaded(clock.now, 1 + number % 3, ours=bool(number % 2))
        assert gate.limit >= 1
    for _ in range(200):
        clock.now += 1
        through(gate, 3)
        gate.succeeded(clock.now, 3)
        assert gate.limit <= 3


def test_the_gate_lets_the_first_through_first_and_keeps_count():
    async def run():
        gate, order = Gate(2), []

        async def one(place):
            await gate.enter(place)
            try:
                order.append(place)
                assert gate.busy <= 2
                await asyncio.sleep(0.001)
            finally:
                gate.leave()

        tasks = [asyncio.create_task(one(place)) for place in reversed(range(10))]
        await asyncio.sleep(0)
        tasks[0].cancel()  # let through, and does not know it yet
        tasks[5].cancel()  # waits
        await asyncio.gather(*tasks, return_exceptions=True)
        assert gate.busy == 0
        assert order[2:] == sorted(order[2:])
        return order

    assert len(asyncio.run(run())) == 9


def test_nobody_passes_while_it_is_held():
    async def run():
        gate = Gate(4)
        start = time.monotonic()  # first: a process may be interrupted between these lines
        gate.hold(0.05)
        await gate.enter(0)
        return time.monotonic() - start

    assert asyncio.run(run()) >= 0.045


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Thu, 01 Jan 1970 00:01:40 GMT"}, 40.0),
        ({"retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after": "-5"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),  # 1e400 too
    ],
)
def test_what_a_server_asks_for(headers, seconds):
    assert retry_after(headers, 60.0) == seconds
