"""The faster-whisper engine and the whole worker with real weights."""

from __future__ import annotations

import io
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from antiphon_audio import Pcm, decode, wav
from antiphon_contracts import AUDIO_UTTERANCE, STT_FINAL, ConfigError, EngineError, SttFinal
from antiphon_models import ModelStore, default_root
from antiphon_runtime import CancelFlag
from antiphon_runtime.testing import House
from antiphon_stt import Hints, SttSettings
from antiphon_stt.engine import FasterWhisper, faster_whisper
from antiphon_stt.wiring import build
from numpy.typing import NDArray

pytestmark = pytest.mark.e2e

RATE_HZ = 22_050
Samples = NDArray[np.float32]


def speech(text: str, voice: str = "en-us") -> Samples:
    """`text` spoken by espeak-ng, at 22,050 Hz."""
    made = subprocess.run(
        ["espeak-ng", "-v", voice, "-s", "140", "--stdout", text],
        capture_output=True,
        check=True,
        timeout=30,
    )
    return decode(made.stdout, rate_hz=RATE_HZ).to_float32()


def encoded(samples: Samples, kind: str) -> bytes:
    """A stereo recording with half a second of room before and after."""
    room = np.zeros(RATE_HZ // 2, dtype=np.float32)
    padded = np.concatenate((room, samples, room))
    file = io.BytesIO()
    soundfile.write(file, np.stack((padded, padded), axis=1), RATE_HZ, format=kind)
    return file.getvalue()


def words(text: str) -> str:
    return re.sub(r"[^a-z ]", "", text.lower()).strip()


@pytest.fixture(scope="module")
def what_time() -> Samples:
    return speech("what time is it")


@pytest.fixture(scope="module")
def engine() -> FasterWhisper:
    loaded = FasterWhisper(ModelStore(default_root()), "tiny.en")
    loaded.load()
    return loaded


async def understand(recordings: dict[str, bytes], settings: SttSettings) -> dict[str, SttFinal]:
    """What the real worker says about each recording, by its id."""
    async with House() as house:
        finals = await house.hear(STT_FINAL)
        await house.move_in("stt", settings, build)
        for name, data in recordings.items():
            house.bus.publish_raw(AUDIO_UTTERANCE, data, site="den", utterance=name)
        await finals.until(len(recordings), timeout_s=60)
    return {message.data.utterance_id: message.data for message in finals}


async def test_speech_in_every_format_becomes_its_words(what_time: Samples) -> None:
    kinds = ("WAV", "FLAC", "OGG", "MP3")
    finals = await understand({k: encoded(what_time, k) for k in kinds}, SttSettings())
    assert {kind: words(final.text) for kind, final in finals.items()} == dict.fromkeys(
        kinds, "what time is it"
    )
    for final in finals.values():
        assert final.rejected is None
        assert final.language == "en"
        assert 0.5 < final.confidence <= 1
        assert final.audio_ms == pytest.approx(1_000 * (len(what_time) / RATE_HZ + 1), abs=100)
        assert 500 < final.speech_ms < final.audio_ms
        assert final.decode_ms > 0
        assert final.transcribe_ms > 0


async def test_what_is_no_speech_is_rejected_and_speech_after_it_is_heard(
    what_time: Samples,
) -> None:
    random = np.random.default_rng(5)
    time_s = np.arange(2 * RATE_HZ) / RATE_HZ
    sounds = {
        "silence": np.zeros(2 * RATE_HZ),
        "hiss": random.normal(0, 0.001, 2 * RATE_HZ),
        "white": random.normal(0, 0.1, 2 * RATE_HZ),
        "loud": random.uniform(-1, 1, 2 * RATE_HZ),
        "hum": 0.3 * np.sin(2 * np.pi * 50 * time_s),
        "beep": 0.3 * np.sin(2 * np.pi * 1_000 * time_s),
    }
    recordings = {name: encoded(sound.astype(np.float32), "WAV") for name, sound in sounds.items()}
    recordings["speech"] = encoded(what_time, "WAV")
    finals = await understand(recordings, SttSettings())
    assert {name: final.rejected for name, final in finals.items()} == {
        "silence": "silence",
        "hiss": "silence",
        "white": "noise",
        "loud": "noise",
        "hum": "noise",
        "beep": "noise",
        "speech": None,
    }
    assert words(finals["speech"].text) == "what time is it"


async def test_speech_with_noise_and_a_long_pause_keeps_all_its_words(what_time: Samples) -> None:
    pause = np.zeros(20 * RATE_HZ, dtype=np.float32)
    both = np.concatenate((what_time, pause, speech("turn on the kitchen light")))
    noisy = both + np.random.default_rng(3).normal(0, 0.003, len(both)).astype(np.float32)
    (final,) = (await understand({"a": encoded(noisy, "FLAC")}, SttSettings())).values()
    assert words(final.text) == "what time is it turn on the kitchen light"
    assert final.audio_ms > 22_000
    assert final.speech_ms < 5_000


async def test_a_multilingual_model_tells_the_language() -> None:
    spoken = {
        "en": speech("Good morning, how are you today?"),
        "de": speech("Guten Morgen, wie geht es dir?", voice="de"),
    }
    recordings = {language: encoded(sound, "WAV") for language, sound in spoken.items()}
    finals = await understand(recordings, SttSettings(model="base"))
    assert {name: final.language for name, final in finals.items()} == {"en": "en", "de": "de"}
    assert "how are you" in words(finals["en"].text)
    assert "guten morgen" in words(finals["de"].text)


class SetAtSecondLook(CancelFlag):
    """Nobody waits any more once the first segment is there."""

    looks = 0

    def __bool__(self) -> bool:
        self.looks += 1
        return self.looks > 1


def test_a_cancelled_call_ends_after_its_segment(engine: FasterWhisper, what_time: Samples) -> None:
    minute = Pcm.from_float32(np.tile(what_time, 40), RATE_HZ)
    pcm = decode(wav.wrap(minute))
    assert pcm.duration_ms > 45_000
    cancelled = CancelFlag()
    cancelled.set()
    whole = engine.transcribe(pcm, Hints())
    cut = engine.transcribe(pcm, Hints(cancelled=SetAtSecondLook()))
    assert len(cut.segments) == 1 < len(whole.segments)
    assert not engine.transcribe(pcm, Hints(cancelled=cancelled)).segments


def test_a_draft_and_what_is_long_have_the_same_words(
    engine: FasterWhisper, what_time: Samples
) -> None:
    pcm = decode(wav.wrap(Pcm.from_float32(what_time, RATE_HZ)))
    room = np.zeros(24 * 16_000, dtype=np.int16)
    long = Pcm(np.concatenate((room, pcm.samples)), 16_000)
    said = [
        engine.transcribe(sound, hints)
        for sound, hints in ((pcm, Hints()), (pcm, Hints(is_draft=True)), (long, Hints()))
    ]
    assert [words(transcript.text) for transcript in said] == ["what time is it"] * 3
    assert 0.5 < said[0].confidence <= 1


def test_nothing_at_all_is_no_error(engine: FasterWhisper) -> None:
    assert engine.transcribe(Pcm.silence(0, 16_000), Hints()).text == ""


def test_an_engine_that_was_not_loaded_or_is_closed_says_so() -> None:
    engine = FasterWhisper(ModelStore(default_root()), "tiny.en")
    engine.close()
    with pytest.raises(EngineError, match="not loaded"):
        engine.transcribe(Pcm.silence(100, 16_000), Hints())


def test_a_folder_is_a_model(tmp_path: Path) -> None:
    folder = copy_of_tiny(tmp_path)
    engine = faster_whisper(SttSettings(model=str(folder)), ModelStore(tmp_path / "none"))
    engine.load()
    assert engine.name == "faster-whisper whisper int8"


@pytest.mark.parametrize("model", ["tiny.en", "whisper-base", "some-org/some-whisper"])
def test_missing_weights_name_the_command_that_fetches_them(tmp_path: Path, model: str) -> None:
    engine = faster_whisper(SttSettings(model=model), ModelStore(tmp_path))
    with pytest.raises(ConfigError, match=f"antiphon models fetch .*{model}"):
        engine.load()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.bin", None),
        ("model.bin", b""),
        ("model.bin", b"garbage" * 1_000),
        ("config.json", None),
        ("config.json", b"{nonsense"),
        ("tokenizer.json", None),
        ("tokenizer.json", b"{}"),
        ("vocabulary.txt", None),
        ("vocabulary.txt", b"a\nb\n"),
    ],
)
def test_broken_weights_of_a_folder_are_refused(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    folder = copy_of_tiny(tmp_path)
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_bytes(content)
    engine = faster_whisper(SttSettings(model=str(folder)), ModelStore(tmp_path / "none"))
    with pytest.raises(ConfigError, match="put them there again"):
        engine.load()


def test_broken_weights_of_ours_name_the_command_that_mends_them(tmp_path: Path) -> None:
    folder = copy_of_tiny(tmp_path)
    folder.rename(tmp_path / "whisper-tiny.en")
    broken = tmp_path / "whisper-tiny.en" / "model.bin"
    # Same size, so that only loading it shows.
    size = broken.stat().st_size
    broken.unlink()
    with broken.open("wb") as file:
        file.truncate(size)
    engine = faster_whisper(SttSettings(), ModelStore(tmp_path))
    with pytest.raises(ConfigError, match="run `antiphon models fetch whisper-tiny"):
        engine.load()


def test_an_english_model_refuses_another_language() -> None:
    settings = SttSettings(model="tiny.en", language="de")
    engine = faster_whisper(settings, ModelStore(default_root()))
    with pytest.raises(ConfigError, match="ANTIPHON_STT_MODEL"):
        engine.load()


def copy_of_tiny(tmp_path: Path) -> Path:
    """A folder of its own with links to the real files."""
    folder = tmp_path / "whisper"
    folder.mkdir()
    for file in ModelStore(default_root()).path("whisper-tiny.en").iterdir():
        (folder / file.name).symlink_to(file)
    return folder
