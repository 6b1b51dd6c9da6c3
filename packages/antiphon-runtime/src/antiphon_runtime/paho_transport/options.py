"""Where the broker is and how to be known to it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from typing import Literal

from antiphon_runtime.transport import Will


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """Where the broker is and how to be known to it.

    Attributes:
        client_id: unique at the broker; empty lets the broker choose.
        session_expiry_s: how long the broker keeps what arrives while this client is away; 0 is a
            clean session.
        keepalive_s: after this long without a word the broker is asked whether it is there, and
            after as long again given up.
        protocol: `auto` tries MQTT 5, then 3.1.1.
        tls: a TLS context; None is plain TCP.
        max_queued: publishes that may wait for the broker; more are refused.
        backoff_s: shortest and longest pause between two attempts to connect; see `Backoff`.
    """

    host: str = "127.0.0.1"
    port: int = 1883
    username: str = ""
    password: str = field(default="", repr=False)
    client_id: str = ""
    session_expiry_s: int = 0
    keepalive_s: int = 15
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    tls: ssl.SSLContext | None = None
    will: Will | None = None
    max_queued: int = 10_000
    backoff_s: tuple[float, float] = (0.1, 5.0)

    @property
    def where(self) -> str:
        """Host and port, for error texts."""
        return f"{self.host}:{self.port}"
