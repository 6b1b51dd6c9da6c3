"""The asking side against a router and a TTS worker of a few lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import orjson
import pytest
from antiphon import asking, heard_speech
from antiphon.asking import Questioner, write_speech
from antiphon_audio import Pcm, wav
from antiphon_contracts import (
    ANSWER,
    ASK_SITE,
    AUDIO_OUT,
    AUDIO_UTTERANCE,
    CAPTURE_CONTROL,
    CAPTURE_STATUS,
    HEALTH,
    TTS_SAY,
    TTS_STATUS,
    BusError,
    CaptureControl,
    CaptureStatus,
    ConfigError,
    EngineError,
    Health,
    Message,
    PlainAnswer,
    RequestTimeout,
    TtsSay,
    TtsStatus,
    WorkerGone,
)
from antiphon_runtime import Bus, RawMessage, listen, listen_raw
from antiphon_runtime.testing import Heard, House

pytestmark = pytest.mark.unit

SPOKEN = "the-answer"
FRAMES = [Pcm(np.full(160, level, np.int16), 16_000) for level in (1, 2)]


@pytest.fixture(autouse=True)
def impatience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is waited for in vain is waited for shortly."""
    monkeypatch.setattr(heard_speech, "GONE_GRACE_S", 0.01)
    monkeypatch.setattr(heard_speech, "END_GRACE_S", 0.01)


class Scene:
    """A house with a questioner at one site; everybody else is played by the test.

    Attributes:
        house: whose bus speaks for router, TTS worker and satellite.
        told: answers that the questioner has told of, in order.
    """

    def __init__(self, house: House) -> None:
        self.house = house
        self.told = Heard()
        self.questioner = Questioner(self.bus(), "kitchen", self._on_answer)

    def bus(self) -> Bus:
        return Bus(self.house.broker.transport(), source="cli")

    def _on_answer(self, answer: PlainAnswer) -> None:
        self.told.add(answer.answer)

    def answer(self, answer: PlainAnswer, site: str = "kitchen") -> None:
        self.house.bus.publish_raw(ANSWER, orjson.dumps(answer.model_dump()), site=site)

    def frames(self, utterance: str = SPOKEN, *, end: bool = True, site: str = "kitchen") -> None:
        payloads = [*map(wav.wrap, FRAMES), *([b""] if end else [])]
        for payload in payloads:
            self.house.bus.publish_raw(AUDIO_OUT, payload, site=site, utterance=utterance)

    def status(self, status: TtsStatus) -> None:
        self.house.say(TTS_STATUS, status, site_id="kitchen")

    def speaker(self, state: str, worker: str = "tts-1") -> None:
        health = Health.model_validate({"worker": worker, "kind": "tts", "state": state})
        self.house.say(HEALTH, health, worker=worker)

    async def answer_written(self, react: Callable[[str | None], None]) -> None:
        async def on_ask(message: RawMessage) -> None:
            react(orjson.loads(message.payload)["id"])

        await self.house.serve(listen_raw(ASK_SITE, on_ask))


@asynccontextmanager
async def scene() -> AsyncIterator[Scene]:
    async with asyncio.timeout(10), House() as house:
        made = Scene(house)
        async with made.questioner.asking(5):
            yield made


def plain(
    answer: str, *, ask_id: str | None = None, spoken: bool = False, error: str | None = None
) -> PlainAnswer:
    return PlainAnswer(
        id=ask_id,
        turn_id="turn",
        transcript="a question",
        answer=answer,
        route="fast",
        error=error,
        utterance_id=SPOKEN if spoken else None,
    )


async def test_a_written_question_reaches_its_site_and_its_answer_comes_back() -> None:
    async with scene() as it:
        heard = await it.house.hear_raw(ASK_SITE)
        await it.answer_written(lambda ask_id: it.answer(plain("84", ask_id=ask_id)))
        asked = await it.questioner.ask_text("what is 12 times 7", speak=False)
        assert asked.answer.answer == "84"
        assert (asked.speech, asked.first_audio_ms, asked.note) == (None, None, "")
        (question,) = await heard.until(1)
        assert question.slots == {"site": "kitchen"}
        said = orjson.loads(question.payload)
        assert (said["text"], said["speak"]) == ("what is 12 times 7", False)


