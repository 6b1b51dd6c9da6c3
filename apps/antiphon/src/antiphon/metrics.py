"""`antiphon metrics`: what the bus tells of the house, for Prometheus.

One exporter for all workers: it reads the health that each of them publishes once a second, and
counts turns and stages as their answers pass by. Names and labels are described in
`docs/metrics.md`. Nothing that was said is kept.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from antiphon_contracts import (
    ANSWER,
    HEALTH,
    LLM_RESPONSE,
    STT_FINAL,
    TTS_STATUS,
    ConfigError,
    Health,
    LlmResponse,
    Message,
    PlainAnswer,
    SttFinal,
    TtsStatus,
)
from antiphon_runtime import Bus, Handler, RawMessage, listen, listen_raw
from antiphon_runtime.presence import SILENT_AFTER_S
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from pydantic import ValidationError
from rich.console import Console

from antiphon.house import client_bus, open_bus
from antiphon.interrupts import until_interrupted
from antiphon.output import print_line
from antiphon.settings import find_broker

CONNECT_TIMEOUT_S = 5.0
MAX_WORKERS = 256
STAGES = frozenset({"endpoint", "stt", "fast", "llm", "none", "first_clause"})
STATES = ("starting", "ready", "degraded", "stopping", "gone")
BREAKER_STATES = ("closed", "open", "half_open")
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 3, 5, 10, 20, 30, 60)


class WorkerMetrics(Collector):
    """What the workers said last, made into metrics when it is asked for.

    Args:
        is_connected: whether the bus is.
        now: a monotonic clock, in seconds.
    """

    def __init__(
        self, is_connected: Callable[[], bool], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._is_connected = is_connected
        self._now = now
        self._workers: dict[str, tuple[Health, float]] = {}

    async def on_health(self, message: Message[Health]) -> None:
        """Take in one worker's health."""
        health = message.data
        if health.worker in self._workers or len(self._workers) < MAX_WORKERS:
            self._workers[health.worker] = (health, self._now())

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics; called from the server's thread."""
        yield GaugeMetricFamily(
            "antiphon_broker_connected",
            "Whether the exporter has its broker.",
            value=float(self._is_connected()),
        )
        # The copy is made in one step; the loop goes on meanwhile.
        workers = list(self._workers.values())
        yield from self._presence(workers)
        healths = [health for health, _ in workers]
        yield from _state_of(healths)
        yield from _load_of(healths)

    def _presence(self, workers: list[tuple[Health, float]]) -> Iterator[Metric]:
        up = GaugeMetricFamily(
            "antiphon_worker_up",
            "Whether the worker is there: not gone, and heard within 2.5 s unless it starts.",
            labels=("worker", "kind"),
        )
        for health, heard_at in workers:
            is_silent = self._now() - heard_at > SILENT_AFTER_S and health.state != "starting"
            is_up = health.state != "gone" and not is_silent
            up.add_metric((health.worker, health.kind), float(is_up))
        yield up


def _state_of(workers: list[Health]) -> Iterator[Metric]:
    state = GaugeMetricFamily(
        "antiphon_worker_state", "1 for the state that it said last.", labels=("worker", "state")
    )
    info = GaugeMetricFamily(
        "antiphon_worker_info",
        "Always 1; the labels tell what runs.",
        labels=("worker", "kind", "version", "engine"),
    )
    uptime = GaugeMetricFamily(
        "antiphon_worker_uptime_seconds", "Since its start.", labels=("worker",)
    )
    notes = GaugeMetricFamily(
        "antiphon_worker_notes", "How many things it says are amiss.", labels=("worker",)
    )
    muted = GaugeMetricFamily(
        "antiphon_worker_muted", "Whether its microphone is muted.", labels=("worker",)
    )
    breakers = GaugeMetricFamily(
        "antiphon_worker_breaker",
        "1 for the state of a circuit breaker.",
        labels=("worker", "breaker", "state"),
    )
    for health in workers:
        for name in STATES:
            state.add_metric((health.worker, name), float(health.state == name))
        info.add_metric((health.worker, health.kind, health.version, health.engine), 1.0)
        uptime.add_metric((health.worker,), health.uptime_s)
        notes.add_metric((health.worker,), len(health.notes))
        muted.add_metric((health.worker,), float(health.muted))
        for breaker, now in health.breakers.items():
            for name in BREAKER_STATES:
                breakers.add_metric((health.worker, breaker, name), float(now == name))
    yield from (state, info, uptime, notes, muted, breakers)


