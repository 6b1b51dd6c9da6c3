"""Recorded turns: written, read, and let take place once more."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import orjson
import pytest
from antiphon import recorded_turns, talking
from antiphon.recorded_turns import RecordedTurn, TurnRecorder, read_turn, write_turn
from antiphon_audio import Pcm, Place, wav, wrap_frame
from antiphon_audio.microphone import FRAME_SAMPLES, RATE_HZ
from antiphon_contracts import (
    ANSWER,
    ASK_SITE,
    AUDIO_IN,
    AUDIO_UTTERANCE,
    SAY_SITE,
    STT_FINAL,
    ConfigError,
    PlainAnswer,
    SttFinal,
)
from antiphon_runtime import Bus, RawMessage, RuntimeSettings, listen_raw
from antiphon_runtime.testing import House

pytestmark = pytest.mark.unit

BROKER = "mqtt://in.memory"
SAID = PlainAnswer(turn_id="u", transcript="what time is it", answer="It is ten.", route="fast")


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    async with asyncio.timeout(10), House() as house:

        def client_bus(_settings: RuntimeSettings) -> Bus:
            return Bus(house.broker.transport(), source="cli")

        monkeypatch.setattr(recorded_turns, "client_bus", client_bus)
        monkeypatch.setattr(talking, "client_bus", client_bus)
        yield house


def turn(**more: object) -> RecordedTurn:
    sound = wav.wrap(Pcm.silence(500, RATE_HZ))
    values = {
        "site": "hall",
        "recorded_at": 1.5,
        "transcript": SAID.transcript,
        "answer": SAID.answer,
        "route": SAID.route,
        "audio": base64.b64encode(sound).decode(),
    }
    return RecordedTurn.model_validate(values | more)


async def test_a_spoken_turn_is_recorded_with_its_own_sound(house: House) -> None:
    recorder = TurnRecorder("hall")
    await house.serve(*recorder.handlers, source="cli")
    sound = np.arange(50 * FRAME_SAMPLES, dtype=np.int64).astype(np.int16)
    for at in range(0, len(sound), FRAME_SAMPLES):
        frame = wrap_frame(Pcm(sound[at : at + FRAME_SAMPLES], RATE_HZ), Place("m", at))
        house.bus.publish_raw(AUDIO_IN, frame, site="hall")
    while recorder._ring is None or len(recorder._ring.pieces) < 50:  # noqa: ASYNC110  (a test's own wait)
        await asyncio.sleep(0)
    heard = SttFinal(
        utterance_id="u", text="what time is it", stream="m", start_ms=1_000, end_ms=2_000
    )
    house.say(STT_FINAL, heard, site_id="hall")
    house.say(STT_FINAL, heard, site_id="loft")
    await asyncio.sleep(0)
    while not recorder._finals:  # noqa: ASYNC110  (a test's own wait)
        await asyncio.sleep(0)
    house.bus.publish_raw(ANSWER, orjson.dumps(SAID.model_dump()), site="hall")
    recorded = await recorder.turns.get()
    assert (recorded.transcript, recorded.answer) == ("what time is it", "It is ten.")
    assert recorded.final == heard
    assert recorded.wav is not None
    assert np.array_equal(wav.unwrap(recorded.wav).samples, sound[700 * 16 : 2_300 * 16])


async def test_a_typed_turn_has_no_sound(house: House, tmp_path: Path) -> None:
    recorder = TurnRecorder("hall")
    await house.serve(*recorder.handlers, source="cli")
    house.bus.publish_raw(ANSWER, orjson.dumps(SAID.model_dump()), site="hall")
    recorded = await recorder.turns.get()
    assert recorded.audio is None
    write_turn(tmp_path / "t", recorded)
    with pytest.raises(ConfigError, match="--from transcript"):
        await recorded_turns.replay(tmp_path / "t", "audio", json=False, site=None, broker=BROKER)


def test_what_is_written_is_read_again_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "turn.json"
    write_turn(path, turn())
    assert read_turn(path) == turn()
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigError, match="File exists"):
        write_turn(path, turn())


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff", b'{"antiphon_turn": 2}', b'{"site": 3}'])
def test_a_file_without_a_turn_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "turn.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="antiphon record"):
        read_turn(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_turn(tmp_path / "not there")


async def test_a_new_file_is_wanted_before_anything_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("")
    with pytest.raises(ConfigError, match="already"):
        await recorded_turns.record(tmp_path / "here", "hall", broker=BROKER)
    with pytest.raises(ConfigError, match="folder"):
        await recorded_turns.record(tmp_path / "no" / "here", "hall", broker=BROKER)


async def test_a_turn_takes_place_again_from_each_of_its_stages(
    house: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "turn.json"
    write_turn(path, turn())

    async def on_ask(message: RawMessage) -> None:
        asked = orjson.loads(message.payload)
        assert asked["text"] == SAID.transcript
        said = SAID.model_copy(update={"id": asked["id"]})
        house.bus.publish_raw(ANSWER, orjson.dumps(said.model_dump()), site="hall")

    async def on_recording(message: RawMessage) -> None:
        assert message.payload == turn().wav
        said = SAID.model_copy(update={"turn_id": message.slots["utterance"]})
        house.bus.publish_raw(ANSWER, orjson.dumps(said.model_dump()), site="hall")

    await house.serve(listen_raw(ASK_SITE, on_ask), listen_raw(AUDIO_UTTERANCE, on_recording))
    for entry in ("audio", "transcript"):
        await recorded_turns.replay(path, entry, json=False, site=None, broker=BROKER)
        assert capsys.readouterr().out == "It is ten.\n"


async def test_its_answer_is_said_again(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "turn.json"
    write_turn(path, turn())
    monkeypatch.setattr(talking, "SAY_GONE_S", 0.01)
    monkeypatch.setattr(talking, "SAY_BEGIN_S", 0.01)
    said = await house.hear_raw(SAY_SITE)
    with pytest.raises(Exception, match="nobody spoke it"):
        await recorded_turns.replay(path, "reply", json=False, site="loft", broker=BROKER)
    (message,) = await said.until(1)
    assert message.site_id == "loft"
    assert orjson.loads(message.payload)["text"] == "It is ten."
