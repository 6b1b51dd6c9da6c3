"""Which workers are there, as their retained health says."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from antiphon_contracts import HEALTH, ContractError, Health, validate

SILENT_AFTER_S = 2.5
"""A worker beats once a second; one that missed two beats is gone, or as good as gone."""

SETTLED_AFTER_S = 2.5
"""So long after a connect every worker has been heard: by its retained health, or by two beats."""


class Presence:
    """The last health of every worker that was heard of.

    Args:
        now: a monotonic clock, in seconds.
        settled_after_s: so long after a connect, a kind that was not heard of is not there;
            infinite among workers that do not publish their health.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        *,
        settled_after_s: float = SETTLED_AFTER_S,
    ) -> None:
        self._now = now
        self._settled_after_s = settled_after_s
        self._workers: dict[str, Health] = {}
        self._heard_at: dict[str, float] = {}
        self._listening_since: float | None = None

    def note(self, raw: dict[str, Any], worker: str) -> str | None:
        """Take in a raw health envelope that came on `worker`'s own topic.

        Returns the worker's kind if it is there anew: first heard of, back from silence, started
        again or connected again. What was sent to it before may be lost.

        Raises:
            ContractError: it is none, or it is another worker's.
        """
        health = validate(raw, HEALTH.model, HEALTH.type).data
        if health.worker != worker:
            # A broker lets each worker publish its own health alone; the topic is what it checks.
            raise ContractError("a worker spoke for the health of another")
        before = self._workers.get(worker)
        here = health.state not in {"stopping", "gone"}
        anew = before is None or self._is_away(before) or _life(before) != _life(health)
        self._workers[worker] = health
        self._heard_at[worker] = self._now()
        return health.kind if here and anew else None

    def forget(self, worker: str) -> None:
        """Its retained health was deleted: it is not known any more."""
        self._workers.pop(worker, None)
        self._heard_at.pop(worker, None)

    def on_connect(self) -> None:
        """Nobody could be heard until now: their silence begins anew."""
        self._listening_since = self._now()
        self._heard_at = dict.fromkeys(self._workers, self._listening_since)

    def on_loss(self) -> None:
        """Nobody can be heard: who was not heard of may be there."""
        self._listening_since = None

    @property
    def workers(self) -> dict[str, Health]:
        """The last health of each worker, by its id."""
        return dict(self._workers)

    def is_gone(self, kind: str) -> bool:
        """Whether workers of the kind were there and all are gone or silent.

        A worker that is starting is not gone: loading a model may keep it from beating.
        """
        known = [health for health in self._workers.values() if health.kind == kind]
        return bool(known) and all(map(self._is_away, known))

    def is_absent(self, kind: str) -> bool:
        """Whether no worker of the kind was heard of, a while after the connect."""
        since = self._listening_since
        if since is None or self._now() - since <= self._settled_after_s:
            return False
        return all(health.kind != kind for health in self._workers.values())

    def _is_away(self, health: Health) -> bool:
        if health.state == "starting":
            return False
        silent_s = self._now() - self._heard_at[health.worker]
        return health.state == "gone" or silent_s > SILENT_AFTER_S


def _life(health: Health) -> tuple[int, int]:
    """Return what changes with every start and every connection of a worker."""
    return health.pid, health.counters.get("connects", 0)
