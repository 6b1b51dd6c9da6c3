"""A router among scripted workers, on the in-memory broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import orjson
from antiphon_contracts import (
    ANNOUNCE,
    ANSWER,
    ASK,
    ASK_SITE,
    ASK_USER,
    HEALTH,
    HISTORY_APPEND,
    LLM_CANCEL,
    LLM_NOTICE,
    LLM_REQUEST,
    LLM_STREAM,
    MEMORY_FORGET,
    MEMORY_REMEMBER,
    PLAYBACK_STATUS,
    STT_FINAL,
    TIMER_CHANGE,
    TIMER_EVENT,
    TIMER_QUERY,
    TIMER_SET,
    TOOLS_CALL,
    TOOLS_REGISTRY,
    TTS_PREPARE,
    TTS_SAY,
    AntiphonError,
    Health,
    HistoryAppend,
    HistoryDone,
    LlmCancel,
    LlmNotice,
    LlmRequest,
    LlmResponse,
    LlmStream,
    MemoryDone,
    MemoryForget,
    MemoryRemember,
    Message,
    PlainAnswer,
    PlaybackStatus,
    SttFinal,
    Timer,
    TimerEvent,
    ToolCall,
    ToolRegistry,
    ToolResult,
    TtsPrepare,
    TtsSay,
)
from antiphon_runtime import Bus, RawMessage, RuntimeSettings, listen, listen_raw, serve
from antiphon_runtime.testing import Heard, House

from antiphon_router.settings import RouterSettings
from antiphon_router.testing_timers import ScriptedTimers
from antiphon_router.wiring import build

MANY_STEPS = 1_000_000


class Home:
    """The workers around a router, scripted, and what they were asked.

    Attributes:
        house: the in-memory broker and everyone on it.
        bus: of the scripted workers.
        router: the router's own bus.
        history: what was appended, oldest first (`HistoryAppend`).
        remembered: what memory holds.
        asked: what the language model was asked.
        requests: the ids of these requests.
        tentative: whether each of them was.
        cancelled: ids of the requests to the language model that were cancelled.
        deltas: what the language model streams.
        response: what it replies; None is the deltas.
        failure: what it raises instead of a reply.
        gate: while it is clear, the language model has streamed but does not reply.
        history_gate: while it is clear, nothing is appended to the history.
        streamed: set when the language model has streamed.
        answers: what was published on `answer/…` (`PlainAnswer`), with `sites` beside it.
        sites: the site of each answer.
        said: what the TTS worker was sent (`Message[TtsSay]`).
        prepared: what it was told to make ready (`Message[TtsPrepare]`).
        timers: the timer worker.
        called: the calls of tools.
        tool_texts: what each tool answers, by its name; else it says what it was asked.
        tool_changes: what each tool says it changed, by its name.
    """

    def __init__(self, house: House) -> None:
        self.house = house
        self.bus: Bus
        self.router: Bus
        self.history = Heard()
        self.remembered: list[str] = []
        self.asked: list[str] = []
        self.requests: list[str] = []
        self.tentative: list[bool] = []
        self.cancelled = Heard()
        self.deltas: Sequence[str] = ("It is ", "red. ", "Really.")
        self.response: LlmResponse | None = None
        self.failure: AntiphonError | None = None
        self.gate = _open_gate()
        self.history_gate = _open_gate()
        self.streamed = asyncio.Event()
        self.answers = Heard()
        self.sites: list[str] = []
        self.said = Heard()
        self.prepared = Heard()
        self.timers = ScriptedTimers()
        self.called: list[ToolCall] = []
        self.tool_texts: dict[str, str] = {}
        self.tool_changes: dict[str, list[str]] = {}
        self._newest: Message[LlmRequest] | None = None
        self._streamed = 0

    async def move_in(self, settings: RouterSettings, data_dir: Path) -> None:
        """Start everything; the router's journal is in `data_dir`."""
        self.bus = await self.house.serve(
            serve(LLM_REQUEST, self._on_llm, concurrency=128, queue_limit=256),
            listen(LLM_CANCEL, self._on_cancel),
            serve(HISTORY_APPEND, self._on_history),
            serve(MEMORY_REMEMBER, self._on_remember),
            serve(MEMORY_FORGET, self._on_forget),
            serve(TOOLS_CALL, self._on_tool),
            serve(TIMER_SET, self.timers.on_set),
            serve(TIMER_CHANGE, self.timers.on_change),
            serve(TIMER_QUERY, self.timers.on_query),
            listen(TTS_SAY, self._on_say, queue_limit=10_000),
            listen(TTS_PREPARE, self._on_prepare),
        )
        await self.house.serve(listen_raw(ANSWER, self._on_answer, queue_limit=10_000))
        runtime = RuntimeSettings(data_dir=data_dir)
        self.router = await self.house.move_in("router", settings, build, runtime=runtime)

    # What the test does

    def ask(self, text: str, site: str | None = None, **more: object) -> None:
        """Ask a plain question; with `id` or `speak` as JSON."""
        payload = orjson.dumps({"text": text, **more}) if more else text.encode()
        if site is None:
            self.house.bus.publish_raw(ASK, payload)
        else:
            self.house.bus.publish_raw(ASK_SITE, payload, site=site)

    def speak(self, text: str, turn: str, site: str = "default") -> None:
        """Ask a spoken question."""
        final = SttFinal(utterance_id=turn, text=text, decode_ms=10, transcribe_ms=300)
        self.house.say(STT_FINAL, final, turn_id=turn, site_id=site)

    def playback(self, status: PlaybackStatus, site: str = "default") -> None:
        """Be a satellite."""
        self.house.say(PLAYBACK_STATUS, status, site_id=site)

    async def offer(self, registry: ToolRegistry) -> None:
        """Let a tool worker offer tools, and return when the router knows them."""
        self.house.say(TOOLS_REGISTRY, registry)
        for _ in range(MANY_STEPS):
            if self.router.counters["vocabularies"]:
                return
            await asyncio.sleep(0)

    def rings(self, timer: Timer, event: Literal["ringing", "stopped"] = "ringing") -> None:
        """Let a timer ring, or have rung."""
        told = TimerEvent(event=event, timer=timer)
        self.house.say(TIMER_EVENT, told, site_id=timer.site_id)

    def lose(self, kind: str) -> None:
        """Let a kind of worker be gone."""
        gone = Health(worker=f"{kind}-1", kind=kind, state="gone")
        self.house.say(HEALTH, gone, worker=f"{kind}-1")

    def recogniser(self, pid: int) -> None:
        """Let the speech recogniser run as this process."""
        health = Health(worker="stt-1", kind="stt", state="ready", pid=pid)
        self.house.say(HEALTH, health, worker="stt-1")

    def spoken(self, utterance_id: str | None = None) -> str:
        """Return what was sent to be spoken, of one utterance or of all."""
        texts = [
            message.data.text
            for message in self.said
            if utterance_id in {None, message.data.utterance_id}
        ]
        return " ".join(text for text in texts if text)

    async def until_said(self, ends: int = 1) -> None:
        """Return when so many spoken answers are complete."""
        await self.said.until(lambda all_: sum(m.data.last for m in all_) >= ends)

    # What the others do

    async def _on_answer(self, message: RawMessage) -> None:
        self.sites.append(message.site_id)
        self.answers.add(PlainAnswer.model_validate_json(message.payload))

    async def _on_say(self, message: Message[TtsSay]) -> None:
        self.said.add(message)

    async def _on_prepare(self, message: Message[TtsPrepare]) -> None:
        self.prepared.add(message)

    async def _on_llm(self, message: Message[LlmRequest]) -> LlmResponse:
        self.asked.append(message.data.text)
        self.requests.append(message.id)
        self.tentative.append(message.data.tentative)
        self._newest, self._streamed = message, len(self.deltas)
        for seq, delta in enumerate(self.deltas):
            self.stream(message, seq, delta)
        self.streamed.set()
        await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return self.response or LlmResponse(reply="".join(self.deltas), finish_reason="stop")

    def stream_more(self, delta: str) -> None:
        """Publish the next piece of the newest reply."""
        if self._newest is not None:
            self.stream(self._newest, self._streamed, delta)
            self._streamed += 1

    def notice(self, text: str) -> None:
        """Say something beside the newest reply."""
        if self._newest is not None:
            self.bus.publish(
                LLM_NOTICE,
                LlmNotice(kind="tool", text=text),
                correlation_id=self._newest.id,
                turn_id=self._newest.turn_id,
                site_id=self._newest.site_id,
            )

    def stream(self, request: Message[LlmRequest], seq: int, delta: str) -> None:
        """Publish a piece of a reply."""
        self.bus.publish(
            LLM_STREAM,
            LlmStream(seq=seq, delta=delta),
            correlation_id=request.id,
            turn_id=request.turn_id,
            site_id=request.site_id,
        )

    async def _on_cancel(self, message: Message[LlmCancel]) -> None:
        self.cancelled.add(message.data.request_id)

    async def _on_history(self, message: Message[HistoryAppend]) -> HistoryDone:
        await self.history_gate.wait()
        self.history.add(message.data)
        return HistoryDone()

    async def _on_remember(self, message: Message[MemoryRemember]) -> MemoryDone:
        replaced = tuple(self.remembered) if message.data.text.endswith(" now") else ()
        self.remembered.append(message.data.text)
        return MemoryDone(action="remember", ids=("1",), replaced=replaced)

    async def _on_forget(self, message: Message[MemoryForget]) -> MemoryDone:
        found = [text for text in self.remembered if (message.data.query or "") in text]
        return MemoryDone(action="forget", ids=("1",) * len(found), texts=tuple(found))

    async def _on_tool(self, message: Message[ToolCall]) -> ToolResult:
        call = message.data
        self.called.append(call)
        if call.name == "get_time":
            return ToolResult(name=call.name, result={"iso": "2026-11-21T19:05:00+09:00"})
        if call.name != "calculate":
            text = self.tool_texts.get(call.name, f"{call.name} was called.")
            changed = self.tool_changes.get(call.name)
            more = {} if changed is None else {"changed": changed}
            return ToolResult(name=call.name, result={"text": text, **more})
        if "/ 0" in call.arguments["expression"]:
            return ToolResult(name="calculate", error="I cannot divide by zero")
        return ToolResult(name="calculate", result={"result": 84})


def _open_gate() -> asyncio.Event:
    gate = asyncio.Event()
    gate.set()
    return gate


@asynccontextmanager
async def home(
    settings: RouterSettings | None = None,
    *,
    data_dir: Path | None = None,
    timers: Sequence[Timer] = (),
) -> AsyncIterator[Home]:
    """Run a router among scripted workers while the block runs.

    Args:
        settings: the router's.
        data_dir: for its journal; else a folder that is deleted at the end.
        timers: those that there are already.
    """
    with TemporaryDirectory() as folder:
        async with House(requests=[ANNOUNCE, ASK_USER]) as house:
            home = Home(house)
            home.timers.running.extend(timers)
            await home.move_in(settings or RouterSettings(), data_dir or Path(folder))
            yield home
