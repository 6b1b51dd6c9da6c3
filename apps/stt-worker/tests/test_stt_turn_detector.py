"""How long to wait after which words."""

from __future__ import annotations

import pytest
from antiphon_audio import Pcm
from antiphon_contracts import ConfigError, EngineError
from antiphon_models import ModelStore
from antiphon_stt.engine import SmartTurn, half_of_the_cores
from antiphon_stt.turn_detector import AdaptiveSilence, Patience

pytestmark = pytest.mark.unit

PATIENCE = Patience(350, 600, 900)


@pytest.mark.parametrize(
    "text",
    [
        "Turn on the lamp and",
        "Turn on the lamp, um.",
        "Play some music in the",
        "Set a timer for.",
        "Set a timer.",
        "Remind me",
        "Turn on.",
        "I would like to go to the",
        "Well,",
        "How do you?",
        "Which day?",
        "If it rains tomorrow.",
        "Remind me too.",
        "Set a timer for 10.",
        "Add milk, eggs,",
        "And milk.",
        "What is...",
    ],
)
def test_after_what_is_not_complete_the_wait_is_long(text: str) -> None:
    assert AdaptiveSilence(PATIENCE).patience_ms(text, None) == 900


@pytest.mark.parametrize(
    "text",
    [
        "Turn it on.",
        "Stop.",
        "What time is it?",
        "Set a timer for 10 minutes.",
        "Yes!",
        "Where is it?",
        "When does the sun set?",
        "If it rains, wake me up.",
        "How many are there?",
    ],
)
def test_after_what_is_complete_it_is_short(text: str) -> None:
    assert AdaptiveSilence(PATIENCE).patience_ms(text, None) == 350


def test_after_what_may_be_complete_it_is_between() -> None:
    assert AdaptiveSilence(PATIENCE).patience_ms("turn it up", None) == 600


@pytest.mark.parametrize(
    ("text", "done", "patience_ms"),
    [
        ("Turn it on.", 0.9, 350),
        ("Turn it on.", 0.6, 475),
        ("Turn it on", 0.6, 600),
        ("Turn it on.", 0.1, 600),
        ("Turn on the", 0.9, 900),
        ("Turn it on.", None, 350),
    ],
)
def test_smart_turn_goes_by_sound_and_words(
    tmp_path_factory: pytest.TempPathFactory, text: str, done: float | None, patience_ms: int
) -> None:
    detector = SmartTurn(ModelStore(tmp_path_factory.mktemp("models")), PATIENCE)
    assert detector.patience_ms(text, done) == patience_ms


def test_smart_turn_without_weights_names_the_command(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    detector = SmartTurn(ModelStore(tmp_path_factory.mktemp("models")), PATIENCE)
    with pytest.raises(ConfigError, match=r"antiphon models fetch smart-turn-v3\.2"):
        detector.load()
    with pytest.raises(EngineError, match="not loaded"):
        detector.by_sound(Pcm.silence(100, 16_000))


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (4, 2), (16, 4)])
def test_recognition_takes_half_of_the_cores(cores: int, threads: int) -> None:
    assert half_of_the_cores(cores) == threads
