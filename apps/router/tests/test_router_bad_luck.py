"""What others may do to a turn: die, lie, repeat themselves, or say too much or nothing."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from antiphon_contracts import (
    ASK_SITE,
    DEAD_RETRY,
    SAY,
    STT_FINAL,
    AntiphonError,
    Busy,
    EngineError,
    LlmResponse,
    RemoteError,
    SttFinal,
)
from antiphon_router import language_model
from antiphon_router.engine import HassilGrammar
from antiphon_router.intents import Intent
from antiphon_router.settings import RouterSettings
from antiphon_router.testing import Home, home
from antiphon_router.trouble import sentence_for
from antiphon_runtime.dead_letters import LETTERS

pytestmark = pytest.mark.unit


async def begin(h: Home) -> None:
    async with asyncio.timeout(5):
        await h.streamed.wait()


def whole(text: str, error: str | None = None) -> LlmResponse:
    return LlmResponse(reply=text, finish_reason="error" if error else "stop", error=error)


# The language model


async def test_a_model_that_dies_in_mid_stream_leaves_what_was_spoken_and_one_apology(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(language_model, "GONE_FOR_S", 0.05)
    async with home() as h:
        h.deltas = ["It is red. ", "It may al"]
        h.gate.clear()
        h.ask("Is it red?")
        await h.said.until(1)
        h.lose("llm")
        [answer] = await h.answers.until(1)
        assert h.spoken() == "It is red. My language model is offline right now."
        assert answer.answer == "It is red. It may al My language model is offline right now."
        assert answer.error == "the llm worker went offline"
        h.gate.set()
        h.ask("what time is it")
        await h.answers.until(2)


async def test_a_model_that_is_too_slow_is_told_to_stop() -> None:
    async with home(RouterSettings(llm_timeout_s=0.05)) as h:
        h.deltas = ["It is red. ", "It may al"]
        h.gate.clear()
        h.ask("Is it red?")
        [answer] = await h.answers.until(1)
        assert h.spoken() == "It is red. Sorry, that took too long."
        assert answer.error is not None
        h.gate.set()
        assert await h.cancelled.until(1) == h.requests


async def test_a_reply_that_broke_off_ends_in_whole_clauses_and_an_apology() -> None:
    async with home() as h:
        h.deltas = ["It is red. "]
        h.response = whole("It is red. And so", error="The server went away.")
        h.ask("Is it red?")
        await h.until_said()
        assert h.spoken() == "It is red. Sorry, the server went away."


async def test_a_cancelled_reply_is_not_taken_for_a_whole_one() -> None:
    async with home() as h:
        h.deltas = []
        h.response = LlmResponse(reply="It is red. And", finish_reason="cancelled")
        h.ask("Is it red?")
        [answer] = await h.answers.until(1)
        assert answer.error == "my answer was stopped before its end"


@pytest.mark.parametrize("failure", [Busy("llm has too much to do"), EngineError("broken")])
async def test_a_refusal_is_spoken(failure: Busy | EngineError) -> None:
    async with home() as h:
        h.deltas, h.failure = [], failure
        h.ask("Is it red?")
        [answer] = await h.answers.until(1)
        await h.until_said()
        assert h.spoken() == answer.answer
        assert answer.answer.startswith("Sorry, ")
        assert answer.error


@pytest.mark.parametrize("reply", ["", "  \n "])
async def test_an_empty_reply_is_said_to_be_none(reply: str) -> None:
    async with home() as h:
        h.deltas, h.response = [], whole(reply)
        h.ask("Is it red?")
        [answer] = await h.answers.until(1)
        assert answer.answer == "Sorry, I have no answer to that."
        await h.until_said()
        assert h.spoken() == answer.answer


@pytest.mark.parametrize("reply", ["\U0001f44d", "**", "```python\nprint(1)\n\nprint(2)\n```"])
@pytest.mark.parametrize("streamed", [True, False])
async def test_a_reply_that_no_voice_can_speak_is_said_to_be_in_writing(
    reply: str, *, streamed: bool
) -> None:
    async with home() as h:
        h.deltas, h.response = [reply] if streamed else [], whole(reply)
        h.ask("Show me")
        [answer] = await h.answers.until(1)
        await h.until_said()
        assert answer.answer == reply
        assert h.spoken() == "My answer can only be read."
        rows = await h.history.until(2)
        assert rows[1].text == reply


async def test_code_between_sentences_is_not_spoken() -> None:
    async with home() as h:
        h.deltas = []
        h.response = whole("Do this:\n```python\nprint(1)\nprint(2)\n```\nThat is all.")
        h.ask("Show me")
        await h.until_said()
        assert h.spoken() == "Do this: That is all."


@pytest.mark.parametrize(
    "reply",
    [
        "word " * 4_000,
        "x" * 20_000,
        "a. " * 7_000,
        "\n" * 20_000 + "end",
        "x" * 25_000 + " end. And more.",
        "[" * 20_000,
        "A sentence of middling length, with a comma in it. " * 400,
    ],
)
@pytest.mark.parametrize("streamed", [True, False])
async def test_a_very_long_reply_is_spoken_up_to_a_bound(reply: str, *, streamed: bool) -> None:
    async with home() as h:
        pieces = [reply[start : start + 50] for start in range(0, len(reply), 50)]
        h.deltas = pieces if streamed else []
        h.response = whole(reply)
        h.ask("Tell me everything")
        await h.until_said()
        [answer] = await h.answers.until(1)
        assert answer.answer == reply
        assert len(h.said) <= 402
        assert len(h.spoken()) < 11_000
        assert all(len(message.data.text) <= 400 for message in h.said)
        assert h.said[-1].data.text in {"The rest of my answer is in writing.", "end"}


# Doubled and hostile questions


async def test_a_doubled_transcript_is_answered_once() -> None:
    async with home() as h:
        for _ in range(2):
            h.speak("What time is it?", "t1")
        h.speak("What time is it?", "t1", "kitchen")
        h.speak("What time is it?", "t2")
        await h.answers.until(3)
        assert sorted(h.sites) == ["default", "default", "kitchen"]
        assert h.router.counters["utterances_doubled"] == 1


async def test_a_recording_sent_again_after_a_passing_rejection_is_answered() -> None:
    async with home() as h:
        busy = SttFinal(utterance_id="t1", rejected="busy", detail="Too much waits.")
        h.house.say(STT_FINAL, busy, turn_id="t1")
        h.speak("What time is it?", "t1")
        await h.answers.until(2)
        assert {answer.error for answer in h.answers} == {"Too much waits.", None}


async def test_a_question_that_comes_again_while_it_is_answered_is_answered_once() -> None:
    async with home() as h:
        h.gate.clear()
        for _ in range(3):
            h.ask("Is it red?", "kitchen", id="q1")
        await begin(h)
        h.gate.set()
        await h.answers.until(1)
        h.ask("what time is it", "kitchen", id="q2")
        await h.answers.until(2)
        assert [answer.id for answer in h.answers] == ["q1", "q2"]
        assert h.asked == ["Is it red?"]


async def test_one_id_at_two_sites_or_for_two_questions_is_not_one_question() -> None:
    async with home() as h:
        h.ask("what is 12 times 7", "kitchen", id="q1")
        h.ask("what time is it", "bath", id="q1")
        h.ask("what is the date", "bath", id="q1")
        await h.answers.until(3)
        assert {answer.transcript for answer in h.answers} == {
            "what is 12 times 7",
            "what time is it",
            "what is the date",
        }


async def test_a_question_refused_for_now_may_be_asked_again() -> None:
    async with home(RouterSettings(waiting_turns=0)) as h:
        h.gate.clear()
        h.ask("First?", "kitchen")
        await begin(h)
        h.ask("Second?", "kitchen", id="q2")
        [refused] = await h.answers.until(1)
        assert (refused.id, refused.error) == ("q2", "too many questions wait at this site")
        h.gate.set()
        await h.answers.until(2)
        h.ask("Second?", "kitchen", id="q2")
        await h.answers.until(3)
        assert h.answers[2].error is None


async def test_a_silent_question_makes_no_sound_whatever_happens() -> None:
    async with home() as h:
        h.ask("what time is it", speak=False)
        h.ask("Is it red?", speak=False)
        await h.answers.until(2)
        h.failure = EngineError("broken")
        h.ask("Is it red?", speak=False)
        h.ask("what is 1 / 0", speak=False)
        await h.answers.until(4)
        h.ask("what time is it")
        await h.until_said()
        await h.answers.until(5)
        assert {message.turn_id for message in h.said} == {h.answers[-1].turn_id}
        assert all(answer.utterance_id is None for answer in h.answers[:4])


@pytest.mark.parametrize("utterance_id", ["a/b", "", "#", "x{y}", "\x00", "+"])
async def test_an_announcement_under_a_hostile_id_is_refused_with_its_id(utterance_id: str) -> None:
    async with home() as h:
        h.house.bus.publish_raw(SAY, orjson.dumps({"text": "Hello.", "id": utterance_id}))
        h.house.bus.publish_raw(SAY, b"Dinner is ready.")
        await h.until_said()
        [answer] = await h.answers.until(1)
        assert answer.id == utterance_id
        assert answer.error is not None
        assert h.spoken() == "Dinner is ready."
        assert h.router.counters["handler_errors"] == 0


async def test_a_refused_question_gets_its_id_back() -> None:
    async with home() as h:
        for payload in ({"id": "q1"}, {"id": "q2", "text": "  "}, {"id": 7}, {"id": "x" * 200}):
            h.house.bus.publish_raw(ASK_SITE, orjson.dumps(payload), site="kitchen")
        await h.answers.until(4)
        assert [answer.id for answer in h.answers] == ["q1", "q2", None, None]


async def test_an_announcement_repeated_while_it_is_spoken_is_said_once_and_not_in_history() -> (
    None
):
    async with home() as h:
        for _ in range(3):
            h.house.bus.publish_raw(SAY, b'{"text": "Dinner is ready.", "id": "d1"}')
        h.ask("what time is it", speak=False)
        await h.answers.until(1)
        rows = await h.history.until(2)
        assert h.spoken() == "Dinner is ready."
        assert [row.role for row in rows] == ["user", "assistant"]
        assert rows[0].text == "what time is it"


@pytest.mark.parametrize("site", ["$SYS", "küche", "a b", "..", "%00", "a" * 128, "\U0001f600"])
async def test_any_level_of_a_topic_can_be_a_site(site: str) -> None:
    async with home() as h:
        h.ask("what time is it", site)
        h.speak("what time is it", "t1", site)
        await h.answers.until(2)
        assert h.sites == [site, site]


# The house


async def test_a_memory_that_is_gone_is_said_to_be_offline() -> None:
    async with home() as h:
        h.lose("memory")
        h.ask("Remember that my bicycle is red.")
        [answer] = await h.answers.until(1)
        await h.until_said()
        assert answer.answer == h.spoken() == "My memory is offline right now."


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            RemoteError("I cannot store anything, because it is full; free it.", code="engine"),
            "Sorry, I cannot store anything, because it is full.",
        ),
        (
            EngineError("No weather service is set up; set one up."),
            "Sorry, no weather service is set up.",
        ),
        (EngineError("The lamp is away."), "Sorry, the lamp is away."),
        (EngineError("I was stopped."), "Sorry, I was stopped."),
        (EngineError("USB is full."), "Sorry, USB is full."),
        (RemoteError("internal error (KeyError)", code="internal"), "Sorry, something went wrong."),
        (RemoteError("", code="engine"), "Sorry, something went wrong."),
    ],
)
def test_why_a_worker_could_not_do_it_is_said(error: AntiphonError, said: str) -> None:
    assert sentence_for(error) == said


async def test_an_answer_that_nobody_speaks_is_one_that_can_be_read() -> None:
    async with home() as h:
        h.lose("tts")
        h.ask("what time is it", id="aloud")
        h.ask("what time is it", "hall", id="silent", speak=False)
        await h.answers.until(2)
        answers = {answer.id: answer for answer in h.answers}
        assert [answers[name].error for name in ("aloud", "silent")] == [None, None]
        assert "speech worker is offline" in (answers["aloud"].unheard or "")
        assert answers["silent"].unheard is None


async def test_tools_that_are_gone_are_said_to_be_offline() -> None:
    async with home() as h:
        h.lose("tools")
        h.ask("what is 12 times 7")
        [answer] = await h.answers.until(1)
        assert answer.answer == "My tools are offline right now."


async def test_a_turn_goes_on_when_the_broker_is_back() -> None:
    async with home() as h:
        h.gate.clear()
        h.ask("Is it red?")
        await begin(h)
        h.house.broker.go_offline()
        h.gate.set()
        await asyncio.sleep(0)
        h.house.broker.go_online()
        [answer] = await h.answers.until(1)
        await h.until_said()
        assert answer.error is None
        assert h.spoken() == "It is red. Really."
        h.ask("what time is it")
        await h.answers.until(2)
        assert len({a.turn_id for a in h.answers}) == 2


@pytest.mark.parametrize("speak", [True, False])
async def test_a_turn_that_crashes_is_told_and_the_next_one_works(
    monkeypatch: pytest.MonkeyPatch, *, speak: bool
) -> None:
    recognize = HassilGrammar.recognize

    def crash(self: HassilGrammar, text: str) -> Intent | None:
        if "crash" in text:
            raise ZeroDivisionError
        return recognize(self, text)

    monkeypatch.setattr(HassilGrammar, "recognize", crash)
    async with home() as h:
        letters = await h.house.hear_raw(LETTERS)
        h.ask("crash", id="q1", speak=speak)
        h.ask("what time is it", speak=False)
        await h.answers.until(2)
        assert (h.answers[0].id, h.answers[0].answer) == ("q1", "Sorry, something went wrong.")
        assert h.answers[1].error is None
        assert h.spoken() == ("Sorry, something went wrong." if speak else "")
        await letters.until(1)


async def test_a_question_that_crashed_is_asked_again_by_its_dead_letter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def crash(*_args: object) -> None:
        raise ZeroDivisionError

    async with home() as h:
        letters = await h.house.hear_raw(LETTERS)
        with monkeypatch.context() as patch:
            patch.setattr(HassilGrammar, "recognize", crash)
            h.ask("what time is it", "hall", id="q1")
            h.speak("what time is it", "u1", "bath")
            await h.answers.until(2)
            await letters.until(2)
        for letter in letters[:2]:
            h.house.bus.publish_raw(DEAD_RETRY, b"", **letter.slots)
        await h.answers.until(4)
        assert [answer.error for answer in h.answers[2:]] == [None, None]
        assert sorted(h.sites[2:]) == ["bath", "hall"]


async def test_a_crash_in_the_middle_of_a_turn_is_told_and_the_next_one_works(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def crash(*_args: object) -> None:
        raise ZeroDivisionError

    async with home() as h:
        with monkeypatch.context() as patch:
            patch.setattr(language_model, "_concluded", crash)
            h.ask("Is it red?")
            await h.answers.until(1)
        h.ask("Is it red?")
        await h.answers.until(2)
        assert [a.answer for a in h.answers] == [
            "Sorry, something went wrong.",
            "It is red. Really.",
        ]
