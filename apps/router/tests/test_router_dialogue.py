from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from antiphon_contracts import (
    ANSWER,
    ASK,
    ASK_SITE,
    HEALTH,
    PLAYBACK_CONTROL,
    PLAYBACK_STATUS,
    SAY,
    STT_FINAL,
    TTS_CANCEL,
    TTS_SAY,
    TTS_STATUS,
    Health,
    LlmResponse,
    PlainAnswer,
    PlaybackStatus,
    SttFinal,
    TtsStatus,
)
from antiphon_router.settings import RouterSettings
from antiphon_router.testing import Home
from antiphon_router.testing import home as scripted_home
from antiphon_runtime import PublishOptions
from antiphon_runtime.testing import House

pytestmark = pytest.mark.unit


@asynccontextmanager
async def home(settings: RouterSettings | None = None) -> AsyncIterator[tuple[House, Home]]:
    async with scripted_home(settings) as found:
        yield found.house, found


def answers(heard: list[object]) -> list[PlainAnswer]:
    return [PlainAnswer.model_validate_json(item.payload) for item in heard]  # type: ignore[attr-defined]


def ask(house: House, text: str | bytes, site: str | None = None) -> None:
    payload = text if isinstance(text, bytes) else text.encode()
    if site is None:
        house.bus.publish_raw(ASK, payload)
    else:
        house.bus.publish_raw(ASK_SITE, payload, site=site)


def speak(house: House, text: str, turn: str = "t1") -> None:
    final = SttFinal(utterance_id=turn, text=text, decode_ms=10, transcribe_ms=300)
    house.say(STT_FINAL, final, turn_id=turn)


async def test_a_plain_question_is_answered_by_the_fast_path() -> None:
    async with home() as (house, others):
        heard = await house.hear_raw(ANSWER)
        ask(house, "what is twelve times seven")
        [answer] = answers(await heard.until(1))
        assert (answer.answer, answer.route, answer.error) == ("That is 84.", "fast", None)
        assert others.asked == []


async def test_a_json_question_gets_its_id_back_and_is_answered_once() -> None:
    async with home() as (house, others):
        heard = await house.hear_raw(ANSWER)
        question = orjson.dumps({"text": "Is it red?", "id": "q7", "speak": False})
        ask(house, question, "kitchen")
        [first] = answers(await heard.until(1))
        ask(house, question, "kitchen")
        [_, again] = answers(await heard.until(2))
        assert first.id == "q7"
        assert first == again
        assert others.asked == ["Is it red?"]


async def test_a_reply_is_spoken_clause_by_clause_before_it_is_complete() -> None:
    async with home() as (house, others):
        others.gate.clear()
        said = await house.hear(TTS_SAY)
        ask(house, "Is my bicycle red?")
        await said.until(1)
        assert said[0].data.text == "It is red."
        assert said[0].data.last is False
        others.gate.set()
        await said.until(lambda all_: all_[-1].data.last)
        assert [message.data.seq for message in said] == [0, 1]
        assert said[1].data.text == "Really."
        assert len({message.data.utterance_id for message in said}) == 1


async def test_lost_deltas_are_made_good_by_the_reply_itself() -> None:
    async with home() as (house, others):
        others.response = LlmResponse(reply="It is red. Really. And new.", finish_reason="stop")
        said = await house.hear(TTS_SAY)
        ask(house, "Is my bicycle red?")
        await said.until(lambda all_: bool(all_) and all_[-1].data.last)
        assert " ".join(m.data.text for m in said) == "It is red. Really. And new."


async def test_remember_and_forget_reach_the_memory() -> None:
    async with home() as (house, others):
        heard = await house.hear_raw(ANSWER)
        ask(house, "Remember that my bicycle is red.")
        ask(house, "Forget that my bicycle is red.")
        ask(house, "Forget the milk.")
        found = answers(await heard.until(3))
        assert others.remembered == ["my bicycle is red"]
        assert [answer.answer for answer in found] == [
            "I will remember that your bicycle is red.",
            "I have forgotten that your bicycle is red.",
            "I found nothing like that in my memory.",
        ]


