import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
from antiphon_audio import WINDOW_MS, Pcm, Span, Vad, decode, speech_spans, split
from antiphon_contracts.errors import ContractError, EngineError
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit


def windows(text: str) -> list[float]:
    """`.` silence, `-` in the band of hysteresis, `#` speech."""
    return [{".": 0.0, "-": 0.4, "#": 0.9}[letter] for letter in text]


def bare(text: str) -> list[tuple[int, int]]:
    """Spans in windows, no padding, two windows of speech and of silence at least."""
    spans = speech_spans(windows(text), min_speech_ms=2, min_silence_ms=2, pad_ms=0, window_ms=1)
    return [(span.start_ms, span.end_ms) for span in spans]


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("", []),
        ("......", []),
        ("------", []),
        ("..###..", [(2, 5)]),
        ("..#--#..", [(2, 6)]),
        ("..#---..", [(2, 6)]),
        ("..##.##..", [(2, 7)]),
        ("..##..##..", [(2, 4), (6, 8)]),
        ("..#..#..", []),
        ("###", [(0, 3)]),
        ("...##", [(3, 5)]),
    ],
)
def test_hysteresis_bridges_and_drops(text: str, spans: list[tuple[int, int]]) -> None:
    assert bare(text) == spans


def test_padding_stays_inside_and_joins() -> None:
    one = speech_spans(windows(".####."), pad_ms=100)
    assert one == [Span(0, 6 * WINDOW_MS)]
    two = speech_spans(windows("#####" + "." * 12 + "#####"), pad_ms=200, min_silence_ms=320)
    assert two == [Span(0, 22 * WINDOW_MS)]


@given(
    st.lists(st.floats(0, 1)),
    st.integers(0, 300),
    st.integers(1, 500),
    st.integers(0, 400),
)
def test_spans_are_in_order_apart_and_inside(
    probabilities: Sequence[float], min_speech_ms: int, min_silence_ms: int, pad_ms: int
) -> None:
    spans = speech_spans(
        probabilities, min_speech_ms=min_speech_ms, min_silence_ms=min_silence_ms, pad_ms=pad_ms
    )
    edges = [edge for span in spans for edge in (span.start_ms, span.end_ms)]
    assert edges == sorted(set(edges))
    assert all(0 <= edge <= len(probabilities) * WINDOW_MS for edge in edges)
    assert bool(spans) <= any(p >= 0.5 for p in probabilities)


def test_missing_weights_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> ModuleSpec | None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", nothing)
    with pytest.raises(EngineError, match=r"antiphon\[stt\]") as caught:
        Vad()
    assert not caught.value.retryable


def fake_weights(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "assets").mkdir()
    (folder / "assets" / "silero_vad_v6.onnx").write_bytes(b"not a model")
    spec = ModuleSpec("faster_whisper", None)
    spec.submodule_search_locations = [str(folder)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)


def test_missing_onnxruntime_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake_weights(monkeypatch, tmp_path)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(EngineError, match=r"onnxruntime.*antiphon\[stt\]"):
        Vad()


@pytest.mark.integration
def test_broken_weights_say_reinstall(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_weights(monkeypatch, tmp_path)
    with pytest.raises(EngineError, match="reinstall") as caught:
        Vad()
    assert not caught.value.retryable


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


@pytest.mark.integration
@pytest.mark.parametrize("level", [0.0, 0.001, 0.03, 0.3])
def test_silence_and_noise_are_no_speech(vad: Vad, level: float) -> None:
    assert vad.spans(noise(level)) == []


@pytest.mark.integration
def test_speech_is_found_where_it_is(vad: Vad, speech: Pcm) -> None:
    spans = vad.spans(speech)
    assert spans
    assert 700 <= spans[0].start_ms <= 1200
    end_ms = speech.duration_ms
    assert end_ms - 1500 <= spans[-1].end_ms <= end_ms - 600
    spoken_ms = sum(span.end_ms - span.start_ms for span in spans)
    assert spoken_ms > 0.8 * (end_ms - 2000)


@pytest.mark.integration
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


@pytest.mark.integration
def test_shapes_and_batches(vad: Vad) -> None:
    assert vad.probabilities(Pcm.silence(0, 16_000)).shape == (0,)
    assert vad.probabilities(Pcm.silence(1, 16_000)).shape == (1,)
    long = noise(0.01, duration_s=40)
    assert vad.probabilities(long).shape == (1250,)
    assert vad.stream().push(np.zeros(511, np.int16)) == []
    with pytest.raises(ContractError, match="16000 Hz"):
        vad.probabilities(Pcm.silence(10, 8000))
