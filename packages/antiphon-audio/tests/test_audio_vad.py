import importlib.util
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from antiphon_audio import WINDOW_MS, Span, Vad, speech_spans
from antiphon_contracts.errors import ConfigError
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
    with pytest.raises(ConfigError, match=r"pip install .*\[stt\]"):
        Vad()


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
    with pytest.raises(ConfigError, match=r"onnxruntime.*\[stt\]"):
        Vad()
