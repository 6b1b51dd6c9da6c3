"""How long to wait before the next attempt to connect."""

from __future__ import annotations

import random
from collections.abc import Callable

STABLE_S = 2.0  # a connection that held this long did not fail because of us
# A broker that restarts is back within seconds, and the house waits for it; one that is away for
# longer is asked less often.
EARLY_S = 30.0
EARLY_LONGEST_S = 1.0
# So many connections in a row may be brief before pauses grow: a broker that is restarted again and
# again is followed closely, one that hangs up on us each time (another client has our id) is not.
BRIEF_TOLERATED = 4


class Backoff:
    """Doubles the pause with every attempt that fails, and begins anew after each connection.

    In the first 30 s without a connection that holds, no pause is longer than 1 s.

    Args:
        shortest_s: the first pause.
        longest_s: no pause is longer.
        now: a monotonic clock, in seconds.
    """

    def __init__(self, shortest_s: float, longest_s: float, now: Callable[[], float]) -> None:
        self._shortest_s = shortest_s
        self._longest_s = longest_s
        self._now = now
        self._next_s = shortest_s
        self._troubled_since = now()
        self._brief = 0

    def on_loss(self, held_s: float) -> None:
        """A connection that held so long is gone."""
        if held_s >= STABLE_S:
            self._troubled_since = self._now()
            self._brief = 0
        else:
            self._brief += 1
        excess = min(max(0, self._brief - BRIEF_TOLERATED), 32)
        self._next_s = min(self._shortest_s * 2**excess, self._cap_s())

    def on_failure(self) -> None:
        """An attempt did not become a connection: nobody is there to hang up on us."""
        self._brief = 0

    def pause_s(self) -> float:
        """Return how long to wait now; the next pause is longer."""
        pause_s = self._next_s
        self._next_s = max(pause_s, min(pause_s * 2, self._cap_s()))
        # Half of it is chance: workers that lost the broker together come back one by one.
        return pause_s * random.uniform(0.5, 1.0)  # noqa: S311  (jitter)

    def _cap_s(self) -> float:
        early = self._now() - self._troubled_since < EARLY_S
        return min(EARLY_LONGEST_S, self._longest_s) if early else self._longest_s
