"""Which turns have seen something from outside the house."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

KEPT_S = 3600.0
MAX_TURNS = 10_000


class Taints:
    """Remembers turns that were given an untrusted result.

    What a stranger wrote may be instructions in disguise. From then on in that turn, whatever
    changes something or sends something out needs a person's word.

    Args:
        now: a monotonic clock, in seconds.
        max_turns: beyond them the oldest are forgotten.
    """

    def __init__(
        self, now: Callable[[], float] = time.monotonic, max_turns: int = MAX_TURNS
    ) -> None:
        self._now = now
        self._max_turns = max_turns
        self._since: OrderedDict[str, float] = OrderedDict()

    def add(self, turn_id: str | None) -> None:
        """A turn has seen something from outside; None is no turn."""
        if turn_id is None:
            return
        self._since[turn_id] = self._now()
        self._since.move_to_end(turn_id)
        while len(self._since) > self._max_turns:
            self._since.popitem(last=False)

    def has(self, turn_id: str | None) -> bool:
        """Return whether a turn has, within the last hour."""
        since = None if turn_id is None else self._since.get(turn_id)
        return since is not None and self._now() - since < KEPT_S