async def test_a_spoken_answer_is_whole_and_timed() -> None:
    async with scene() as it:
        it.speaker("ready")

        def react(ask_id: str | None) -> None:
            it.frames()
            it.status(TtsStatus(utterance_id=SPOKEN, state="synthesised", first_audio_ms=1.0))
            it.answer(plain("84", ask_id=ask_id, spoken=True))

        await it.answer_written(react)
        asked = await it.questioner.ask_text("what is 12 times 7")
    assert asked.speech is not None
    assert asked.speech.samples.tolist() == [1] * 160 + [2] * 160
    assert asked.first_audio_ms is not None
    tts = asked.answer.stages[-1]
    assert tts.name == "tts"
    assert tts.end_ms == pytest.approx(asked.first_audio_ms, abs=0.1)
    assert asked.note == ""


async def test_a_lost_end_mark_is_made_good_by_the_status() -> None:
    async with scene() as it:
        it.speaker("ready")

        def react(ask_id: str | None) -> None:
            it.frames(end=False)
            it.status(TtsStatus(utterance_id=SPOKEN, state="synthesised"))
            it.answer(plain("84", ask_id=ask_id, spoken=True))

        await it.answer_written(react)
        asked = await it.questioner.ask_text("what is 12 times 7")
    assert asked.speech is not None
    assert len(asked.speech.samples) == 320


@pytest.mark.parametrize("announced", ["gone", "never"])
async def test_without_a_tts_worker_the_text_comes_with_one_sentence_about_the_voice(
    announced: str,
) -> None:
    async with scene() as it:
        if announced == "gone":
            it.speaker("gone")
        await it.answer_written(lambda ask_id: it.answer(plain("84", ask_id=ask_id, spoken=True)))
        asked = await it.questioner.ask_text("what is 12 times 7")
    assert asked.answer.answer == "84"
    assert asked.speech is None
    assert asked.note == "the answer was not spoken: no TTS worker is there"


async def test_the_text_is_told_before_its_sound_is_there() -> None:
    async with scene() as it:
        it.speaker("ready")
        await it.answer_written(lambda ask_id: it.answer(plain("84", ask_id=ask_id, spoken=True)))
        async with asyncio.TaskGroup() as group:
            asking_it = group.create_task(it.questioner.ask_text("12 times 7?"), name="ask")
            await it.told.until(1)
            assert it.told == ["84"]
            assert not asking_it.done()
            it.frames()
        assert asking_it.result().speech is not None


@pytest.mark.parametrize("afterwards", [(), ("starting", "ready")], ids=["gone", "back"])
async def test_a_speaker_that_dies_in_mid_answer_leaves_the_text_and_a_sentence(
    afterwards: tuple[str, ...],
) -> None:
    async with scene() as it:
        it.speaker("ready")

        def react(ask_id: str | None) -> None:
            it.frames(end=False)
            it.answer(plain("84", ask_id=ask_id, spoken=True))
            for state in ("gone", *afterwards):
                it.speaker(state)

        await it.answer_written(react)
        asked = await it.questioner.ask_text("what is 12 times 7")
    assert asked.answer.answer == "84"
    assert asked.note == "the answer was not spoken: the TTS worker died while it spoke"


async def test_one_of_two_speakers_is_enough() -> None:
    async with scene() as it:
        it.speaker("gone", "tts-1")
        it.speaker("ready", "tts-2")
        await it.answer_written(lambda ask_id: it.answer(plain("84", ask_id=ask_id, spoken=True)))
        said = await it.house.hear_raw(ANSWER)
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(it.questioner.ask_text("12 times 7?"), name="ask")
            await said.until(1)
            it.frames()
    assert asked.result().note == ""
    assert asked.result().speech is not None


