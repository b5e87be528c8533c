"""Signals: at once while there is nothing to save, noted once there is, and never lost."""

import contextlib
import os
import signal

import pytest

from bioinstruct_jax.interrupt import Interrupt, Terminated


def _send(number: int) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt)])
def test_before_there_is_anything_to_save_a_signal_ends_at_once(number, error):
    with pytest.raises(error), Interrupt():
        _send(number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_then_it_is_noted_and_the_handlers_are_put_back(number):
    before = signal.getsignal(number)
    with Interrupt() as interrupt:
        interrupt.arm()
        assert not interrupt.due(1)
        _send(number)
        assert interrupt.due(2)
        assert interrupt.received == number
    assert signal.getsignal(number) == before


def test_one_whose_exception_was_swallowed_still_ends_the_run():
    # Some imports catch everything. Mutation: arm() that forgets what was received.
    with Interrupt() as interrupt:
        with contextlib.suppress(BaseException):
            _send(signal.SIGTERM)
        with pytest.raises(Terminated):
            interrupt.arm()


def test_a_second_ctrl_c_ends_at_once_and_a_second_sigterm_does_not():
    with Interrupt() as interrupt:
        interrupt.arm()
        for _ in range(2):
            _send(signal.SIGTERM)
        _send(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            _send(signal.SIGINT)


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, Terminated)])
def test_an_exception_that_somebody_swallowed_is_raised_at_the_next_check(number, kind):
    # XLA prints what is raised amid its callbacks and goes on. Mutation: `check` that only looks at `armed`.
    with Interrupt() as interrupt:
        interrupt.check()
        with contextlib.suppress(KeyboardInterrupt):
            _send(number)
        with pytest.raises(kind):
            interrupt.check()