async def test_what_was_superseded_is_said() -> None:
    async with home() as (house, _):
        heard = await house.hear_raw(ANSWER)
        ask(house, "Remember that my bicycle is red.")
        ask(house, "Remember that my bicycle is blue now.")
        found = answers(await heard.until(2))
        assert found[1].answer == (
            "I will remember that your bicycle is blue now, and no longer that your bicycle is red."
        )


async def test_a_rejected_utterance_is_answered_with_an_apology() -> None:
    async with home() as (house, _):
        heard, said = await house.hear_raw(ANSWER), await house.hear(TTS_SAY)
        final = SttFinal(utterance_id="u1", rejected="silence", detail="I heard no speech.")
        house.say(STT_FINAL, final, turn_id="u1")
        [answer] = answers(await heard.until(1))
        await said.until(1)
        assert (answer.turn_id, answer.error) == ("u1", "I heard no speech.")
        assert said[0].data.text == "Sorry, I did not catch that."


async def test_of_a_server_that_is_away_only_the_sentence_is_spoken() -> None:
    sentence = (
        "The speech server at http://127.0.0.1:8000/v1 does not answer; "
        "it is tried again every 30 s."
    )
    async with home() as (house, _):
        heard, said = await house.hear_raw(ANSWER), await house.hear(TTS_SAY)
        final = SttFinal(utterance_id="u1", rejected="engine", detail=sentence)
        house.say(STT_FINAL, final, turn_id="u1")
        [answer] = answers(await heard.until(1))
        await said.until(1)
        assert answer.error == sentence
        assert said[0].data.text == "Sorry, the speech server does not answer."


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"\xff\xfe", "the message is not UTF-8 text"),
        (b"  ", "the message is empty"),
        (b'{"text": ', "the message begins like JSON but is not JSON"),
        (b'{"id": "x"}', "the message does not fit: text: Field required"),
        (b"x" * 70_000, "the message is longer than 65536 bytes"),
    ],
)
async def test_bad_plain_messages_get_a_clear_answer(payload: bytes, error: str) -> None:
    async with home() as (house, _):
        heard = await house.hear_raw(ANSWER)
        ask(house, payload)
        ask(house, "what time is it")
        [bad, good] = answers(await heard.until(2))
        assert bad.error == error
        assert good.route == "fast"


async def test_a_tool_error_is_spoken() -> None:
    async with home() as (house, _):
        heard, said = await house.hear_raw(ANSWER), await house.hear(TTS_SAY)
        ask(house, "what is 5 divided by 0")
        [answer] = answers(await heard.until(1))
        await said.until(1)
        assert answer.error == "I cannot divide by zero"
        assert said[0].data.text == "Sorry, I cannot divide by zero."


async def test_a_language_model_error_is_spoken() -> None:
    async with home() as (house, others):
        others.deltas = []
        others.response = LlmResponse(reply="", finish_reason="error", error="No server answers.")
        heard, said = await house.hear_raw(ANSWER), await house.hear(TTS_SAY)
        ask(house, "Who are you?")
        [answer] = answers(await heard.until(1))
        await said.until(1)
        assert answer.error == "No server answers."
        assert said[0].data.text == "Sorry, no server answers."


async def test_a_worker_that_is_gone_is_said_to_be_offline_at_once() -> None:
    async with home() as (house, _):
        gone = Health(worker="llm-1", kind="llm", state="gone")
        house.say(HEALTH, gone, worker="llm-1")
        heard, said = await house.hear_raw(ANSWER), await house.hear(TTS_SAY)
        ask(house, "Who are you?")
        [answer] = answers(await heard.until(1))
        await said.until(1)
        assert answer.answer == "My language model is offline right now."
        assert said[0].data.text == answer.answer


