"""Only what repeats our own report of a save that failed is kept from the terminal."""

import asyncio
import logging
import sys
from types import SimpleNamespace

import pytest

from bioinstruct_jax.training import noise


def _closed():
    loop = asyncio.new_event_loop()
    loop.close()
    return loop


def _caught(call, *arguments):
    """The error, and its trace as C++ sees it: without a caller."""
    with pytest.raises(RuntimeError) as caught:
        call(*arguments)
    trace = caught.value.__traceback__
    while trace.tb_frame.f_globals["__name__"] != "asyncio.base_events":
        trace = trace.tb_next
    return caught.value, trace


def test_what_a_thread_tells_a_closed_loop_is_late_news():
    # Mutation: any error of a closed loop is.
    error, trace = _caught(_closed().call_soon_threadsafe, print)
    assert noise.is_late_news(error, trace)
    assert not noise.is_late_news(error, error.__traceback__)
    assert not noise.is_late_news(*_caught(_closed().run_forever))
    assert not noise.is_late_news(RuntimeError("Event loop is closed"), None)


@pytest.mark.parametrize(
    ("logger", "level", "path", "message", "kept"),
    [
        ("absl", logging.ERROR, "/lib/orbax/checkpoint/_src/futures/future.py", "raised an exception", False),
        ("absl", logging.CRITICAL, "/lib/orbax/checkpoint/_src/futures/future.py", "raised an exception", True),
        ("absl", logging.WARNING, "/lib/orbax/checkpoint/_src/futures/future.py", "will be removed", True),
        ("absl", logging.ERROR, "/envs/orbax-env/lib/grain/reader.py", "raised an exception", True),
        ("asyncio", logging.ERROR, "/lib/asyncio/base.py", "Task exception was never retrieved\nfuture: <Task>", False),
        ("asyncio", logging.ERROR, "/lib/asyncio/base.py", "Exception in callback print()", True),
    ],
)
def test_a_record_is_dropped_if_only_a_save_can_have_made_it(logger, level, path, message, kept):
    noise.silence()
    record = logging.LogRecord(logger, level, path, 1, message, (), None)
    assert bool(logging.getLogger(logger).filter(record)) is kept


def test_other_errors_of_threads_are_told(monkeypatch):
    # Mutation: the hook swallows everything.
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    noise.silence.__wrapped__()
    late, trace = _caught(_closed().call_soon_threadsafe, print)
    for error, where in ((ValueError("of a thread"), None), (late, trace)):
        sys.unraisablehook(SimpleNamespace(exc_type=type(error), exc_value=error, exc_traceback=where))
    assert [str(seen.exc_value) for seen in told] == ["of a thread"]