@pytest.mark.parametrize(
    ("state", "detail", "note"),
    [
        ("failed", "the voice broke", "the answer was not spoken: the voice broke"),
        ("failed", "", "the answer was not spoken: the answer could not be spoken"),
        ("cancelled", "", "the answer was interrupted"),
    ],
)
async def test_why_the_sound_is_missing_is_said(state: str, detail: str, note: str) -> None:
    status = TtsStatus.model_validate({"utterance_id": SPOKEN, "state": state, "detail": detail})
    async with scene() as it:
        it.speaker("ready")

        def react(ask_id: str | None) -> None:
            it.status(status)
            it.answer(plain("84", ask_id=ask_id, spoken=True))

        await it.answer_written(react)
        asked = await it.questioner.ask_text("what is 12 times 7")
    assert (asked.answer.answer, asked.note) == ("84", note)


async def test_an_apology_is_an_answer_with_its_error() -> None:
    async with scene() as it:
        await it.answer_written(
            lambda ask_id: it.answer(plain("Sorry.", ask_id=ask_id, error="the model is away"))
        )
        asked = await it.questioner.ask_text("anything")
    assert asked.answer.error == "the model is away"
    assert asked.as_json(None)["error"] == "the model is away"


async def test_nobody_answers_and_where_to_look_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "ANSWER_TIMEOUT_S", 0.01)
    async with scene() as it:
        with pytest.raises(RequestTimeout, match="antiphon status"):
            await it.questioner.ask_text("anything")


async def test_a_question_whose_answer_a_dying_broker_lost_is_asked_again() -> None:
    async with scene() as it:
        asked: list[str | None] = []

        def react(ask_id: str | None) -> None:
            asked.append(ask_id)
            if len(asked) == 1:
                it.house.broker.go_offline()
                it.house.broker.go_online()
            else:
                it.answer(plain("84", ask_id=ask_id))

        await it.answer_written(react)
        found = await it.questioner.ask_text("what is 12 times 7", speak=False)
        assert found.answer.answer == "84"
        it.house.broker.go_offline()
        it.house.broker.go_online()
        other = await it.questioner.ask_text("what is 3 times 4", speak=False)
        assert other.answer.answer == "84"
    first, again, second = asked
    assert first == again != second


async def test_answers_to_others_at_other_sites_and_garbage_are_none_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with scene() as it:

        def react(ask_id: str | None) -> None:
            it.answer(plain("elsewhere", ask_id=ask_id), site="attic")
            it.answer(plain("somebody's", ask_id="another"))
            it.house.bus.publish_raw(ANSWER, b"\xff{}", site="kitchen")
            it.house.bus.publish_raw(ANSWER, b"[]", site="kitchen")
            it.answer(plain("ours", ask_id=ask_id))

        await it.answer_written(react)
        asked = await it.questioner.ask_text("anything", speak=False)
    assert asked.answer.answer == "ours"


async def test_a_recording_is_answered_by_its_turn() -> None:
    async with scene() as it:

        async def on_recording(message: RawMessage) -> None:
            assert message.payload == b"RIFF..."
            answer = plain("heard you").model_copy(update={"turn_id": message.slots["utterance"]})
            it.answer(answer)

        await it.house.serve(listen_raw(AUDIO_UTTERANCE, on_recording))
        asked = await it.questioner.ask_recording(b"RIFF...")
    assert asked.answer.answer == "heard you"


async def test_a_broker_that_refuses_the_recording_is_not_waited_for() -> None:
    async with scene() as it:
        with pytest.raises(BusError):
            await it.questioner.ask_recording(b"x" * 5_000_000)


async def test_a_text_is_dictated_without_anybody_being_asked() -> None:
    async with scene() as it:
        it.speaker("ready")
        questions = await it.house.hear_raw(ASK_SITE)

        async def on_say(message: Message[TtsSay]) -> None:
            assert message.data.last
            it.frames(message.data.utterance_id)

        await it.house.serve(listen(TTS_SAY, on_say))
        sound = await it.questioner.dictate("What time is it?")
        assert len(sound.samples) == 320
        assert questions == []


async def test_dictating_without_a_speaker_fails_at_once() -> None:
    async with scene() as it:
        it.speaker("gone")
        with pytest.raises(WorkerGone, match="no TTS worker"):
            await it.questioner.dictate("What time is it?")


async def test_a_text_without_sound_cannot_be_dictated() -> None:
    async with scene() as it:

        async def on_say(message: Message[TtsSay]) -> None:
            it.status(TtsStatus(utterance_id=message.data.utterance_id, state="synthesised"))

        await it.house.serve(listen(TTS_SAY, on_say))
        with pytest.raises(EngineError, match="nothing to hear"):
            await it.questioner.dictate("…")


