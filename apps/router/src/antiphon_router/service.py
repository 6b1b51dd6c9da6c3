"""The dialogue: what comes in at the router, and who takes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime

import structlog
from antiphon_contracts import (
    AntiphonError,
    DialogueControl,
    EngineError,
    LlmNotice,
    LlmStream,
    Message,
    Persona,
    PlainAnswer,
    PlainAsk,
    PlaybackStatus,
    SttFinal,
    TimerEvent,
    ToolRegistry,
    TtsStatus,
    new_id,
)
from antiphon_runtime import Bus, RawMessage, running

from antiphon_router import phrases, plain_door
from antiphon_router.announcing import Announcer
from antiphon_router.answers import Answers, digest
from antiphon_router.arbitration import Groups
from antiphon_router.commands import Commands
from antiphon_router.conversation import HISTORY_WAIT_S, Conversation
from antiphon_router.hearing import Hearing
from antiphon_router.historian import Historian
from antiphon_router.intents import Grammar
from antiphon_router.journal import Journal
from antiphon_router.language_model import LanguageModel
from antiphon_router.listening import Listening, Verdict
from antiphon_router.preparing import Preparing
from antiphon_router.recovery import Recovery
from antiphon_router.rules import LiveRules, SiteRules
from antiphon_router.speculation import Speculation
from antiphon_router.trouble import sentence_for
from antiphon_router.turns import Turn
from antiphon_router.vocabulary import Vocabulary

log = structlog.get_logger(__name__)

HISTORY_END_S = 1.0
PASSING_REJECTIONS = {"busy", "engine"}
"""The same recording, sent again, may be understood."""


class Dialogue:
    """Owns the dialogue of every site.

    Args:
        bus: for everything that is said and asked.
        grammar: the fast path.
        language_model: what answers the rest.
        journal: of open turns.
        rules: of live conversation.
        groups: sites that hear each other.
        waiting_turns: how many questions may wait at a site.
        language: two letters, of the fast path's answers.
        clock: the local time.

    Attributes:
        listening: takes what microphones and recognisers tell.
        announcer: takes announcements, and questions to people.
    """

    def __init__(
        self,
        bus: Bus,
        grammar: Grammar,
        language_model: LanguageModel,
        journal: Journal,
        rules: LiveRules,
        groups: Groups,
        *,
        waiting_turns: int = 4,
        language: str = "en",
        clock: Callable[[], datetime] = lambda: datetime.now().astimezone(),
    ) -> None:
        self._bus = bus
        self._grammar = grammar
        self._llm = language_model
        self._journal = journal
        self._rules = rules
        self._persona = Persona()
        self._historian = Historian(bus)
        self._hearing = Hearing(bus, self._historian, self._rules_of)
        self._answers = Answers(bus, journal)
        self._recovery = Recovery(bus, journal, self._answers, self._hearing)
        self._commands = commands = Commands(
            bus, clock, lambda site_id: self._rules_of(site_id).volume, language=language
        )
        self._registries: dict[str, ToolRegistry] = {}
        preparing = Preparing(bus, commands, self._rules_of)
        self._speculation = Speculation(bus, language_model, self._caught_up, preparing)
        self.listening = Listening(
            bus, self._hearing, grammar, self._speculation, preparing, groups, rules
        )
        self._conversation = Conversation(
            bus,
            grammar,
            language_model,
            commands,
            self._hearing,
            self._historian,
            self._answers,
            self._recovery,
            waiting_turns=waiting_turns,
        )
        self.announcer = Announcer(bus, self._hearing, self._conversation, self.listening)

    async def _caught_up(self, site_id: str) -> None:
        await self._historian.caught_up(site_id, HISTORY_WAIT_S)

    @asynccontextmanager
    async def lifespan(self) -> AsyncIterator[None]:
        """Load journal and grammar; write and settle what is due while the block runs."""
        async with self._journal.lifespan():
            self._recovery.begin()
            for site in self._hearing:
                self.listening.on_change(site)
            await asyncio.to_thread(self._grammar.load)
            async with running(
                history=self._historian.write(),
                unplayed=self._hearing.sweep(),
                recovery=self._recovery.apologise(),
                ringing=self._commands.find_ringing(),
                listening=self.listening.tend(),
            ) as group:
                self._speculation.begin_in(group)
                yield
                self._speculation.end()
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
        if message.data.reason and not message.data.text.strip():
            return None  # a window passed, and nobody waits for anything
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
        await self._conversation.converse(turn)

    async def on_say(self, message: RawMessage) -> None:
        """Speak a plain text; the same one again, while it is spoken, is not said twice."""
        asked = self._read(message, plain_door.read_announcement)
        if asked is None:
            return
        site = self._hearing.site(message.site_id)
        self._hearing.hush_former(site)
        if asked.id not in site.speeches:
            speech = self._hearing.compose(site, new_id(), priority=0)
            speech.utterance_id = asked.id or speech.utterance_id
            self._hearing.announce(site, speech, asked.text)

    async def on_final(self, message: Message[SttFinal]) -> None:
        """Answer a spoken question, or say that it was not understood."""
        final = message.data
        understood = final.rejected is None and bool(final.text.strip())
        verdict: Verdict = "turn" if understood else "apology"
        if final.reason:
            verdict = self.listening.on_final(message.site_id, final)
        turn = _turn_of(message)
        is_new = final.rejected in PASSING_REJECTIONS or self._answers.is_new_utterance(
            message.site_id, final.utterance_id
        )
        if not is_new:
            self._bus.counters["utterances_doubled"] += 1
            if turn.live and verdict == "turn":
                self._conversation.forget_arrival(turn)
        if verdict == "nothing" or not is_new:
            self._journal.drop(message.id)
            return
        if turn.live:
            turn.tentative = self._speculation.take_over(message.site_id, turn.transcript)
        await self._journal.noted(message.id)
        if verdict == "turn":
            await self._conversation.converse(turn)
            return
        turn.transcript = ""
        detail = final.detail or f"nothing was understood ({final.rejected or 'no words'})"
        sentence = phrases.NOT_UNDERSTOOD
        if final.rejected == "engine" or (turn.live and final.rejected == "busy"):
            sentence = sentence_for(EngineError(detail))
        self._conversation.apologise(turn, sentence, detail)

    async def on_control(self, message: Message[DialogueControl]) -> None:
        """Hold, go on, stop, repeat or listen at a site."""
        site = self._hearing.site(message.site_id)
        match message.data.action:
            case "pause":
                if site.busy:
                    self._hearing.pause(site, wanted=True)
            case "resume":
                self._hearing.resume(site, wanted=True)
            case "stop":
                await self._conversation.stop(site)
                await self._silence(site.site_id)
            case "repeat":
                await self._conversation.say_again(site)
            case "listen":
                self.listening.on_button(site)

    async def _silence(self, site_id: str) -> None:
        try:
            await self._commands.silence(site_id)
        except AntiphonError as error:
            log.warning("ringing.not_stopped", site_id=site_id, detail=str(error))

    async def on_registry(self, message: Message[ToolRegistry]) -> None:
        """Learn what a tool worker offers, and what it calls lamps, scenes and lists."""
        self._registries[message.source] = message.data
        vocabulary = Vocabulary.of(self._registries.values())
        self._commands.learn(vocabulary)
        await asyncio.to_thread(self._grammar.learn, vocabulary)
        self._bus.counters["vocabularies"] += 1

    async def on_timer_event(self, message: Message[TimerEvent]) -> None:
        """Note what rings at which site."""
        self._commands.on_timer_event(message.data)

    async def on_delta(self, message: Message[LlmStream]) -> None:
        """Hand a piece of a reply to the turn that waits for it."""
        self._llm.on_delta(message)

    async def on_notice(self, message: Message[LlmNotice]) -> None:
        """Hand what is said beside a reply to the turn that waits for it."""
        self._llm.on_notice(message)

    async def on_persona(self, message: Message[Persona]) -> None:
        """Speak with the persona's voice where nothing else is set."""
        self._persona = message.data

    def _rules_of(self, site_id: str) -> SiteRules:
        rules = self._rules.of(site_id)
        return replace(rules, voice=rules.voice or self._persona.voice)

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


def _turn_of(message: Message[SttFinal]) -> Turn:
    """Return the turn that an utterance begins; its clock begins where the speech ended."""
    final = message.data
    live = bool(final.reason)
    stt_ms = final.final_ms if live else final.decode_ms + final.transcribe_ms
    endpoint_ms = final.endpoint_ms if live else 0.0
    turn = Turn(
        turn_id=final.utterance_id if live else message.turn_id or final.utterance_id,
        site_id=message.site_id,
        transcript=final.text.strip(),
        voice=True,
        live=live,
        before_ms=endpoint_ms + stt_ms,
        entry=message.id,
    )
    if live:
        turn.stage("endpoint", 0.0, endpoint_ms)
    turn.stage("stt", endpoint_ms, turn.before_ms)
    return turn
