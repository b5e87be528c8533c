"""What orbax and tensorstore print of a save that failed, which we report ourselves in one line.

Orbax logs each failure once for every thread that it passes through; asyncio tells of the tasks that nobody waited
for; tensorstore's threads print that the event loop that they would have told is closed. All of it names the same
cause, hundreds of lines after the one that matters, or below it.
"""

import logging
import sys
from functools import cache
from types import TracebackType


@cache
def silence() -> None:
    """Keep errors that orbax logs, tasks that nobody awaited, and late news out of the terminal from now on.

    All that orbax fails at raises as well, and `checkpoint.py` tells it.
    """
    logging.getLogger("absl").addFilter(
        lambda record: record.levelno != logging.ERROR or "/orbax/checkpoint/" not in record.pathname
    )
    logging.getLogger("asyncio").addFilter(lambda record: "exception was never retrieved" not in record.getMessage())
    told = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        if not is_late_news(unraisable.exc_value, unraisable.exc_traceback):
            told(unraisable)

    sys.unraisablehook = hook


def is_late_news(error: BaseException | None, trace: TracebackType | None) -> bool:
    """Whether it is a thread of C++ that tells a closed event loop of something: such a trace has no caller."""
    if not isinstance(error, RuntimeError) or str(error) != "Event loop is closed" or trace is None:
        return False
    return trace.tb_frame.f_code.co_name == "call_soon_threadsafe"
