import importlib.util
import shutil
import subprocess
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
from antiphon_audio import Pcm, Vad, decode, split
from antiphon_contracts.errors import ConfigError, ContractError

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def vad() -> Vad:
    return Vad()


@pytest.fixture(scope="module")
def speech() -> Pcm:
    """One second of silence, a spoken sentence, one second of silence; 16 kHz."""
    espeak = shutil.which("espeak-ng")
    assert espeak, "espeak-ng is needed: apt install espeak-ng"
    sentence = "Please turn on the lamp in the kitchen, and tell me what time it is."
    made = subprocess.run(
        [espeak, "-v", "en-us", "-s", "150", "--stdout", sentence],
        check=True,
        capture_output=True,
        timeout=20,
    )
    pause = Pcm.silence(1000, 16_000).samples
    return Pcm(np.concatenate((pause, decode(made.stdout).samples, pause)), 16_000)


def noise(level: float, duration_s: int = 5) -> Pcm:
    rng = np.random.default_rng(7)
    return Pcm.from_float32(level * rng.standard_normal(16_000 * duration_s), 16_000)


@pytest.mark.parametrize("level", [0.0, 0.001, 0.03, 0.3])
def test_silence_and_noise_are_no_speech(vad: Vad, level: float) -> None:
    assert vad.spans(noise(level)) == []


def test_speech_is_found_where_it_is(vad: Vad, speech: Pcm) -> None:
    spans = vad.spans(speech)
    assert spans
    assert 700 <= spans[0].start_ms <= 1200
    end_ms = speech.duration_ms
    assert end_ms - 1500 <= spans[-1].end_ms <= end_ms - 600
    spoken_ms = sum(span.end_ms - span.start_ms for span in spans)
    assert spoken_ms > 0.8 * (end_ms - 2000)


@pytest.mark.parametrize("frame_ms", [10, 80, 700])
def test_a_stream_hears_what_the_whole_hears(vad: Vad, speech: Pcm, frame_ms: int) -> None:
    stream = vad.stream()
    heard = [p for frame in split(speech, frame_ms) for p in stream.push(frame.samples)]
    whole = vad.probabilities(speech)
    assert len(heard) == len(speech) // 512
    assert np.allclose(heard, whole[: len(heard)], atol=1e-4)
    stream.reset()
    again = stream.push(speech.samples)
    assert np.allclose(again, heard, atol=1e-4)


def test_shapes_and_batches(vad: Vad) -> None:
    assert vad.probabilities(Pcm.silence(0, 16_000)).shape == (0,)
    assert vad.probabilities(Pcm.silence(1, 16_000)).shape == (1,)
    long = noise(0.01, duration_s=40)
    assert vad.probabilities(long).shape == (1250,)
    assert vad.stream().push(np.zeros(511, np.int16)) == []
    with pytest.raises(ContractError, match="16000 Hz"):
        vad.probabilities(Pcm.silence(10, 8000))


def test_broken_weights_say_reinstall(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "silero_vad_v6.onnx").write_bytes(b"not a model")
    spec = ModuleSpec("faster_whisper", None)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(ConfigError, match="force-reinstall"):
        Vad()
