"""What is said beside an answer, and whose voice says it."""

from __future__ import annotations

import pytest
from antiphon_contracts import PERSONA, LlmResponse, Persona, PlaybackStatus
from antiphon_router.settings import RouterSettings
from antiphon_router.testing import Home, home
from antiphon_router.testing_room import settled

pytestmark = pytest.mark.unit

ASIDE = "Let me check."


async def ask_with_aside(h: Home) -> None:
    h.gate.clear()
    h.deltas = ()
    h.speak("what is the weather", "t1")
    await h.streamed.wait()
    h.notice(ASIDE)
    await h.said.until(1)


async def answer(h: Home, text: str) -> None:
    h.stream_more(text)
    h.response = LlmResponse(reply="".join([*h.deltas, text]), finish_reason="stop")
    h.gate.set()
    await h.until_said()


async def test_an_aside_is_heard_before_the_answer_and_is_not_part_of_it() -> None:
    async with home() as h:
        await ask_with_aside(h)
        await answer(h, "It is sunny today.")
        (first, *_) = h.said
        assert first.data.text == ASIDE
        assert not first.data.last
        assert h.spoken() == f"{ASIDE} It is sunny today."
        await h.answers.until(1)
        assert h.answers[0].answer == "It is sunny today."
        h.playback(PlaybackStatus(utterance_id=first.data.utterance_id, state="finished"))
        await h.history.until(2)
        assert h.history[1].text == "It is sunny today."


async def test_the_share_of_an_answer_that_was_heard_is_reckoned_behind_the_aside() -> None:
    async with home() as h:
        await ask_with_aside(h)
        utterance_id = h.said[0].data.utterance_id
        h.playback(PlaybackStatus(utterance_id=utterance_id, state="started"))
        await settled()
        h.playback(PlaybackStatus(utterance_id=utterance_id, state="stopped", played_ms=100_000))
        await h.history.until(1)
        h.gate.set()
        await settled()
        assert [row.role for row in h.history] == ["user"]


async def test_an_aside_comes_too_late_once_the_answer_has_begun() -> None:
    async with home() as h:
        h.gate.clear()
        h.deltas = ("It is ",)
        h.speak("what is the weather", "t1")
        await h.streamed.wait()
        await settled()
        h.notice(ASIDE)
        await settled()
        await answer(h, "sunny.")
        assert h.spoken() == "It is sunny."


async def test_an_aside_of_a_reply_that_nobody_waits_for_is_not_said() -> None:
    async with home() as h:
        h.speak("what is the weather", "t1")
        await h.answers.until(1)
        before = h.spoken()
        h.notice(ASIDE)
        await settled()
        assert h.spoken() == before


@pytest.mark.parametrize(
    ("own", "expected"), [(None, "nora"), ("joe", "joe")], ids=["house", "its own"]
)
async def test_the_persona_speaks_where_no_voice_is_set(own: str | None, expected: str) -> None:
    async with home(RouterSettings(voice=own)) as h:
        h.house.say(PERSONA, Persona(name="Nora", voice="nora"))
        await settled()
        h.speak("what colour is it", "t1")
        await h.until_said()
        assert {message.data.voice for message in h.said} == {expected}