class Satellite:
    """Obeys push-to-talk orders and ends as it is told to."""

    def __init__(self, it: Scene, end: str, detail: str = "") -> None:
        self.it = it
        self.end = end
        self.detail = detail
        self.orders: list[str] = []
        self.begun = asyncio.Event()

    async def on_order(self, message: Message[CaptureControl]) -> None:
        order = message.data
        self.orders.append(order.action)
        state = "started" if order.action == "start" else self.end
        status = {"utterance_id": order.utterance_id, "state": state, "detail": self.detail}
        self.it.house.say(CAPTURE_STATUS, CaptureStatus.model_validate(status), site_id="kitchen")
        self.begun.set()
        if state == "sent":
            self.it.answer(plain("heard").model_copy(update={"turn_id": order.utterance_id}))


def pressed() -> asyncio.Future[None]:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done


async def test_the_microphone_records_until_it_is_told_to_stop() -> None:
    async with scene() as it:
        satellite = Satellite(it, "sent")
        await it.house.serve(listen(CAPTURE_CONTROL, satellite.on_order))
        asked = await it.questioner.ask_microphone(pressed(), 30)
    assert asked.answer.answer == "heard"
    assert satellite.orders == ["start", "stop"]


async def test_a_microphone_that_fails_says_why() -> None:
    async with scene() as it:
        satellite = Satellite(it, "failed", "there is no microphone")
        await it.house.serve(listen(CAPTURE_CONTROL, satellite.on_order))
        with pytest.raises(EngineError, match="there is no microphone"):
            await it.questioner.ask_microphone(pressed(), 30)


async def test_a_site_without_a_satellite_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "CAPTURE_BEGIN_S", 0.01)
    async with scene() as it:
        with pytest.raises(RequestTimeout, match="'kitchen'"):
            await it.questioner.ask_microphone(pressed(), 30)


async def test_a_recording_that_is_broken_off_is_thrown_away() -> None:
    async with scene() as it:
        satellite = Satellite(it, "discarded")
        orders = await it.house.hear(CAPTURE_CONTROL)
        await it.house.serve(listen(CAPTURE_CONTROL, satellite.on_order))
        never: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(it.questioner.ask_microphone(never, 30), name="ask")
            await satellite.begun.wait()
            task.cancel()
        await orders.until(2)
    assert [order.data.action for order in orders] == ["start", "discard"]


async def test_sound_is_written_as_a_file_that_can_be_read(tmp_path: Path) -> None:
    async with scene() as it:
        it.speaker("ready")

        def react(ask_id: str | None) -> None:
            it.frames()
            it.answer(plain("84", ask_id=ask_id, spoken=True))

        await it.answer_written(react)
        asked = await it.questioner.ask_text("what is 12 times 7")
    path = write_speech(asked, tmp_path / "answer.wav")
    assert path is not None
    assert len(wav.read(path).samples) == 320
    assert asked.as_json(path)["audio"] == str(path)
    with pytest.raises(ConfigError, match="annot write"):
        write_speech(asked, tmp_path / "missing" / "answer.wav")


async def test_sound_of_many_other_utterances_does_not_push_out_the_awaited_one() -> None:
    async with scene() as it:
        it.speaker("ready")
        utterances = await it.house.hear_raw(AUDIO_OUT)

        def react(ask_id: str | None) -> None:
            it.answer(plain("84", ask_id=ask_id, spoken=True))

        await it.answer_written(react)
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(it.questioner.ask_text("12 times 7?"), name="ask")
            await it.told.until(1)
            it.frames(end=False)
            for number in range(3 * heard_speech.KEPT_UTTERANCES):
                it.frames(f"other-{number}")
            it.frames("last")
            await utterances.until(
                lambda heard: any(frame.slots["utterance"] == "last" for frame in heard)
            )
            it.status(TtsStatus(utterance_id=SPOKEN, state="synthesised"))
        assert asked.result().speech is not None
        assert len(it.questioner._ears._heard) <= heard_speech.KEPT_UTTERANCES + 1
