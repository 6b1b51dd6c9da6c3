"""A circuit breaker: a server that fails again and again is left alone for a while.

```
          failures in a row, or one slow failure
  closed ──────────────────────────────────────► open
    ▲ ▲                                           │  after retry_s
    │ └──────────────── trial succeeds ────── half_open ◄─┘
    │                                             │
    └ (a probe is a weak sign: the next           └─ trial fails ──► open
       failure opens it again)
```

Nothing here waits or asks: callers say how their calls went. See `upstream` for the rest.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NewType

BreakerState = Literal["closed", "open", "half_open"]
Ticket = NewType("Ticket", int)

_RANDOM = secrets.SystemRandom()


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When a breaker opens, and for how long.

    Attributes:
        failures: so many in a row open it.
        slow_s: a single failure that kept somebody waiting for so long opens it, too.
        retry_s: mean time from opening to the next trial.
        spread: share by which that time differs, so that several workers do not ask in step.
    """

    failures: int = 3
    slow_s: float = 3.0
    retry_s: float = 30.0
    spread: float = 0.1


class Breaker:
    """The state machine.

    Args:
        rules: when it opens, and for how long.
        now: a monotonic clock, in seconds.
        chance: a number from 0 to 1.
    """

    def __init__(
        self,
        rules: BreakerRules | None = None,
        *,
        now: Callable[[], float] = time.monotonic,
        chance: Callable[[], float] = _RANDOM.random,
    ) -> None:
        self.rules = rules or BreakerRules()
        self._now = now
        self._chance = chance
        self._state: BreakerState = "closed"
        self._failures = 0
        self._retry_at = 0.0
        self._era = 0

    @property
    def state(self) -> BreakerState:
        """`half_open` while a trial runs."""
        return self._state

    @property
    def due_in_s(self) -> float:
        """How long until an open breaker admits a trial; 0 if it would now."""
        return max(0.0, self._retry_at - self._now()) if self._state == "open" else 0.0

    def admit(self) -> Ticket | None:
        """Return a ticket by which to say how the call went; None if it must not be made.

        Of the calls that come when an open breaker is due, one is admitted as its trial.
        """
        if self._state == "half_open" or self.due_in_s > 0:
            return None
        if self._state == "open":
            self._enter("half_open")
        return Ticket(self._era)

    def succeeded(self, ticket: Ticket, *, as_probe: bool = False) -> None:
        """The server answered.

        Args:
            ticket: from `admit`.
            as_probe: it was only asked whether it is there.
        """
        if ticket != self._era:
            return
        self._failures = self.rules.failures - 1 if as_probe else 0
        if self._state != "closed":
            self._enter("closed")

    def failed(self, ticket: Ticket, waited_s: float) -> None:
        """The server did not answer, or not as it should; somebody waited in vain for so long.

        A call that began before the last change of state says nothing new.
        """
        if ticket != self._era:
            return
        self._failures += 1
        is_enough = self._failures >= self.rules.failures or waited_s >= self.rules.slow_s
        if self._state == "half_open" or is_enough:
            rules = self.rules
            early_or_late = 1 + rules.spread * (2 * self._chance() - 1)
            self._retry_at = self._now() + rules.retry_s * early_or_late
            self._enter("open")

    def left(self, ticket: Ticket) -> None:
        """The caller went before it was known; a trial is left to the next."""
        if ticket == self._era and self._state == "half_open":
            self._enter("open")

    def _enter(self, state: BreakerState) -> None:
        self._state = state
        self._era += 1
