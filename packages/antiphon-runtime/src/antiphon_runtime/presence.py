"""Which workers are there, as their retained health says."""

from __future__ import annotations

from typing import Any

from antiphon_contracts import HEALTH, Health, validate


class Presence:
    """The last health of every worker that was heard of."""

    def __init__(self) -> None:
        self._workers: dict[str, Health] = {}

    def note(self, raw: dict[str, Any]) -> None:
        """Take in a raw health envelope.

        Raises:
            ContractError: it is none.
        """
        health = validate(raw, HEALTH.model, HEALTH.type).data
        self._workers[health.worker] = health

    def forget(self, worker: str) -> None:
        """Its retained health was deleted: it is not known any more."""
        self._workers.pop(worker, None)

    @property
    def workers(self) -> dict[str, Health]:
        """The last health of each worker, by its id."""
        return dict(self._workers)

    def is_gone(self, kind: str) -> bool:
        """Whether workers of the kind were there and all are gone; unknown kinds are not gone."""
        states = [health.state for health in self._workers.values() if health.kind == kind]
        return bool(states) and all(state == "gone" for state in states)
