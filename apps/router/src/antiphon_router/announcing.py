"""Announcing: what is said at some sites or all, and what people are asked."""

from __future__ import annotations

import asyncio

from antiphon_contracts import (
    Announce,
    Announced,
    AnnouncedAt,
    AskUser,
    Message,
    UserAnswer,
    new_id,
)
from antiphon_runtime import Bus

from antiphon_router.conversation import Conversation
from antiphon_router.hearing import Hearing
from antiphon_router.listening import Listening
from antiphon_router.speech import Speech
from antiphon_router.turns import Site
from antiphon_router.windows import WindowEnd

ALARM_PRIORITY = 20
"""From this on an announcement does not wait for a pause."""
PAUSE_WITHIN_S = 120.0
"""A conversation that does not pause for so long hears no announcement."""
SPOKEN_WITHIN_S = 660.0
OF_TTL = 0.8
"""The share of a request's time in which a pause must come; the rest is for speaking."""


class Announcer:
    """Takes announcements, and questions to people.

    Args:
        bus: for presence.
        hearing: the sites, and what is spoken there.
        conversation: what an alarm interrupts.
        listening: hears the answers.
    """

    def __init__(
        self, bus: Bus, hearing: Hearing, conversation: Conversation, listening: Listening
    ) -> None:
        self._bus = bus
        self._hearing = hearing
        self._conversation = conversation
        self._listening = listening
        self._asking: set[str] = set()

    async def on_announce(self, message: Message[Announce]) -> Announced:
        """Say a text at each site when the conversation there pauses; return how that ended."""
        sites = dict.fromkeys(message.data.sites or self._listening.known_sites())
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(self._announce_at(site_id, message), name=f"announce:{site_id}")
                for site_id in sites
            ]
        return Announced(sites=tuple(task.result() for task in tasks))

    async def _announce_at(self, site_id: str, message: Message[Announce]) -> AnnouncedAt:
        site, data = self._hearing.site(site_id), message.data
        if self._bus.presence.is_gone("tts"):
            return AnnouncedAt(site=site_id, state="failed", detail="the speech worker is offline")
        if data.priority >= ALARM_PRIORITY:
            if not site.is_calm and not self._is_alarmed(site):
                await self._conversation.stop(site)
        elif not await self._pause_of(site, message.ttl_s):
            detail = "the conversation there did not pause in time"
            return AnnouncedAt(site=site_id, state="unheard", detail=detail)
        speech = self._hearing.compose(
            site, message.turn_id or new_id(), priority=data.priority, voice=data.voice
        )
        await self._speak(site, speech, data.text)
        return AnnouncedAt(site=site_id, state=speech.outcome, detail=speech.detail)

    def _is_alarmed(self, site: Site) -> bool:
        return any(speech.priority >= ALARM_PRIORITY for speech in site.speeches.values())

    async def on_ask_user(self, message: Message[AskUser]) -> UserAnswer:
        """Ask a person at the message's site, listen, and return the answer."""
        site = self._hearing.site(message.site_id)
        if site.site_id in self._asking:
            return UserAnswer(outcome="busy", detail="another question is open at this site")
        if not self._listening.may_listen(site):
            return UserAnswer(outcome="failed", detail="no microphone streams at this site")
        self._asking.add(site.site_id)
        try:
            return await self._ask(site, message)
        finally:
            self._asking.discard(site.site_id)

    async def _ask(self, site: Site, message: Message[AskUser]) -> UserAnswer:
        data, turn_id = message.data, message.turn_id
        # A tool asks in the middle of the turn that called it, which waits for the answer.
        is_within = any(turn.turn_id == turn_id for turn in site.turns)
        if not is_within and not await self._pause_of(site, message.ttl_s):
            return UserAnswer(outcome="busy", detail="the conversation there did not pause in time")
        if data.text:
            speech = self._hearing.compose(site, turn_id or new_id(), voice=data.voice)
            await self._speak(site, speech, data.text)
            if speech.outcome == "interrupted":
                return UserAnswer(outcome="interrupted")
            if speech.outcome != "heard":
                detail = speech.detail or "the question was not played"
                return UserAnswer(outcome="failed", detail=detail)
        return _answer(await self._listen(site, data.listen_s))

    async def _listen(self, site: Site, listen_s: float) -> WindowEnd:
        """Return what was said; the house's own voice is no answer."""
        loop = asyncio.get_running_loop()
        until = loop.time() + listen_s
        end = WindowEnd(why="no_speech")
        while (left_s := until - loop.time()) > 0:
            ended: asyncio.Future[WindowEnd] = loop.create_future()
            self._listening.ask(site, left_s, ended)
            try:
                end = await ended
            finally:
                if not ended.done():
                    ended.cancel()
            if end.why != "echo":
                break
        return end

    async def _pause_of(self, site: Site, ttl_s: float | None) -> bool:
        """Return when a site's conversation pauses; false if it does not in time."""
        within_s = PAUSE_WITHIN_S if ttl_s is None else min(PAUSE_WITHIN_S, ttl_s * OF_TTL)
        try:
            async with asyncio.timeout(within_s):
                while not site.is_calm:
                    site.calm.clear()
                    await site.calm.wait()
        except TimeoutError:
            return False
        return True

    async def _speak(self, site: Site, speech: Speech, text: str) -> None:
        """Speak a text and return when it is over, one way or the other."""
        if not self._hearing.announce(site, speech, text):
            speech.outcome, speech.detail = "failed", "there is nothing in it that can be spoken"
            return
        try:
            async with asyncio.timeout(SPOKEN_WITHIN_S):
                await speech.settled.wait()
        except TimeoutError:
            speech.detail = "it did not come to an end"
        if speech.outcome == "unheard" and speech.detail:
            speech.outcome = "failed"


def _answer(end: WindowEnd) -> UserAnswer:
    match end.why:
        case "":
            return UserAnswer(outcome="answered", text=end.text, confidence=end.confidence)
        case "no_speech" | "silence" | "echo":
            return UserAnswer(outcome="silent")
        case "interrupted" | "cancelled":
            return UserAnswer(outcome="interrupted")
        case "lost":
            return UserAnswer(outcome="failed", detail="the microphone's stream broke off")
        case _:
            return UserAnswer(outcome="failed", detail=f"nothing was understood ({end.why})")
