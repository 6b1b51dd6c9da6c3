"""Conversation: turns run one at a time at each site, and each gets one answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import structlog
from antiphon_contracts import AntiphonError, PlainAnswer, new_id
from antiphon_runtime import Bus

from antiphon_router import phrases
from antiphon_router.answers import Answers
from antiphon_router.commands import Commands
from antiphon_router.hearing import Hearing
from antiphon_router.historian import Exchange, Historian
from antiphon_router.intents import Grammar, Intent
from antiphon_router.language_model import (
    NOBODY,
    LanguageModel,
    Listener,
    Reply,
    rest_after,
)
from antiphon_router.recovery import Recovery
from antiphon_router.speech import Speech
from antiphon_router.trouble import sentence_for
from antiphon_router.turns import Site, Turn

log = structlog.get_logger(__name__)

UNHEARD = "the speech worker is offline: the answer cannot be heard"
HISTORY_WAIT_S = 0.5


class Conversation:
    """Runs turns.

    Args:
        bus: for counters and presence.
        grammar: the fast path.
        language_model: what answers the rest.
        commands: carries out the fast path's intents.
        hearing: the sites, and what is spoken there.
        historian: told what was said.
        answers: where each turn's answer goes.
        recovery: told which sites have newer turns.
        waiting_turns: how many questions may wait at a site.
    """

    def __init__(
        self,
        bus: Bus,
        grammar: Grammar,
        language_model: LanguageModel,
        commands: Commands,
        hearing: Hearing,
        historian: Historian,
        answers: Answers,
        recovery: Recovery,
        *,
        waiting_turns: int,
    ) -> None:
        self._bus = bus
        self._grammar = grammar
        self._llm = language_model
        self._commands = commands
        self._hearing = hearing
        self._historian = historian
        self._answers = answers
        self._recovery = recovery
        self._waiting_turns = waiting_turns

    async def converse(self, turn: Turn) -> None:
        """Run a turn when it is its site's; a spoken one, or a `stop`, interrupts."""
        site = self._hearing.site(turn.site_id)
        if turn.turn_id in site.arriving:
            site.arriving.remove(turn.turn_id)
        try:
            turn.intent = await self._recognize(site, turn)
            if turn.holds:
                self._hold(site, turn)
                return
            if len(site.turns) > self._waiting_turns and not turn.interrupts:
                error = "too many questions wait at this site"
                self._finish(turn, "", error=error, may_retry=True)
                return
            site.follow_up_due = False
            site.enter(turn)
            self._hearing.on_change(site)
            async with asyncio.TaskGroup() as group:
                turn.task = group.create_task(
                    self._take_turn(site, turn), name=f"turn:{turn.turn_id}"
                )
        finally:
            if turn.tentative is not None:
                turn.tentative.withdraw()
            site.leave(turn)
            self._close(turn)
            self._hearing.on_change(site)

    async def _recognize(self, site: Site, turn: Turn) -> Intent | None:
        """Return the intent; some are one only where something is held, or rings."""
        intent = self._grammar.recognize(turn.transcript)
        if intent is None and self._grammar.may_find_more(turn.transcript):
            intent = await asyncio.to_thread(self._grammar.look_further, turn.transcript)
        if intent is None:
            return None
        idle = intent.name == "resume" and not (site.hold and site.busy)
        return None if idle or self._commands.is_idle(intent, site.site_id) else intent

    def _hold(self, site: Site, turn: Turn) -> None:
        """Hold what is spoken, or go on with it: neither ends the turn under way."""
        turn.route = "fast"
        if turn.intent is not None and turn.intent.name == "resume":
            self._hearing.resume(site, wanted=True)
        elif site.busy:
            self._hearing.pause(site, wanted=True)
        else:
            self._hearing.resume(site, wanted=False)
        self._finish(turn, phrases.OKAY)

    async def stop(self, site: Site) -> None:
        """Put an end to what goes on at a site, without a turn."""
        site.interrupt_all()
        await self._hearing.silence(site, surely=True)
        site.follow_up_due = False

    async def say_again(self, site: Site) -> None:
        """Say the last answer again, without a turn."""
        await self.stop(site)
        speech = self._hearing.compose(site, new_id())
        speech.live = site.streams
        self._hearing.announce(site, speech, site.last_answer or phrases.NOTHING_TO_REPEAT)

    def forget_arrival(self, turn: Turn) -> None:
        """A turn that was heard is none after all."""
        site = self._hearing.site(turn.site_id)
        if turn.turn_id in site.arriving:
            site.arriving.remove(turn.turn_id)
        self._hearing.resume(site, wanted=False)

    async def _take_turn(self, site: Site, turn: Turn) -> None:
        self._recovery.overtake(site.site_id)
        if turn.interrupts:
            await self._hearing.silence(site, surely=turn.stops)
        self._hearing.hush_former(site)
        await turn.begin.wait()
        self._hearing.take_as_heard(site)
        # What only ends something is no part of the conversation.
        question = "" if turn.stops else turn.transcript
        speech = self._hearing.compose(site, turn.turn_id, question)
        speech.live = turn.live
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
            done = await self._carry_out(site, turn, intent)
            *_, last = intent.each()
            return await self._go_on(site, turn, done, last.rest, speech) if last.rest else done
        turn.route = "llm"
        self._commands.moved_on(site.site_id)
        listener = Listener(speech.feed, speech.aside) if turn.speak else NOBODY

        async def ask(listener: Listener) -> Reply:
            return await self._ask(site, turn, turn.transcript, listener)

        if turn.tentative is not None:
            return await turn.tentative.reply(listener, ask)
        return await ask(listener)

    async def _ask(self, site: Site, turn: Turn, text: str, listener: Listener) -> Reply:
        await self._historian.caught_up(site.site_id, HISTORY_WAIT_S)
        return await self._llm.reply(
            text, site_id=turn.site_id, turn_id=turn.turn_id, listener=listener
        )

    async def _go_on(
        self, site: Site, turn: Turn, done: Reply, question: str, speech: Speech
    ) -> Reply:
        """Say what was done, then answer the question that was asked in the same breath."""
        turn.route = "llm"
        begun = done.text
        if done.error is not None:
            begun = " ".join(part for part in (begun, sentence_for(done.error)) if part)
        begun = f"{begun} " if begun else ""
        listener = NOBODY
        if turn.speak:
            speech.feed(begun)
            listener = Listener(speech.feed, speech.aside)
        try:
            reply = await self._ask(site, turn, question, listener)
        except AntiphonError as error:
            reply = Reply("", "", error=error)
        rest = reply.rest if turn.speak else ""
        return replace(reply, text=f"{begun}{reply.text}".rstrip(), rest=rest)

    async def _carry_out(self, site: Site, turn: Turn, intent: Intent) -> Reply:
        """Do what was asked for, one after the other; one that fails does not stop the next."""
        answers: list[str] = []
        error: AntiphonError | None = None
        for each in intent.each():
            try:
                answer = await self._commands.carry_out(
                    each.name,
                    each.slots,
                    turn_id=turn.turn_id,
                    site_id=turn.site_id,
                    last_answer=site.last_answer,
                )
            except AntiphonError as failure:
                error = error or failure
            else:
                if each.interrupts or each.name not in {"stop", "dismiss"}:
                    answers.append(answer)
        text = " ".join(answers)
        silent = intent.name == "stop" and intent.interrupts
        if silent:
            return Reply(text, rest="", error=error)
        # With a space the last sentence is whole, and is said before an apology.
        return Reply(text, rest=f"{text} " if error is not None and text else text, error=error)

    def _speak(self, turn: Turn, speech: Speech, reply: Reply, apology: str) -> None:
        """Speak what of a reply was not streamed; if it broke off, whole clauses and an apology."""
        rest = reply.rest
        if reply.replaces:
            speech.drop_unsaid()
            after_said = rest_after(speech.answer, reply.text)
            rest = reply.text if after_said is None else after_said
        if apology:
            speech.feed(rest)
            speech.drop_unsaid()
            speech.finish(apology)
            return
        speech.finish(rest)
        if reply.text and not speech.answer and not turn.stops:
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

    def _close(self, turn: Turn) -> None:
        """Give a turn that came to an early end its answer."""
        if turn.answered:
            return
        if turn.interrupted:
            self._finish(turn, "", error="interrupted by what came next")
        elif turn.task is not None and turn.task.cancelled():
            self._finish(turn, "", error="the router was stopped")
        else:
            self.apologise(turn, phrases.WENT_WRONG, "an internal error ended the turn")
            # Its dead letter may be tried again.
            self._answers.forget(turn.site_id, turn.asked or turn.turn_id)

    def apologise(self, turn: Turn, sentence: str, detail: str) -> None:
        """End a turn that cannot run, with a spoken sentence."""
        site = self._hearing.site(turn.site_id)
        speech = self._hearing.compose(site, turn.turn_id)
        speech.live = turn.live
        if turn.speak:
            self._hearing.announce(site, speech, sentence)
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