def _load_of(workers: list[Health]) -> Iterator[Metric]:
    lag = GaugeMetricFamily(
        "antiphon_worker_loop_lag_seconds",
        "How late its event loop ran in the last minute; quantile 1 is the latest.",
        labels=("worker", "quantile"),
    )
    depth = GaugeMetricFamily(
        "antiphon_worker_queue_depth", "Messages waiting.", labels=("worker", "topic")
    )
    events = CounterMetricFamily(
        "antiphon_worker_events",
        "What it counted since its start, e.g. expired and malformed messages.",
        labels=("worker", "event"),
    )
    for health in workers:
        loop = health.loop
        for quantile, ms in (("0.5", loop.p50_ms), ("0.99", loop.p99_ms), ("1", loop.max_ms)):
            lag.add_metric((health.worker, quantile), ms / 1000)
        for topic, waiting in health.queues.items():
            depth.add_metric((health.worker, topic), waiting)
        for event, count in health.counters.items():
            events.add_metric((health.worker, event), count)
    yield from (lag, depth, events)


class TurnMetrics:
    """Counts what passes by on the bus."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._turns = Counter(
            "antiphon_turns",
            "Turns that ended, by who answered and how.",
            ("route", "outcome"),
            registry=registry,
        )
        self._stages = Histogram(
            "antiphon_turn_stage_seconds",
            "How long a stage of a turn took.",
            ("stage",),
            buckets=BUCKETS_S,
            registry=registry,
        )
        self._utterances = Counter(
            "antiphon_utterances",
            "Recordings: understood, or why not.",
            ("result",),
            registry=registry,
        )
        self._first_audio = Histogram(
            "antiphon_first_audio_seconds",
            "From a speech's first clause to its first sound.",
            buckets=BUCKETS_S,
            registry=registry,
        )
        self._speeches = Counter(
            "antiphon_speeches", "Speeches, by how they ended.", ("state",), registry=registry
        )
        self._first_token = Histogram(
            "antiphon_llm_first_token_seconds",
            "From a request to the first piece of its reply.",
            buckets=BUCKETS_S,
            registry=registry,
        )
        self._replies = Counter(
            "antiphon_llm_replies", "Replies, by how they ended.", ("reason",), registry=registry
        )

    async def on_answer(self, message: RawMessage) -> None:
        """Count a turn and time its stages; what is no answer is passed over."""
        try:
            answer = PlainAnswer.model_validate_json(message.payload)
        except ValidationError:
            return
        self._turns.labels(answer.route, _outcome(answer)).inc()
        for stage in answer.stages:
            name = stage.name if stage.name in STAGES else "other"
            self._stages.labels(name).observe(max(0.0, stage.end_ms - stage.start_ms) / 1000)

    async def on_final(self, message: Message[SttFinal]) -> None:
        """Count a recording."""
        self._utterances.labels(message.data.rejected or "understood").inc()

    async def on_synthesis(self, message: Message[TtsStatus]) -> None:
        """Count a speech and time its first sound."""
        status = message.data
        if status.state != "started":
            self._speeches.labels(status.state).inc()
        elif status.first_audio_ms is not None:
            self._first_audio.observe(status.first_audio_ms / 1000)

    async def on_reply(self, message: Message[LlmResponse]) -> None:
        """Count a reply and time its first piece."""
        reply = message.data
        self._replies.labels(reply.finish_reason).inc()
        if reply.usage.first_token_ms > 0:
            self._first_token.observe(reply.usage.first_token_ms / 1000)


def _outcome(answer: PlainAnswer) -> str:
    if answer.error is None:
        return "answered"
    return "apologised" if answer.answer else "unanswered"


def handlers(workers: WorkerMetrics, turns: TurnMetrics) -> list[Handler]:
    """Return what must be heard for the metrics."""
    return [
        listen(HEALTH, workers.on_health, queue_limit=1024),
        listen_raw(ANSWER, turns.on_answer, queue_limit=1024),
        listen(STT_FINAL, turns.on_final),
        listen(TTS_STATUS, turns.on_synthesis),
        listen(LLM_RESPONSE, turns.on_reply),
    ]


@contextmanager
def exporting(bus: Bus, host: str, port: int) -> Iterator[int]:
    """Answer `/metrics` while the block runs; the bus is opened by the caller.

    Args:
        bus: not yet open.
        host: where to listen.
        port: 0 is any free one.

    Yields:
        The port.

    Raises:
        ConfigError: the address is not to be had.
    """
    # A time beside every count, which nobody asks for.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = CollectorRegistry()
    workers, turns = WorkerMetrics(lambda: bus.connected), TurnMetrics(registry)
    registry.register(workers)
    bus.install(handlers(workers, turns))
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        msg = f"metrics cannot be served on {host}:{port}: {error.strerror}; choose another --port"
        raise ConfigError(msg) from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


async def export(host: str, port: int, broker: str | None) -> None:
    """Answer `/metrics` until Ctrl-C or SIGTERM.

    Raises:
        ConfigError: the address is not to be had, or no broker is known.
        BusError: the broker does not answer.
    """
    bus = client_bus(find_broker(broker))

    async def serve() -> None:
        with exporting(bus, host, port) as bound:
            async with open_bus(bus, CONNECT_TIMEOUT_S):
                print_line(Console(), f"metrics: http://{host}:{bound}/metrics")
                await asyncio.Event().wait()

    await until_interrupted(serve(), lambda: None, lambda: None)
