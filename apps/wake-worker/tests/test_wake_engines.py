"""The engines with their real weights, on speech of Piper and of people."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from antiphon_audio import Pcm, Place, decode, resample, wrap_frame
from antiphon_audio.microphone import FRAME_SAMPLES, RATE_HZ
from antiphon_contracts import ConfigError
from antiphon_wake import Ear, Heard, WakeDetector
from antiphon_wake.ear import Wish
from antiphon_wake.engine import MicroDetector, OpenDetector
from numpy.typing import NDArray
from spoken_words import last_loud, say

pytestmark = pytest.mark.e2e

RECORDED = Path("/usr/share/pocketsphinx/test/data")
OTHER_SPEECH = (
    "The old bicycle in the garden is red, and it belongs to my brother. "
    "Okay, now let us talk about something else. The cook near the boat took a good look. "
    "Please add milk, bread and seven apples to the shopping list, and call me at noon. "
    "What is the weather like in Nairobi? A taboo is a rule that nobody wrote down. "
    "Hey, did you hear the news? The band will play on the market square at eight. "
)
PHRASES = ("okay_nabu", "hey_jarvis", "alexa", "hey_mycroft")

Sound = NDArray[np.int16]


@pytest.fixture(scope="module", params=[MicroDetector, OpenDetector])
def detector(request: pytest.FixtureRequest) -> WakeDetector:
    found: WakeDetector = request.param()
    found.load()
    return found


@pytest.fixture(scope="module")
def micro() -> MicroDetector:
    found = MicroDetector()
    found.load()
    return found


def noise(samples: int, rms: float, seed: int = 1) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0, rms, samples)


def pink_noise(samples: int, rms: float, seed: int) -> NDArray[np.float64]:
    """Noise as rooms have it: as much in each octave."""
    spectrum = np.fft.rfft(noise(samples, 1, seed))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    sound = np.fft.irfft(spectrum, samples)
    return np.asarray(sound * rms / sound.std())


def heard_in(detector: WakeDetector, sound: Sound, *phrases: str) -> list[Heard]:
    """Hear sound in a quiet room, frame by frame."""
    thresholds = {name: detector.phrases[name].threshold for name in phrases}
    ear = Ear(detector.phrases, detector.open, Wish(phrases, thresholds, 1.0))
    room = (sound + noise(len(sound), 8)).clip(-32_768, 32_767).astype(np.int16)
    found = []
    for at in range(0, len(room), FRAME_SAMPLES):
        frame = wrap_frame(Pcm(room[at : at + FRAME_SAMPLES], RATE_HZ), Place("s", at))
        found += [heard for piece in ear.take(frame) if (heard := ear.search(piece))]
    ear.forget()
    return found


def silence(ms: int) -> Sound:
    return np.zeros(ms * RATE_HZ // 1000, dtype=np.int16)


@pytest.mark.parametrize("pace", [0.8, 1.0, 1.3])
def test_the_phrase_is_heard_at_any_pace_where_it_is(detector: WakeDetector, pace: float) -> None:
    phrase = say("Okay nabu.", pace)
    before = silence(2_000)
    sound = np.concatenate((before, phrase, silence(1_500)))
    (heard,) = heard_in(detector, sound, "okay_nabu")
    end_ms = (len(before) + last_loud(phrase)) / 16
    tolerance_ms = 120 if detector.name == "pymicro-wakeword" else 250
    assert heard.end / 16 == pytest.approx(end_ms, abs=tolerance_ms)
    assert heard.begin / 16 == pytest.approx(len(before) / 16, abs=100)
    assert heard.detected / 16 - end_ms < 600
    assert -40 < heard.level_dbfs < 0


@pytest.mark.parametrize("pace", [0.8, 1.0, 1.3])
@pytest.mark.parametrize("command", ["turn on the lamp", "what time is it", "open the door"])
def test_the_phrase_is_heard_in_one_breath_with_a_command(
    micro: MicroDetector, command: str, pace: float
) -> None:
    sound = np.concatenate((silence(2_000), say(f"Okay nabu {command}", pace), silence(500)))
    (heard,) = heard_in(micro, sound, "okay_nabu")
    assert 450 <= (heard.end - heard.begin) / 16 <= 1_000


def test_the_phrase_is_mostly_heard_in_noise(micro: MicroDetector) -> None:
    # Piper never speaks twice alike: 17 of 18 were heard so when it was measured.
    heard = 0
    for seed in range(5):
        phrase = say("Okay nabu.")
        words = phrase[: last_loud(phrase)].astype(np.float64)
        loudness = float(np.sqrt(np.mean(words * words)))
        sound = np.concatenate((silence(2_000), phrase, silence(1_500)))
        loud = sound + pink_noise(len(sound), loudness / 10 ** (10 / 20), seed)
        found = heard_in(micro, loud.clip(-32_768, 32_767).astype(np.int16), "okay_nabu")
        assert {each.phrase for each in found} <= {"okay_nabu"}
        heard += len(found) == 1
    assert heard >= 3


@pytest.mark.parametrize("name", ["hey_jarvis", "hey_mycroft"])
def test_other_phrases_are_heard_side_by_side(micro: MicroDetector, name: str) -> None:
    text = name.replace("_", " ").title()
    sound = np.concatenate((silence(2_000), say(f"{text}."), silence(1_500)))
    assert [heard.phrase for heard in heard_in(micro, sound, *PHRASES)] == [name]


def test_openwakeword_brings_a_phrase_more() -> None:
    detector = OpenDetector()
    detector.load()
    sound = np.concatenate((silence(2_000), say("Hey Rhasspy."), silence(1_500)))
    assert [heard.phrase for heard in heard_in(detector, sound, "hey_rhasspy")] == ["hey_rhasspy"]


def recordings() -> Iterator[Sound]:
    for path in sorted((RECORDED / "librivox").glob("*.wav")):
        yield resample(decode(path.read_bytes()), RATE_HZ).samples


def test_nothing_is_heard_in_five_minutes_of_anything_else(micro: MicroDetector) -> None:
    spoken = [say(OTHER_SPEECH, pace) for pace in (0.85, 1.0, 1.2)]
    people = list(recordings())
    assert people, "the recordings of the package pocketsphinx-testdata are missing"
    rest = np.concatenate((*spoken, *people))
    hiss = [noise(20 * RATE_HZ, rms, 2).clip(-32_768, 32_767) for rms in (50, 1_000, 6_000)]
    sound = np.concatenate((rest, rest // 3, *hiss, silence(10_000))).astype(np.int16)
    sound = np.resize(sound, max(len(sound), 300 * RATE_HZ))
    assert heard_in(micro, sound, *PHRASES) == []


def test_a_model_file_of_ones_own_is_heard_under_its_name(tmp_path: Path) -> None:
    import pymicro_wakeword

    source = Path(pymicro_wakeword.__file__).parent / "models"
    (tmp_path / "okay_nabu.tflite").write_bytes((source / "okay_nabu.tflite").read_bytes())
    own = tmp_path / "computer.json"
    own.write_text((source / "okay_nabu.json").read_text())
    detector = MicroDetector([own])
    detector.load()
    sound = np.concatenate((silence(2_000), say("Okay nabu."), silence(1_500)))
    assert [heard.phrase for heard in heard_in(detector, sound, "computer")] == ["computer"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"micro": {}}', "x" * 5_000])
@pytest.mark.parametrize("engine", [MicroDetector, OpenDetector])
def test_a_broken_model_file_is_refused_by_name(
    tmp_path: Path, text: str, engine: type[MicroDetector | OpenDetector]
) -> None:
    suffix = ".json" if engine is MicroDetector else ".tflite"
    path = (tmp_path / "mine").with_suffix(suffix)
    path.write_text(text)
    for models in ([path], [tmp_path / f"missing{suffix}"]):
        with pytest.raises(ConfigError, match=f"{models[0].name} cannot be used"):
            engine(models).load()


@pytest.mark.parametrize("engine", [MicroDetector, OpenDetector])
def test_a_missing_package_is_answered_with_the_command_that_mends_it(
    engine: type[MicroDetector | OpenDetector], monkeypatch: pytest.MonkeyPatch
) -> None:
    for package in ("pymicro_wakeword", "pyopen_wakeword"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=r"pip install .*\[wake\]"):
        engine().load()
