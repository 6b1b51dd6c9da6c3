"""Fakes of the runtime's ports, for everyone's unit tests.

Fake and real pass the same conformance suite.
"""

from __future__ import annotations

from antiphon_runtime.testing.house import Heard, House
from antiphon_runtime.testing.memory_transport import MemoryBroker, MemoryTransport
from antiphon_runtime.testing.tcp_proxy import TcpProxy

__all__ = ["Heard", "House", "MemoryBroker", "MemoryTransport", "TcpProxy"]
