"""`ask`, `say` and `pub` against a router of a few lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import orjson
import pytest
from antiphon import heard_speech, talking
from antiphon_contracts import (
    ANSWER,
    ASK_SITE,
    HEALTH,
    SAY_SITE,
    TTS_STATUS,
    EngineError,
    Flow,
    Health,
    PlainAnswer,
    RawTopic,
    RequestTimeout,
    TtsStatus,
    WorkerGone,
)
from antiphon_runtime import Bus, RawMessage, RuntimeSettings, listen_raw
from antiphon_runtime.testing import House

pytestmark = pytest.mark.unit

BROKER = "mqtt://in.memory"


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    """The broker that every command finds."""
    monkeypatch.setattr(heard_speech, "GONE_GRACE_S", 0.01)
    monkeypatch.setattr(talking, "SAY_GONE_S", 0.05)
    async with asyncio.timeout(10), House() as house:

        def client_bus(_settings: RuntimeSettings) -> Bus:
            return Bus(house.broker.transport(), source="cli")

        monkeypatch.setattr(talking, "client_bus", client_bus)
        yield house


async def answering(house: House, **answer: object) -> None:
    """Have every question answered so."""

    async def on_ask(message: RawMessage) -> None:
        ask_id = orjson.loads(message.payload)["id"]
        found = PlainAnswer.model_validate(
            {"id": ask_id, "turn_id": "t", "transcript": "", "route": "fast", **answer}
        )
        house.bus.publish_raw(ANSWER, orjson.dumps(found.model_dump()), site="default")

    await house.serve(listen_raw(ASK_SITE, on_ask))


async def ask(text: str, *, json: bool = False) -> None:
    await talking.ask(text, None, None, json=json, site="default", broker=BROKER)


async def test_an_answer_is_printed_as_it_is(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = "It is [bold] " + "long " * 60 + "and stays in one line."
    await answering(house, answer=answer)
    await ask("hi")
    assert capsys.readouterr() == (f"{answer}\n", "")


async def test_json_has_standard_output_to_itself(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    await answering(house, answer="84", utterance_id="u")
    house.say(HEALTH, Health(worker="tts-1", kind="tts", state="gone"), worker="tts-1")
    await ask("hi", json=True)
    printed = capsys.readouterr()
    turn = orjson.loads(printed.out)
    assert (turn["answer"], turn["audio"]) == ("84", None)
    assert turn["note"] == "the answer was not spoken: no TTS worker is there"
    assert turn["note"] in printed.err


async def test_a_missing_voice_is_one_sentence_below_the_text(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    await answering(house, answer="84", utterance_id="u")
    house.say(HEALTH, Health(worker="tts-1", kind="tts", state="gone"), worker="tts-1")
    await ask("hi")
    printed = capsys.readouterr()
    assert printed.out == "84\n"
    assert printed.err == "antiphon: the answer was not spoken: no TTS worker is there\n"


async def test_what_the_router_says_of_it_is_not_said_twice(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    await answering(house, answer="84", utterance_id="u", unheard="the speech worker is offline")
    house.say(HEALTH, Health(worker="tts-1", kind="tts", state="gone"), worker="tts-1")
    await ask("hi")
    note = "antiphon: the answer was not spoken: no TTS worker is there\n"
    assert capsys.readouterr() == ("84\n", note)


@pytest.mark.parametrize(
    ("utterance_id", "why"),
    [("u", "the answer was not spoken: no TTS worker is there"), (None, "the answer has no sound")],
)
async def test_sound_that_was_asked_for_and_is_not_there_is_a_failure(
    house: House,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    utterance_id: str | None,
    why: str,
) -> None:
    await answering(house, answer="84", utterance_id=utterance_id)
    house.say(HEALTH, Health(worker="tts-1", kind="tts", state="gone"), worker="tts-1")
    out = tmp_path / "answer.wav"
    with pytest.raises(EngineError, match=why):
        await talking.ask("hi", None, out, json=False, site="default", broker=BROKER)
    assert capsys.readouterr().out == "84\n"
    assert not out.exists()


async def test_an_apology_that_nobody_hears_is_a_failure(house: House) -> None:
    sorry = "My memory is offline right now."
    await answering(house, answer=sorry, utterance_id="u", error="offline", unheard="offline too")
    house.say(HEALTH, Health(worker="tts-1", kind="tts", state="gone"), worker="tts-1")
    with pytest.raises(EngineError, match=r"^offline$"):
        await ask("hi")


async def saying(house: House, react: Callable[[str], None]) -> None:
    async def on_say(message: RawMessage) -> None:
        react(orjson.loads(message.payload)["id"])

    await house.serve(listen_raw(SAY_SITE, on_say))


def status(house: House, utterance: str, state: str, detail: str = "") -> None:
    found = {"utterance_id": utterance, "state": state, "detail": detail}
    house.say(TTS_STATUS, TtsStatus.model_validate(found))


async def test_say_ends_when_all_was_spoken(house: House) -> None:
    def react(utterance: str) -> None:
        status(house, "somebody else's", "failed")
        status(house, utterance, "started")
        status(house, utterance, "synthesised")

    await saying(house, react)
    await talking.say("Dinner is ready.", "default", BROKER)


@pytest.mark.parametrize(
    ("state", "detail", "said"),
    [
        ("failed", "the voice broke", "the voice broke"),
        ("cancelled", "", "not spoken to its end: cancelled"),
    ],
)
async def test_say_fails_where_speech_does(
    house: House, state: str, detail: str, said: str
) -> None:
    await saying(house, lambda utterance: status(house, utterance, state, detail))
    with pytest.raises(EngineError, match=said):
        await talking.say("Dinner is ready.", "default", BROKER)


async def test_say_does_not_wait_for_a_speaker_that_is_gone(house: House) -> None:
    house.say(HEALTH, Health(worker="tts-1", kind="tts", state="gone"), worker="tts-1")
    with pytest.raises(WorkerGone, match="no TTS worker is there"):
        await talking.say("Dinner is ready.", "default", BROKER)


async def test_say_waits_for_the_one_speaker_of_two_that_is_there(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talking, "SAY_BEGIN_S", 0.1)
    for worker, state in (("tts-1", "gone"), ("tts-2", "ready")):
        health = Health.model_validate({"worker": worker, "kind": "tts", "state": state})
        house.say(HEALTH, health, worker=worker)
    with pytest.raises(RequestTimeout):
        await talking.say("Dinner is ready.", "default", BROKER)


async def test_say_that_nobody_takes_up_says_where_to_look(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talking, "SAY_BEGIN_S", 0.01)
    with pytest.raises(RequestTimeout, match="antiphon status"):
        await talking.say("Dinner is ready.", "default", BROKER)


async def test_a_raw_message_is_published_as_it_is(house: House) -> None:
    heard = await house.hear_raw(RawTopic("any/where", 1, Flow(), "A topic of one's own."))
    await talking.publish("any/where", "{ as it is", BROKER)
    (message,) = await heard.until(1)
    assert message.payload == b"{ as it is"


def test_a_recording_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "q.wav").write_bytes(b"RIFF\x00")
    assert talking.read_recording(tmp_path / "q.wav") == b"RIFF\x00"
