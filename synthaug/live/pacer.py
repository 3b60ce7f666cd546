"""Work that leaves most of the time to others."""

from __future__ import annotations

import time

from synthaug.live.shared_pool_state import SharedPoolState

LEAST_WORK_S = 0.05
LONGEST_NAP_S = 0.2
"""After which a rest gives a sign of life, and asks whether it is still wanted."""


class Pacer:
    """Rests so often and so long that work takes no more than its share of the time.

    Rests lie between the network evaluations of a pair, not only between pairs: a training sees a light load at all
    times, and no burst of seconds.

    Args:
        duty: share of the time for work, above 0 to 1.
        state: told that the process lives, and how long it worked.
    """

    def __init__(self, duty: float, state: SharedPoolState) -> None:
        self._rest_per_work = 1 / duty - 1
        self._state = state
        self._worked_since = time.monotonic()

    def rest(self) -> None:
        """Rest for the work done since the last rest, if it is worth it."""
        now = time.monotonic()
        work_s = now - self._worked_since
        if work_s < LEAST_WORK_S:
            return
        self._state.beat()
        self._state.count_work(work_s)
        self.idle(work_s * self._rest_per_work)

    def idle(self, seconds: float) -> None:
        """Do nothing for a time; less where the process is to end."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0 and not self._state.ending:
            self._state.beat()
            time.sleep(min(LONGEST_NAP_S, left))
        self._worked_since = time.monotonic()
