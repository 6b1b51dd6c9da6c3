"""The dialogue: turns per site, fast path or language model, spoken answers, interruption."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

import structlog
from antiphon_contracts import (
    ANSWER,
    PLAYBACK_CONTROL,
    TTS_CANCEL,
    AntiphonError,
    ContractError,
    LlmStream,
    Message,
    PlainAnswer,
    PlainAsk,
    PlaybackControl,
    PlaybackStatus,
    SttFinal,
    TtsCancel,
    TtsStatus,
    new_id,
)
from antiphon_runtime import Bus, RawMessage, running

from antiphon_router import phrases, plain_door
from antiphon_router.commands import Commands
from antiphon_router.historian import Historian
from antiphon_router.language_model import LanguageModel
from antiphon_router.speech import Speech
from antiphon_router.trouble import sentence_for
from antiphon_router.turns import Site, Turn

log = structlog.get_logger(__name__)

ANSWER_TTL_S = 60.0
INTERRUPT_TIMEOUT_S = 0.25
SWEEP_S = 1.0
MAX_SITES = 256
KEPT_ANSWERS = 256


@dataclass(frozen=True, slots=True)
class Intent:
    """What the fast path understood: a name and its slots."""

    name: str
    slots: dict[str, str] = field(default_factory=dict)


class Grammar(Protocol):
    """Recognises what needs no language model."""

    def load(self) -> None:
        """Get ready; blocks."""

    def recognize(self, text: str) -> Intent | None:
        """Return what the text asks for, None if that is for the language model."""


class Dialogue:
    """Owns the dialogue of every site.

    Args:
        bus: for everything that is said and asked.
        grammar: the fast path.
        language_model: what answers the rest.
        waiting_turns: how many questions may wait at a site.
        clock: the local time.
    """

    def __init__(
        self,
        bus: Bus,
        grammar: Grammar,
        language_model: LanguageModel,
        *,
        waiting_turns: int = 4,
        clock: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        self._bus = bus
        self._grammar = grammar
        self._llm = language_model
        self._historian = Historian(bus)
        self._commands = Commands(bus, clock)
        self._waiting_turns = waiting_turns
        self._sites: OrderedDict[str, Site] = OrderedDict()
        self._answered: OrderedDict[str, PlainAnswer] = OrderedDict()

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Load the grammar, and settle speech that nobody plays while the block runs."""
        await asyncio.to_thread(self._grammar.load)
        async with running(unplayed_speech=self._sweep()):
            yield

    # What comes in

    async def on_ask(self, message: RawMessage) -> None:
        """Answer a plain question."""
        asked = self._read(message)
        if asked is None:
            return
        if asked.id is not None and asked.id in self._answered:
            self._publish_answer(message.site_id, self._answered[asked.id])
            return
        await self._converse(
            Turn(
                turn_id=new_id(),
                site_id=message.site_id,
                transcript=asked.text,
                speak=asked.speak,
                ask_id=asked.id,
            )
        )

    async def on_say(self, message: RawMessage) -> None:
        """Speak a plain text."""
        asked = self._read(message)
        if asked is None:
            return
        site = self._site(message.site_id)
        speech = Speech(self._bus, site.site_id, new_id(), "", priority=0)
        if asked.id is not None:
            speech.utterance_id = asked.id
        site.speeches[speech.utterance_id] = speech
        speech.finish(asked.text)

    async def on_final(self, message: Message[SttFinal]) -> None:
        """Answer a spoken question, or say that it was not understood."""
        final = message.data
        turn = Turn(
            turn_id=message.turn_id or final.utterance_id,
            site_id=message.site_id,
            transcript=final.text,
            voice=True,
            before_ms=final.decode_ms + final.transcribe_ms,
        )
        turn.stage("stt", 0.0, turn.before_ms)
        if final.rejected is not None or not final.text.strip():
            turn.transcript = ""
            detail = final.detail or f"nothing was understood ({final.rejected or 'no words'})"
            await self._apologise(turn, phrases.NOT_UNDERSTOOD, detail)
            return
        await self._converse(turn)

    async def on_delta(self, message: Message[LlmStream]) -> None:
        """Hand a piece of a reply to the turn that waits for it."""
        self._llm.on_delta(message)

    async def on_synthesis(self, message: Message[TtsStatus]) -> None:
        """Note what became of an answer's synthesis."""
        site = self._sites.get(message.site_id)
        speech = site.speeches.get(message.data.utterance_id) if site else None
        if speech is not None:
            speech.on_synthesis(message.data)

    async def on_playback(self, message: Message[PlaybackStatus]) -> None:
        """Note what was really heard."""
        site, status = self._sites.get(message.site_id), message.data
        speech = site.speeches.get(status.utterance_id) if site else None
        if site is None or speech is None:
            return
        if status.state == "started":
            speech.on_playback_started()
        else:
            text, interrupted = speech.heard(status)
            await self._settle(site, speech, text, interrupted=interrupted)

    def _read(self, message: RawMessage) -> PlainAsk | None:
        try:
            return plain_door.read(message.payload)
        except ContractError as error:
            self._bus.counters["malformed"] += 1
            log.warning("plain.refused", site_id=message.site_id, reason=str(error))
            refused = PlainAnswer(
                turn_id=new_id(), transcript="", answer="", route="none", error=str(error)
            )
            self._publish_answer(message.site_id, refused)
            return None

    # Turns

    def _site(self, site_id: str) -> Site:
        site = self._sites.get(site_id)
        if site is None:
            site = self._sites[site_id] = Site(site_id)
            for other in [old for old in self._sites.values() if old.idle and old is not site]:
                if len(self._sites) <= MAX_SITES:
                    break
                del self._sites[other.site_id]
        return site

    async def _converse(self, turn: Turn) -> None:
        """Run a turn when it is its site's; a spoken one, or a `stop`, interrupts."""
        site = self._site(turn.site_id)
        intent = self._grammar.recognize(turn.transcript)
        stops = intent is not None and intent.name in {"stop", "dismiss"}
        if site.waiting > self._waiting_turns and not (turn.voice or stops):
            await self._apologise(turn, "", "too many questions wait at this site")
            return
        site.waiting += 1
        try:
            if turn.voice or stops:
                await self._interrupt(site)
            async with site.lock:
                await self._settle_all(site)
                await self._run(site, turn, intent)
        finally:
            site.waiting -= 1

    async def _run(self, site: Site, turn: Turn, intent: Intent | None) -> None:
        task = None
        try:
            async with asyncio.TaskGroup() as group:
                task = group.create_task(
                    self._answer(site, turn, intent), name=f"turn:{turn.turn_id}"
                )
                site.current = task
        finally:
            site.current = None
            if task is not None and task.cancelled():
                self._finish(turn, "", error="interrupted by what came next")
            elif task is not None and task.done() and task.exception() is not None:
                await self._apologise(turn, phrases.WENT_WRONG, "an internal error ended the turn")

    async def _answer(self, site: Site, turn: Turn, intent: Intent | None) -> None:
        speech = Speech(self._bus, site.site_id, turn.turn_id, turn.transcript)
        if turn.speak:
            site.speeches[speech.utterance_id] = speech
        completed = False
        try:
            await self._speak_answer(site, turn, intent, speech)
            completed = True
        except AntiphonError as error:
            completed = True
            sentence = sentence_for(error)
            self._speak(turn, speech, sentence)
            self._finish(turn, sentence, error=str(error), speech=speech)
        finally:
            if not completed:
                self._hush(site, speech.utterance_id)
                if not speech.clauses:
                    site.speeches.pop(speech.utterance_id, None)

    async def _speak_answer(
        self, site: Site, turn: Turn, intent: Intent | None, speech: Speech
    ) -> None:
        begun_ms = turn.now_ms()
        error = None
        if intent is not None:
            turn.route = "fast"
            answer = await self._commands.carry_out(
                intent.name, intent.slots, turn_id=turn.turn_id, last_answer=site.last_answer
            )
            turn.stage("fast", begun_ms)
            spoken = "" if intent.name == "stop" else answer
            self._speak(turn, speech, spoken)
        else:
            turn.route = "llm"
            reply = await self._llm.reply(
                turn.transcript,
                site_id=turn.site_id,
                turn_id=turn.turn_id,
                on_text=speech.feed if turn.speak else None,
            )
            turn.stage("llm", begun_ms)
            answer, error = reply.text, reply.error
            if turn.speak:
                speech.finish()
        if speech.first_said_at is not None:
            turn.stage("first_clause", begun_ms, turn.now_ms(speech.first_said_at))
        if intent is None or intent.name != "repeat":
            site.last_answer = answer
        self._finish(turn, answer, error=error, speech=speech)
        if not turn.speak or not speech.text:
            site.speeches.pop(speech.utterance_id, None)
            await self._historian.record(
                site_id=site.site_id,
                turn_id=turn.turn_id,
                question=turn.transcript,
                answer=answer,
                interrupted=False,
            )

    def _speak(self, turn: Turn, speech: Speech, text: str) -> None:
        if turn.speak and text:
            speech.finish(text)

    async def _apologise(self, turn: Turn, sentence: str, detail: str) -> None:
        """End a turn that cannot run; the sentence is spoken if there is one."""
        site = self._site(turn.site_id)
        speech = Speech(self._bus, turn.site_id, turn.turn_id, "")
        if sentence and turn.speak:
            site.speeches[speech.utterance_id] = speech
            speech.finish(sentence)
        self._finish(turn, sentence, error=detail, speech=speech)

    def _finish(
        self, turn: Turn, answer: str, *, error: str | None = None, speech: Speech | None = None
    ) -> None:
        spoken = speech is not None and turn.speak and bool(speech.clauses)
        if spoken and self._bus.presence.is_gone("tts") and error is None:
            error = "the speech worker is offline: the answer cannot be heard"
        published = PlainAnswer(
            id=turn.ask_id,
            turn_id=turn.turn_id,
            transcript=turn.transcript,
            answer=answer,
            route=turn.route,
            error=error,
            utterance_id=speech.utterance_id if speech is not None and spoken else None,
            stages=tuple(turn.stages),
        )
        if turn.ask_id is not None:
            self._answered[turn.ask_id] = published
            if len(self._answered) > KEPT_ANSWERS:
                self._answered.popitem(last=False)
        self._publish_answer(turn.site_id, published)
        log.info(
            "turn.done",
            turn_id=turn.turn_id,
            site_id=turn.site_id,
            route=turn.route,
            failed=error is not None,
            ms=round(turn.now_ms()),
        )

    def _publish_answer(self, site_id: str, answer: PlainAnswer) -> None:
        payload = answer.model_dump_json().encode()
        self._bus.publish_raw(ANSWER, payload, ttl_s=ANSWER_TTL_S, site=site_id)

    # Interruption, and what was heard

    async def _interrupt(self, site: Site) -> None:
        """Stop the turn and the speech of a site, and learn what was heard of it."""
        if site.current is not None:
            site.current.cancel()
        if not site.speeches:
            return
        self._hush(site, None)
        speeches = list(site.speeches.values())
        for speech in speeches:
            if not speech.playing:
                await self._settle(site, speech, "", interrupted=True)
        try:
            async with asyncio.timeout(INTERRUPT_TIMEOUT_S):
                for speech in speeches:
                    await speech.settled.wait()
        except TimeoutError:
            log.info("interrupt.unconfirmed", site_id=site.site_id)

    def _hush(self, site: Site, utterance_id: str | None) -> None:
        self._bus.publish(TTS_CANCEL, TtsCancel(utterance_id=utterance_id), site_id=site.site_id)
        self._bus.publish(
            PLAYBACK_CONTROL,
            PlaybackControl(action="stop", utterance_id=utterance_id),
            site_id=site.site_id,
        )

    async def _settle_all(self, site: Site) -> None:
        """Take what is still being spoken as heard: the next turn's history needs it now."""
        for speech in list(site.speeches.values()):
            await self._settle(site, speech, speech.text, interrupted=False)

    async def _settle(self, site: Site, speech: Speech, text: str, *, interrupted: bool) -> None:
        if site.speeches.pop(speech.utterance_id, None) is None:
            return
        if speech.question:
            await self._historian.record(
                site_id=site.site_id,
                turn_id=speech.turn_id,
                question=speech.question,
                answer=text,
                interrupted=interrupted,
            )
        speech.settled.set()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            now = asyncio.get_running_loop().time()
            for site in list(self._sites.values()):
                for speech in list(site.speeches.values()):
                    if speech.is_unplayed(now):
                        await self._settle(site, speech, speech.text, interrupted=False)
