"""paho-mqtt 2 driven by the event loop itself, through its public API only (ADR 0001).

`wire` drives one paho client and its socket, `outbox` holds what is to be sent, `connection` keeps
the connection up and is the `Transport`.
"""

from __future__ import annotations

from antiphon_runtime.paho_transport.connection import PahoTransport
from antiphon_runtime.paho_transport.options import BrokerOptions

__all__ = ["BrokerOptions", "PahoTransport"]