async def test_history_holds_what_playback_says_was_heard() -> None:
    async with home() as (house, others):
        others.deltas = ["One two three four five six seven eight nine ten."]
        heard, said = await house.hear_raw(ANSWER), await house.hear(TTS_SAY)
        ask(house, "Count, please?")
        await heard.until(1)
        await said.until(lambda all_: bool(all_) and all_[-1].data.last)
        utterance = said[0].data.utterance_id
        house.say(TTS_STATUS, TtsStatus(utterance_id=utterance, state="synthesised", audio_ms=1000))
        house.say(PLAYBACK_STATUS, PlaybackStatus(utterance_id=utterance, state="started"))
        stopped = PlaybackStatus(utterance_id=utterance, state="stopped", played_ms=500)
        house.say(PLAYBACK_STATUS, stopped)
        question, answer = await others.history.until(2)
        assert (question.role, question.text) == ("user", "Count, please?")
        assert answer.role == "assistant"
        assert answer.text == "One two three four five"
        assert answer.interrupted


async def test_a_spoken_question_interrupts_the_one_before() -> None:
    async with home() as (house, others):
        others.gate.clear()
        heard, stops = await house.hear_raw(ANSWER), await house.hear(PLAYBACK_CONTROL)
        cancels = await house.hear(TTS_CANCEL)
        speak(house, "Tell me a long story", "t1")
        async with asyncio.timeout(5):
            await others.streamed.wait()
        speak(house, "What time is it?", "t2")
        found = {answer.turn_id: answer for answer in answers(await heard.until(2))}
        assert found["t1"].error == "interrupted by what came next"
        assert found["t2"].route == "fast"
        assert others.cancelled
        assert stops[0].data.action == "stop"
        assert cancels


async def test_stop_silences_and_is_not_spoken() -> None:
    async with home() as (house, others):
        others.gate.clear()
        heard, said = await house.hear_raw(ANSWER), await house.hear(TTS_SAY)
        stops = await house.hear(PLAYBACK_CONTROL)
        ask(house, "Tell me a long story")
        await said.until(1)
        before = len(said)
        ask(house, "stop")
        found = answers(await heard.until(2))
        await stops.until(1)
        assert {answer.error for answer in found} == {None, "interrupted by what came next"}
        assert len(said) == before


async def test_written_questions_wait_for_their_turn_and_too_many_are_told() -> None:
    async with home(RouterSettings(waiting_turns=1)) as (house, others):
        others.gate.clear()
        heard = await house.hear_raw(ANSWER)
        for number in range(4):
            ask(house, f"Question {number}?")
        found = answers(await heard.until(2))
        assert {answer.error for answer in found} == {"too many questions wait at this site"}
        others.gate.set()
        found = answers(await heard.until(4))
        assert [answer.transcript for answer in found[2:]] == ["Question 0?", "Question 1?"]


async def test_sites_do_not_wait_for_each_other() -> None:
    async with home() as (house, others):
        others.gate.clear()
        heard = await house.hear_raw(ANSWER)
        ask(house, "Tell me a story", "kitchen")
        ask(house, "what time is it", "bath")
        [answer] = answers(await heard.until(1))
        assert heard[0].slots == {"site": "bath"}
        assert answer.route == "fast"


async def test_repeat_says_the_last_answer_again() -> None:
    async with home() as (house, _):
        heard = await house.hear_raw(ANSWER)
        ask(house, "repeat that")
        ask(house, "what is 12 times 7")
        ask(house, "say that again")
        found = answers(await heard.until(3))
        assert [answer.answer for answer in found] == [
            "I have not said anything yet.",
            "That is 84.",
            "That is 84.",
        ]


async def test_say_speaks_a_text_under_the_id_given() -> None:
    async with home() as (house, _):
        said = await house.hear(TTS_SAY)
        house.bus.publish_raw(SAY, b'{"text": "Dinner is ready. Come!", "id": "d1"}')
        await said.until(lambda all_: bool(all_) and all_[-1].data.last)
        assert " ".join(message.data.text for message in said) == "Dinner is ready. Come!"
        assert {message.data.utterance_id for message in said} == {"d1"}


async def test_retained_questions_are_ignored(tmp_path: Path) -> None:
    async with House() as house:
        kept = PublishOptions(qos=1, retain=True)
        house.broker.take(house.bus.path(ASK), b"what is 12 times 7", kept)
        others = Home(house)
        await others.move_in(RouterSettings(), tmp_path)
        ask(house, "what time is it")
        [answer] = await others.answers.until(1)
        assert answer.transcript == "what time is it"
        assert others.router.counters["retained_ignored"] == 1
