"""`antiphon metrics` as a process on a real broker, scraped over HTTP."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.request import urlopen

import orjson
import pytest
from antiphon_contracts import (
    ANSWER,
    HEALTH,
    LLM_RESPONSE,
    STT_FINAL,
    TTS_STATUS,
    Health,
    LlmResponse,
    PlainAnswer,
    Stage,
    SttFinal,
    TtsStatus,
)
from antiphon_contracts.payloads.house import LoopLag
from antiphon_contracts.payloads.language import Usage
from antiphon_runtime import BrokerOptions, Bus, PahoTransport
from antiphon_runtime.broker import EmbeddedBroker, embedded_broker
from antiphon_runtime.broker.address import free_port

pytestmark = pytest.mark.integration

DOCUMENT = Path(__file__).parents[3] / "docs/metrics.md"
HEALTHY = Health(
    worker="llm-1",
    kind="llm",
    state="degraded",
    version="0.1.0",
    uptime_s=12.5,
    loop=LoopLag(p50_ms=0.5, p99_ms=2.0, max_ms=40.0),
    queues={"llm/request": 3},
    counters={"expired": 7},
    breakers={"model": "open"},
    notes=("The language model server does not answer.",),
    engine='a "quoted" engine',
    muted=True,
)


class Exporter:
    """The process, and what its page says."""

    def __init__(self, process: Process, url: str) -> None:
        self.process = process
        self._url = url

    async def page(self) -> dict[str, float]:
        """The samples, by name and labels as they are written."""
        text = await asyncio.to_thread(self._read)
        pairs = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def _read(self) -> str:
        with urlopen(self._url, timeout=5) as response:  # noqa: S310  (our own page)
            return str(response.read().decode())

    async def until(self, **wanted: float) -> dict[str, float]:
        """Return the page once it has these samples."""
        async with asyncio.timeout(10):
            while True:
                page = await self.page()
                if all(page.get(name) == value for name, value in wanted.items()):
                    return page
                await asyncio.sleep(0.1)


@asynccontextmanager
async def exporter(port: int, *arguments: str) -> AsyncIterator[Exporter]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "antiphon",
        "metrics",
        "--port",
        "0",
        "--broker",
        f"mqtt://127.0.0.1:{port}",
        *arguments,
        stdout=PIPE,
        stderr=PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            line = (await process.stdout.readline()).decode().split()
        yield Exporter(process, line[-1])
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def on_the_air(tmp_path: Path) -> AsyncIterator[tuple[EmbeddedBroker, Bus]]:
    async with (
        asyncio.timeout(50),
        embedded_broker(
            tmp_path / "broker", kind="mosquitto", anonymous=True, persistence=False
        ) as broker,
    ):
        bus = Bus(PahoTransport(BrokerOptions(port=broker.address.port)), source="test")
        async with bus.open():
            await bus.wait_connected(5)
            yield broker, bus


def answer(route: str, error: str | None, text: str, *stages: Stage) -> bytes:
    given = {"turn_id": "t", "transcript": "", "answer": text, "route": route, "error": error}
    return orjson.dumps(PlainAnswer.model_validate({**given, "stages": stages}).model_dump())


async def test_a_scrape_shows_workers_turns_and_stages(tmp_path: Path) -> None:
    async with on_the_air(tmp_path) as (broker, bus):
        await bus.publish(HEALTH, HEALTHY, worker="llm-1")
        async with exporter(broker.address.port) as here:
            page = await here.until(
                **{'antiphon_worker_queue_depth{topic="llm/request",worker="llm-1"}': 3}
            )
            worker = 'worker="llm-1"'
            expected = {
                "antiphon_broker_connected": 1,
                f'antiphon_worker_up{{kind="llm",{worker}}}': 1,
                f'antiphon_worker_state{{state="degraded",{worker}}}': 1,
                f'antiphon_worker_state{{state="ready",{worker}}}': 0,
                f"antiphon_worker_uptime_seconds{{{worker}}}": 12.5,
                f"antiphon_worker_notes{{{worker}}}": 1,
                f"antiphon_worker_muted{{{worker}}}": 1,
                f'antiphon_worker_breaker{{breaker="model",state="open",{worker}}}': 1,
                f'antiphon_worker_breaker{{breaker="model",state="closed",{worker}}}': 0,
                f'antiphon_worker_loop_lag_seconds{{quantile="0.99",{worker}}}': 0.002,
                f'antiphon_worker_events_total{{event="expired",{worker}}}': 7,
            }
            assert expected.items() <= page.items()

            stages = (
                Stage(name="llm", start_ms=10, end_ms=1_510),
                Stage(name="x", start_ms=0, end_ms=1),
            )
            for payload in (
                answer("llm", None, "Red.", *stages),
                answer("llm", "It broke off.", "Red. Sorry, it broke off."),
                answer("none", "interrupted by what came next", ""),
                b"no answer",
            ):
                await bus.publish_raw(ANSWER, payload, site="hall")
            await bus.publish(STT_FINAL, SttFinal(utterance_id="u", text="hi"))
            await bus.publish(STT_FINAL, SttFinal(utterance_id="u", rejected="silence"))
            await bus.publish(
                TTS_STATUS, TtsStatus(utterance_id="u", state="started", first_audio_ms=84)
            )
            await bus.publish(TTS_STATUS, TtsStatus(utterance_id="u", state="synthesised"))
            reply = LlmResponse(reply="Red.", finish_reason="stop", usage=Usage(first_token_ms=300))
            await bus.publish(LLM_RESPONSE, reply, correlation_id="r")
            page = await here.until(antiphon_llm_first_token_seconds_count=1)
            assert {
                'antiphon_turns_total{outcome="answered",route="llm"}': 1,
                'antiphon_turns_total{outcome="apologised",route="llm"}': 1,
                'antiphon_turns_total{outcome="unanswered",route="none"}': 1,
                'antiphon_turn_stage_seconds_sum{stage="llm"}': 1.5,
                'antiphon_turn_stage_seconds_bucket{le="1.0",stage="llm"}': 0,
                'antiphon_turn_stage_seconds_bucket{le="2.0",stage="llm"}': 1,
                'antiphon_turn_stage_seconds_count{stage="other"}': 1,
                'antiphon_utterances_total{result="understood"}': 1,
                'antiphon_utterances_total{result="silence"}': 1,
                'antiphon_speeches_total{state="synthesised"}': 1,
                "antiphon_first_audio_seconds_sum": 0.084,
                'antiphon_llm_replies_total{reason="stop"}': 1,
                "antiphon_llm_first_token_seconds_sum": 0.3,
            }.items() <= page.items()
            names = {re.sub(r"(_bucket|_count|_sum)?(\{.*)?$", "", name) for name in page}
            documented = set(re.findall(r"`(antiphon_\w+)`", DOCUMENT.read_text(encoding="utf-8")))
            assert names == documented


async def test_a_worker_that_falls_silent_or_goes_is_not_up(tmp_path: Path) -> None:
    up = 'antiphon_worker_up{kind="llm",worker="llm-1"}'
    async with on_the_air(tmp_path) as (broker, bus), exporter(broker.address.port) as here:
        await bus.publish(HEALTH, HEALTHY, worker="llm-1")
        await here.until(**{up: 1})
        await here.until(**{up: 0})
        await bus.publish(HEALTH, HEALTHY, worker="llm-1")
        await here.until(**{up: 1})
        gone = Health(worker="llm-1", kind="llm", state="gone")
        await bus.publish(HEALTH, gone, worker="llm-1")
        await here.until(**{up: 0})


async def test_a_lost_broker_is_told_and_sigterm_ends_it(tmp_path: Path) -> None:
    async with on_the_air(tmp_path) as (broker, _), exporter(broker.address.port) as here:
        await here.until(antiphon_broker_connected=1)
        await broker.kill()
        await here.until(antiphon_broker_connected=0)
        here.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            assert await here.process.wait() == 0


async def test_a_port_that_is_taken_is_said_in_one_sentence(tmp_path: Path) -> None:
    async with on_the_air(tmp_path) as (broker, _):
        taken = str(broker.address.port)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "antiphon", "metrics", "--port", taken),
            *("--broker", f"mqtt://127.0.0.1:{free_port()}"),
            stderr=PIPE,
        )
        async with asyncio.timeout(20):
            _, errors = await process.communicate()
    assert process.returncode == 78
    assert errors.decode().count("\n") == 1
    assert "choose another --port" in errors.decode()
