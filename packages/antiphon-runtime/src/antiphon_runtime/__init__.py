"""The runtime: bus, worker, off-loading, health and settings for every part of Antiphon."""

from __future__ import annotations

from antiphon_runtime.breaker import Breaker, BreakerRules, BreakerState
from antiphon_runtime.bus import Bus
from antiphon_runtime.engines import engine_names, load_engine
from antiphon_runtime.extras import install_command
from antiphon_runtime.handlers import Handler, RawMessage, listen, listen_raw, serve
from antiphon_runtime.health import HealthReporter
from antiphon_runtime.logs import configure_logs
from antiphon_runtime.loop_monitor import LoopMonitor
from antiphon_runtime.offload import CancelFlag, ModelThread
from antiphon_runtime.paho_transport import BrokerOptions, PahoTransport
from antiphon_runtime.presence import Presence
from antiphon_runtime.settings import RuntimeSettings, Settings, load_settings
from antiphon_runtime.tasks import running
from antiphon_runtime.transport import Delivery, PublishOptions, Transport, Will
from antiphon_runtime.upstream import Remote, Upstream
from antiphon_runtime.worker import Wiring, Worker, broker_options, run

__all__ = [
    "Breaker",
    "BreakerRules",
    "BreakerState",
    "BrokerOptions",
    "Bus",
    "CancelFlag",
    "Delivery",
    "Handler",
    "HealthReporter",
    "LoopMonitor",
    "ModelThread",
    "PahoTransport",
    "Presence",
    "PublishOptions",
    "RawMessage",
    "Remote",
    "RuntimeSettings",
    "Settings",
    "Transport",
    "Upstream",
    "Will",
    "Wiring",
    "Worker",
    "broker_options",
    "configure_logs",
    "engine_names",
    "install_command",
    "listen",
    "listen_raw",
    "load_engine",
    "load_settings",
    "run",
    "running",
    "serve",
]
