"""How hard a server is asked: requests at once, which adapts, and requests and tokens a minute."""

import asyncio
import email.utils
import heapq
import itertools
import math
import time
from collections.abc import Mapping

FIRST = 4  # requests at once to begin with
PROBE = 30.0  # seconds without a cut after which more is tried than was ever allowed
FLOOR = 0.8
MARGIN = 0.97  # of those on their way here, some the server has done with
LONGEST = 600.0  # seconds that a server can have a client wait at once
BURST = 0.05  # of a minute's allowance, what may be used at once


class Gate:
    """Lets requests through to a server: first few, more with each success, fewer when it is overloaded.

    Slow start: each success lets one more through, until the first cut, to 0.7 of what was. Later cuts are to 0.9; half
    the way back to the peak is made good in each round trip, and beyond it one more is tried in each. Of the failures
    of one round trip only the first cuts. Where the server says that we ask too much, what it bore is a ceiling: above
    it nothing is tried for `PROBE` seconds, then one more, two more, four more, until the next cut. So that a server
    which says so at random is not taken for one that bears nothing, the ceiling is no lower than `FLOOR` of what was
    borne lately.

    Attributes:
        limit: requests let through at once; a fraction is rounded down.
        busy: requests let through and not yet back.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(min(FIRST, most))
        self.busy = 0
        self._ceiling = self._peak = float(most)
        self._borne = (0, float("-inf"))  # most that were on their way with an answered one, and since when
        self._slow = True
        self._cut = self._probed = float("-inf")
        self._step = 1
        self._held = 0.0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._serial = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def enter(self, order: int) -> None:
        """Wait to be let through, those with a lower `order` first."""
        if not self._closed:
            future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (order, next(self._serial), future))
            self._admit()
            try:
                await future
            except asyncio.CancelledError:
                if future.done() and not future.cancelled():
                    self.leave()
                raise
        else:
            self.busy += 1

    def leave(self) -> None:
        self.busy -= 1
        self._admit()

    def close(self) -> None:
        """Let everyone through at once, who then finds that all is over."""
        self._closed = True
        for _, _, future in self._waiting:
            if not future.done():
                self.busy += 1
                future.set_result(None)
        self._waiting.clear()

    def hold(self, seconds: float) -> None:
        """Let nobody through for so long."""
        self._held = max(self._held, time.monotonic() + seconds)

    @property
    def held(self) -> float:
        """Seconds for which nobody is let through."""
        return max(0.0, self._held - time.monotonic())

    def succeeded(self, started: float, through: int) -> None:
        """A request sent at `started` (of `time.monotonic`), as one of `through` on their way, was answered."""
        now = time.monotonic()
        most, since = self._borne
        self._borne = (through, now) if now - since > PROBE else (max(most, through), since)
        if started < self._cut or self.busy < self.limit / 2:  # of before the cut; or the limit is not used
            return
        top = min(float(self.most), self._ceiling)
        if self._slow:
            self.limit = min(top, self.limit + 1)
        elif self.limit < top:
            gap = max(1.0, (min(top, self._peak) - self.limit) / 2)
            self.limit = min(top, self.limit + gap / self.limit)
        elif top < self.most and now - max(self._cut, self._probed) > PROBE:
            self._ceiling, self._probed, self._step = self._ceiling + self._step, now, self._step * 2
        self._admit()

    def overloaded(self, started: float, through: int, *, ours: bool) -> None:
        """A request sent at `started`, as one of `through` on their way, met a server that had too many.

        Args:
            ours: it said that it was we who asked too much; else it may have had other reasons.
        """
        if ours:
            self._ceiling = max(1.0, min(self._ceiling, max(MARGIN * (through - 1), FLOOR * self._borne[0])))
        if started >= self._cut:
            if self._slow:
                self._peak = self.limit
            self._peak = max(self._peak, self.limit)
            self.limit *= 0.7 if self._slow else 0.9
            self._slow, self._step, self._cut = False, 1, time.monotonic()
        self.limit = max(1.0, min(self.limit, self._ceiling))

    def _admit(self) -> None:
        if self._closed or not self._waiting:
            return
        if (held := self.held) > 0:
            if self._timer is None:
                self._timer = asyncio.get_running_loop().call_later(held, self._wake)
            return
        while self._waiting and self.busy < int(self.limit):
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                self.busy += 1
                future.set_result(None)

    def _wake(self) -> None:
        self._timer = None
        self._admit()


class Bucket:
    """A token bucket: never more than `minute` in any minute, of which `BURST` at once.

    What is larger than a burst goes when the bucket is full, and leaves it in debt; the bucket then fills more slowly,
    by so much as keeps a minute that has one more of that size within what is allowed (up to half of a minute's).
    """

    def __init__(self, minute: int) -> None:
        self._minute = minute
        self._size = max(1.0, minute * BURST)
        self._largest = self._size
        self._level = self._size
        self._time = time.monotonic()

    def wait(self, amount: float) -> float:
        """Takes the amount and returns 0, or returns the seconds until there may be enough."""
        now = time.monotonic()
        self._largest = max(self._largest, amount)
        rate = max(self._minute - self._largest, self._minute / 2) / 60  # a second
        self._level = min(self._size, self._level + (now - self._time) * rate)
        self._time = now
        missing = min(amount, self._size) - self._level
        if missing > 1e-9:
            return missing / rate
        self._level -= amount
        return 0.0

    def correct(self, amount: float) -> None:
        """Give back what was taken and not used, or take (negative) what was used beyond it."""
        self._level = min(self._size, self._level + amount)


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds for which a server wants to be left alone; None: it does not say so.

    Args:
        headers: with names in small letters. ``retry-after-ms`` counts milliseconds; ``retry-after`` has seconds or a
            date (RFC 9110, 10.2.3).
        now: seconds since 1970.
    """
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if not value:
            continue
        try:
            seconds = float(value) * scale
        except ValueError:
            try:
                seconds = email.utils.parsedate_to_datetime(value).timestamp() - now
            except (ValueError, TypeError, OverflowError, IndexError):
                continue
        if math.isfinite(seconds):
            return max(0.0, seconds)
    return None
