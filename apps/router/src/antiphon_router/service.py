"""The dialogue: turns per site, fast path or language model, spoken answers, interruption."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime

import structlog
from antiphon_contracts import (
    AntiphonError,
    EngineError,
    LlmStream,
    Message,
    PlainAnswer,
    PlainAsk,
    PlaybackStatus,
    SttFinal,
    TtsStatus,
    new_id,
)
from antiphon_runtime import Bus, RawMessage, running

from antiphon_router import phrases, plain_door
from antiphon_router.answers import Answers, digest
from antiphon_router.commands import Commands
from antiphon_router.hearing import Hearing
from antiphon_router.historian import Exchange, Historian
from antiphon_router.intents import Grammar, Intent
from antiphon_router.journal import Journal
from antiphon_router.language_model import LanguageModel, Reply, rest_after
from antiphon_router.recovery import Recovery
from antiphon_router.speech import Speech
from antiphon_router.trouble import sentence_for
from antiphon_router.turns import Site, Turn

log = structlog.get_logger(__name__)

HISTORY_WAIT_S = 0.5
HISTORY_END_S = 1.0
UNHEARD = "the speech worker is offline: the answer cannot be heard"
PASSING_REJECTIONS = {"busy", "engine"}
"""The same recording, sent again, may be understood."""


class Dialogue:
    """Owns the dialogue of every site.

    Args:
        bus: for everything that is said and asked.
        grammar: the fast path.
        language_model: what answers the rest.
        journal: of open turns.
        waiting_turns: how many questions may wait at a site.
        clock: the local time.
    """

    def __init__(
        self,
        bus: Bus,
        grammar: Grammar,
        language_model: LanguageModel,
        journal: Journal,
        *,
        waiting_turns: int = 4,
        clock: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        self._bus = bus
        self._grammar = grammar
        self._llm = language_model
        self._historian = Historian(bus)
        self._hearing = Hearing(bus, self._historian)
        self._journal = journal
        self._answers = Answers(bus, journal)
        self._recovery = Recovery(bus, journal, self._answers, self._hearing)
        self._commands = Commands(bus, clock)
        self._waiting_turns = waiting_turns

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Load journal and grammar; write and settle what is due while the block runs."""
        async with self._journal.lifespan():
            self._recovery.begin()
            await asyncio.to_thread(self._grammar.load)
            async with running(
                history=self._historian.write(),
                unplayed=self._hearing.sweep(),
                recovery=self._recovery.apologise(),
            ):
                yield
                self._hearing.end()
                await self._historian.caught_up(None, HISTORY_END_S)

    # What comes in

    def take_over_ask(self, message: RawMessage) -> asyncio.Future[None] | None:
        """Note a plain question in the journal, at receipt."""
        try:
            asked = plain_door.read(message.payload)
        except plain_door.PlainDoorError:
            return None
        return self._journal.begin(
            message.id,
            turn_id=message.id,
            site_id=message.site_id,
            question=digest(message.site_id, asked),
            ask_id=asked.id,
            spoken=asked.speak,
            may_repeat=message.redelivered or asked.id is not None,
        )

    def take_over_final(self, message: Message[SttFinal]) -> asyncio.Future[None] | None:
        """Note a spoken question in the journal, at receipt."""
        return self._journal.begin(
            message.id,
            turn_id=message.turn_id or message.data.utterance_id,
            site_id=message.site_id,
            question=digest(message.site_id, message.data.utterance_id),
            spoken=True,
            may_repeat=True,
        )

    def take_over_answer(self, message: RawMessage) -> asyncio.Future[None] | None:
        """Note in the journal that one's own answer has reached the broker."""
        turn_id = plain_door.turn_of(message.payload)
        return None if turn_id is None else self._journal.end_of(message.site_id, turn_id)

    async def on_ask(self, message: RawMessage) -> None:
        """Answer a plain question."""
        asked = self._read(message, plain_door.read)
        if asked is None:
            return
        question = digest(message.site_id, asked)
        # The broker brings again what it was not thanked for; without an id, only this tells.
        comes_again = message.redelivered and self._journal.is_known(question, but=message.id)
        if comes_again or not self._answers.is_new(message.site_id, asked):
            self._journal.drop(message.id)
            return
        await self._journal.noted(message.id)
        turn = Turn(message.id, message.site_id, asked.text.strip(), asked=asked, entry=message.id)
        await self._converse(turn)

    async def on_say(self, message: RawMessage) -> None:
        """Speak a plain text; the same one again, while it is spoken, is not said twice."""
        asked = self._read(message, plain_door.read_announcement)
        if asked is None:
            return
        site = self._hearing.site(message.site_id)
        self._hearing.hush_former(site)
        if asked.id not in site.speeches:
            speech = Speech(self._bus, site.site_id, new_id(), "", priority=0)
            speech.utterance_id = asked.id or speech.utterance_id
            self._announce(site, speech, asked.text)

    async def on_final(self, message: Message[SttFinal]) -> None:
        """Answer a spoken question, or say that it was not understood."""
        final = message.data
        turn = Turn(
            turn_id=message.turn_id or final.utterance_id,
            site_id=message.site_id,
            transcript=final.text.strip(),
            voice=True,
            before_ms=final.decode_ms + final.transcribe_ms,
            entry=message.id,
        )
        if final.rejected not in PASSING_REJECTIONS and not self._answers.is_new_utterance(
            message.site_id, final.utterance_id
        ):
            self._bus.counters["utterances_doubled"] += 1
            self._journal.drop(message.id)
            return
        turn.stage("stt", 0.0, turn.before_ms)
        await self._journal.noted(message.id)
        if final.rejected is None and turn.transcript:
            await self._converse(turn)
            return
        turn.transcript = ""
        detail = final.detail or f"nothing was understood ({final.rejected or 'no words'})"
        sentence = phrases.NOT_UNDERSTOOD
        if final.rejected == "engine":
            sentence = sentence_for(EngineError(detail))
        self._apologise(turn, sentence, detail)

    async def on_delta(self, message: Message[LlmStream]) -> None:
        """Hand a piece of a reply to the turn that waits for it."""
        self._llm.on_delta(message)

    async def on_synthesis(self, message: Message[TtsStatus]) -> None:
        """Note what became of an answer's synthesis."""
        self._hearing.on_synthesis(message.site_id, message.data)

    async def on_playback(self, message: Message[PlaybackStatus]) -> None:
        """Note what was really heard."""
        self._hearing.on_playback(message.site_id, message.data)

    async def on_answer(self, message: RawMessage) -> None:
        """Do nothing: one's own answer was noted at receipt."""

    def _read(self, message: RawMessage, read: Callable[[bytes], PlainAsk]) -> PlainAsk | None:
        try:
            return read(message.payload)
        except plain_door.PlainDoorError as error:
            self._bus.counters["malformed"] += 1
            log.warning("plain.refused", site_id=message.site_id, reason=str(error))
            refused = PlainAnswer(
                id=error.ask_id,
                turn_id=new_id(),
                transcript="",
                answer="",
                route="none",
                error=str(error),
            )
            self._answers.publish(message.site_id, refused)
            return None

    # Turns

    async def _converse(self, turn: Turn) -> None:
        """Run a turn when it is its site's; a spoken one, or a `stop`, interrupts."""
        site = self._hearing.site(turn.site_id)
        try:
            turn.intent = self._grammar.recognize(turn.transcript)
            if len(site.turns) > self._waiting_turns and not turn.interrupts:
                error = "too many questions wait at this site"
                self._finish(turn, "", error=error, may_retry=True)
                return
            site.enter(turn)
            async with asyncio.TaskGroup() as group:
                turn.task = group.create_task(
                    self._take_turn(site, turn), name=f"turn:{turn.turn_id}"
                )
        finally:
            site.leave(turn)
            self._close(turn)

    async def _take_turn(self, site: Site, turn: Turn) -> None:
        self._recovery.overtake(site.site_id)
        if turn.interrupts:
            await self._hearing.silence(site, surely=turn.stops)
        self._hearing.hush_former(site)
        await turn.begin.wait()
        self._hearing.take_as_heard(site)
        # What only ends something is no part of the conversation.
        question = "" if turn.stops else turn.transcript
        speech = Speech(self._bus, site.site_id, turn.turn_id, question)
        if turn.speak:
            self._hearing.attend(site, speech)
        try:
            await self._answer(site, turn, speech)
        finally:
            if not turn.answered and turn.speak:
                self._hearing.cut_short(site, speech)

    async def _answer(self, site: Site, turn: Turn, speech: Speech) -> None:
        begun_ms = turn.now_ms()
        try:
            reply = await self._reply(site, turn, turn.intent, speech)
        except AntiphonError as error:
            reply = Reply(text="", rest="", error=error)
        turn.stage(turn.route, begun_ms)
        apology = "" if reply.error is None else sentence_for(reply.error)
        if turn.speak:
            self._speak(turn, speech, reply, apology)
        if speech.first_said_at is not None:
            turn.stage("first_clause", begun_ms, turn.now_ms(speech.first_said_at))
        answer = " ".join(part for part in (reply.text, apology) if part)
        detail = None if reply.error is None else str(reply.error)
        self._finish(turn, answer, error=detail, speech=speech)
        self._note(site, turn, speech, answer)

    async def _reply(self, site: Site, turn: Turn, intent: Intent | None, speech: Speech) -> Reply:
        if intent is not None:
            turn.route = "fast"
            answer = await self._commands.carry_out(
                intent.name, intent.slots, turn_id=turn.turn_id, last_answer=site.last_answer
            )
            return Reply(answer, rest="" if intent.name == "stop" else answer)
        turn.route = "llm"
        await self._historian.caught_up(site.site_id, HISTORY_WAIT_S)
        return await self._llm.reply(
            turn.transcript,
            site_id=turn.site_id,
            turn_id=turn.turn_id,
            on_text=speech.feed if turn.speak else None,
        )

    def _speak(self, turn: Turn, speech: Speech, reply: Reply, apology: str) -> None:
        """Speak what of a reply was not streamed; if it broke off, whole clauses and an apology."""
        rest = reply.rest
        if reply.replaces:
            speech.drop_unsaid()
            after_said = rest_after(speech.text, reply.text)
            rest = reply.text if after_said is None else after_said
        if apology:
            speech.feed(rest)
            speech.drop_unsaid()
            speech.finish(apology)
            return
        speech.finish(rest)
        if reply.text and not speech.clauses and not turn.stops:
            speech.question = ""
            speech.finish(phrases.ONLY_IN_WRITING)

    def _note(self, site: Site, turn: Turn, speech: Speech, answer: str) -> None:
        """Keep the answer for `repeat`, and for the history if playback will not tell of it."""
        if not turn.stops and (turn.intent is None or turn.intent.name != "repeat"):
            site.last_answer = answer
        if not speech.clauses:
            self._hearing.forget(site, speech)
        if not turn.stops and not (speech.clauses and speech.question):
            self._historian.record(Exchange(site.site_id, turn.turn_id, turn.transcript, answer))

    def _announce(self, site: Site, speech: Speech, text: str) -> None:
        speech.finish(text)
        if speech.clauses:
            self._hearing.attend(site, speech)

    def _close(self, turn: Turn) -> None:
        """Give a turn that came to an early end its answer."""
        if turn.answered:
            return
        if turn.interrupted:
            self._finish(turn, "", error="interrupted by what came next")
        elif turn.task is not None and turn.task.cancelled():
            self._finish(turn, "", error="the router was stopped")
        else:
            self._apologise(turn, phrases.WENT_WRONG, "an internal error ended the turn")
            # Its dead letter may be tried again.
            self._answers.forget(turn.site_id, turn.asked or turn.turn_id)

    def _apologise(self, turn: Turn, sentence: str, detail: str) -> None:
        """End a turn that cannot run, with a spoken sentence."""
        speech = Speech(self._bus, turn.site_id, turn.turn_id, "")
        if turn.speak:
            self._announce(self._hearing.site(turn.site_id), speech, sentence)
        self._finish(turn, sentence, error=detail, speech=speech)

    def _finish(
        self,
        turn: Turn,
        answer: str,
        *,
        error: str | None = None,
        speech: Speech | None = None,
        may_retry: bool = False,
    ) -> None:
        turn.answered = True
        spoken = speech is not None and bool(speech.clauses)
        unheard = spoken and self._bus.presence.is_gone("tts")
        published = PlainAnswer(
            id=None if turn.asked is None else turn.asked.id,
            turn_id=turn.turn_id,
            transcript=turn.transcript,
            answer=answer,
            route=turn.route,
            error=error,
            unheard=UNHEARD if unheard else None,
            utterance_id=speech.utterance_id if speech is not None and spoken else None,
            stages=tuple(turn.stages),
        )
        self._answers.give(
            turn.site_id, published, turn.asked, may_retry=may_retry, entry=turn.entry
        )
        log.info(
            "turn.done",
            turn_id=turn.turn_id,
            site_id=turn.site_id,
            route=turn.route,
            failed=error is not None,
            ms=round(turn.now_ms()),
        )
