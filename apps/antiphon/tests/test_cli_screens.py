from __future__ import annotations

import io

import pytest
from antiphon import screens
from antiphon.house import WorkerState
from antiphon_contracts import Health, LoopLag, Stage
from rich.console import Console, RenderableType

pytestmark = pytest.mark.unit


def printed(what: RenderableType, width: int = 100) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(what)
    return out.getvalue()


WELL = Health(
    worker="stt-1",
    kind="stt",
    state="ready",
    uptime_s=185,
    engine="faster-whisper tiny.en",
    loop=LoopLag(p99_ms=1.25),
    queues={"a": 2, "b": 3},
)


def test_the_table_shows_each_worker_in_order_with_what_is_known() -> None:
    states = {
        "tts-1": WorkerState("gone", None, "ended with signal SIGKILL"),
        "stt-1": WorkerState("ready", WELL),
    }
    lines = printed(screens.health_table(states)).splitlines()
    stt = next(line for line in lines if line.lstrip().startswith("stt-1"))
    for part in ("ready", "faster-whisper tiny.en", "3 min 5 s", "1.2 ms", "5"):
        assert part in stt
    tts = next(line for line in lines if line.lstrip().startswith("tts-1"))
    assert tts.split() == ["tts-1", "gone"]
    assert lines.index(stt) < lines.index(tts)


def test_troubles_and_notes_stand_below_the_table_as_they_are() -> None:
    degraded = WELL.model_copy(update={"state": "degraded", "notes": ("no [voice] was found",)})
    states = {
        "stt-1": WorkerState("degraded", degraded),
        "tts-1": WorkerState("gone", None, "ended with signal SIGKILL"),
    }
    lines = printed(screens.health_table(states)).splitlines()
    assert "stt-1: no [voice] was found" in lines
    assert "tts-1: ended with signal SIGKILL" in lines


def test_on_a_narrow_terminal_the_engine_gives_way_and_not_the_state() -> None:
    text = printed(screens.health_table({"stt-1": WorkerState("ready", WELL)}), width=60)
    assert "ready" in text
    assert "3 min 5 s" in text
    assert max(map(len, text.splitlines())) <= 60


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.9, "59 s"),
        (60, "1 min 0 s"),
        (185, "3 min 5 s"),
        (7_800, "2 h 10 min"),
        (90_000, "1 d 1 h"),
    ],
)
def test_a_time_span_has_its_largest_two_units(seconds: float, text: str) -> None:
    assert screens.duration(seconds) == text


def bar(line: str) -> tuple[int, int]:
    """Return where a stage's bar begins and how long it is, in characters."""
    return line.index("█") - len("    ") - 13, line.count("█")


def test_the_bars_of_a_waterfall_lie_on_one_time_line() -> None:
    stages = [
        Stage(name="stt", start_ms=0, end_ms=500),
        Stage(name="llm", start_ms=500, end_ms=900),
        Stage(name="blink", start_ms=900, end_ms=900),
    ]
    stt, llm, blink, sum_up = (str(line) for line in screens.waterfall(stages, 1000))
    whole = screens.WATERFALL_CHARS
    assert bar(stt) == (0, whole / 2)
    assert bar(llm) == (whole / 2, whole * 0.4)
    assert bar(blink)[1] == 1  # never nothing
    assert "500 → 900 ms" in llm
    assert sum_up.strip() == "first audio after 1000 ms"


def test_a_turn_without_sound_or_stages_has_no_waterfall() -> None:
    assert screens.waterfall([], None) == []
