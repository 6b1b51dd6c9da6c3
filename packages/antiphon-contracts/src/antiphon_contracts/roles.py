"""Roles: who takes part, and so who may publish and who may take which topic."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Flag, auto


class Role(Flag):
    """Who takes part in the conversation on the bus; several are joined with `|`.

    A worker's kind is its role's name in lower case.
    """

    SATELLITE = auto()
    WAKE = auto()
    STT = auto()
    LLM = auto()
    TOOLS = auto()
    ROUTER = auto()
    MEMORY = auto()
    TTS = auto()
    TIMER = auto()
    OPERATOR = auto()
    CLIENT = auto()
    METRICS = auto()
    DEVICE = auto()

    @property
    def words(self) -> str:
        """The roles' names in lower case, separated by commas; groups by their own name."""
        for group, name in ((EVERYONE, "everyone"), (WORKERS, "every worker")):
            if self == group:
                return name
        return ", ".join(str(role.name).lower() for role in self)


WORKERS = (
    Role.SATELLITE
    | Role.WAKE
    | Role.STT
    | Role.LLM
    | Role.TOOLS
    | Role.ROUTER
    | Role.MEMORY
    | Role.TTS
    | Role.TIMER
)
"""The processes that make up the house; each has an id and publishes its health."""

PEOPLE = Role.OPERATOR | Role.CLIENT
"""Whoever speaks to the house: its operator (the command line) and the clients let in by name."""

EVERYONE = WORKERS | PEOPLE | Role.METRICS
"""All of them, and the exporter of metrics, which listens and publishes nothing."""

# DEVICE is none of them: lamps and their bridges on the same broker have topics of their own.

NOBODY = Role(0)


@dataclass(frozen=True)
class Flow:
    """Who publishes on a topic and who takes from it; nobody by default.

    Attributes:
        senders: who publishes.
        receivers: who takes.
    """

    senders: Role = NOBODY
    receivers: Role = NOBODY

    def __str__(self) -> str:
        return f"{self.senders.words} -> {self.receivers.words}"
