"""How hard a server is asked: requests at once, which adapts, and requests and tokens a minute."""

import asyncio
import email.utils
import heapq
import itertools
import time
from collections.abc import Mapping

FIRST = 4  # requests at once to begin with
PROBE = 30.0  # seconds without a cut after which more is tried than was ever allowed
LONGEST = 600.0  # seconds that a server can have a client wait at once
BURST = 0.05  # of a minute's allowance, what may be used at once


class Gate:
    """Lets requests through to a server: first few, more with each success, fewer when it is overloaded.

    Slow start: each success lets one more through, until the first cut, to 0.7 of what was. Later ones cut to 0.9, and
    then half the way to the ceiling is made good in each round trip. The ceiling is what the server bore when it first
    said 429; above it nothing is tried for `PROBE` seconds, then one more, two more, four more, until the next cut.
    A 503 cuts but sets no ceiling: it need not be our doing. Of the failures of one round trip, only the first cuts.

    Attributes:
        limit: requests let through at once; a fraction is rounded down.
        busy: requests let through and not yet back.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self.limit = float(min(FIRST, most))
        self.busy = 0
        self._ceiling = float(most)
        self._slow = True
        self._cut = self._probed = float("-inf")
        self._step = 1
        self._held = 0.0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._serial = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    async def enter(self, order: int) -> int:
        """Wait to be let through, those with a lower `order` first. Returns how many are through then, this one too."""
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
        return self.busy

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

    def succeeded(self, started: float) -> None:
        """A request that was let through at `started` (of `time.monotonic`) was answered."""
        now = time.monotonic()
        if started < self._cut or self.busy < self.limit / 2:  # of before the cut; or the limit is not used
            return
        most = min(float(self.most), self._ceiling)
        if self._slow:
            self.limit = min(most, self.limit + 1)
        elif self.limit < most:
            self.limit = min(most, self.limit + max(1.0, (most - self.limit) / 2) / self.limit)
        elif most < self.most and now - max(self._cut, self._probed) > PROBE:
            self._ceiling, self._probed, self._step = self._ceiling + self._step, now, self._step * 2
        self._admit()

    def overloaded(self, started: float, through: int, *, ours: bool) -> None:
        """A request that was let through at `started`, as one of `through`, met a server that had too many.

        Args:
            ours: it said that it was we who asked too much.
        """
        if ours:
            self._ceiling = max(1.0, min(self._ceiling, through - 1.0))
        if started < self._cut:
            return
        if not ours:
            self._ceiling = min(self._ceiling, self.limit) if not self._slow else self._ceiling
        self.limit = max(1.0, min(self.limit * (0.7 if self._slow else 0.9), self._ceiling))
        self._slow, self._step, self._cut = False, 1, time.monotonic()

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

    What is larger than a burst goes when the bucket is full, and leaves it in debt.
    """

    def __init__(self, minute: int) -> None:
        self._size = max(1.0, minute * BURST)
        self._rate = max(minute - self._size, minute / 2, 1.0) / 60 if minute > 1 else 1 / 60
        self._level = self._size
        self._time = time.monotonic()

    def wait(self, amount: float) -> float:
        """Takes the amount and returns 0, or returns the seconds until there may be enough."""
        now = time.monotonic()
        self._level = min(self._size, self._level + (now - self._time) * self._rate)
        self._time = now
        missing = min(amount, self._size) - self._level
        if missing > 1e-9:
            return missing / self._rate
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
        if seconds == seconds:  # not NaN
            return max(0.0, seconds)
    return None
