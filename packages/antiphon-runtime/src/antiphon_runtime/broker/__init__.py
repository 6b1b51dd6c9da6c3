"""The broker that `antiphon up`, `antiphon demo` and the tests bring with them.

[`embedded_broker`][antiphon_runtime.broker.embedded.embedded_broker] starts mosquitto 2 where it
is installed, and else amqtt in a process of its own. Both listen on loopback alone, on a free
port, behind a random password. Whoever has a broker already needs nothing from here.
"""

from __future__ import annotations

from antiphon_runtime.broker.address import BrokerAddress
from antiphon_runtime.broker.embedded import BrokerKind, EmbeddedBroker, embedded_broker
from antiphon_runtime.broker.mosquitto import find_mosquitto
from antiphon_runtime.broker.secured import SecuredFiles, secured_broker, secured_configuration

__all__ = [
    "BrokerAddress",
    "BrokerKind",
    "EmbeddedBroker",
    "SecuredFiles",
    "embedded_broker",
    "find_mosquitto",
    "secured_broker",
    "secured_configuration",
]
