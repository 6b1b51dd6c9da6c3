from __future__ import annotations

from datetime import datetime

import pytest
from antiphon_contracts import ConfigError
from antiphon_router import phrases
from antiphon_router.engine import HassilGrammar

pytestmark = pytest.mark.unit


@pytest.fixture(scope="module")
def grammar() -> HassilGrammar:
    grammar = HassilGrammar("en")
    grammar.load()
    return grammar


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("What time is it?", "time"),
        ("What's the time?", "time"),
        ("Could you tell me what time it is?", "time"),
        ("What's the date today?", "date"),
        ("What day is it today?", "date"),
        ("Remember that my bicycle is red.", "remember"),
        ("Please remember my bicycle is red.", "remember"),
        ("Don't forget that the key is under the mat.", "remember"),
        ("Forget that my bicycle is red.", "forget"),
        ("Never mind.", "dismiss"),
        ("Forget it.", "dismiss"),
        ("Stop.", "stop"),
        ("Stop talking!", "stop"),
        ("Say that again, please.", "repeat"),
        ("Repeat that.", "repeat"),
    ],
)
def test_commands_are_recognised(grammar: HassilGrammar, text: str, name: str) -> None:
    intent = grammar.recognize(text)
    assert intent is not None
    assert intent.name == name


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("What is 12 times 7?", "12 * 7"),
        ("What is twelve times seven?", "12 * 7"),
        ("What's 3.5 plus 2?", "3.5 + 2"),
        ("How much is 1,200 divided by 4?", "1200 / 4"),
        ("seven percent of two hundred", "7 /100* 200"),
        ("What is 5 squared?", "5 **2"),
        ("two plus two", "2 + 2"),
        ("What is 15 x 4?", "15*4"),
    ],
)
def test_sums_are_recognised(grammar: HassilGrammar, text: str, expression: str) -> None:
    intent = grammar.recognize(text)
    assert intent is not None
    assert intent.name == "sum"
    assert intent.slots["expression"].replace(" ", "") == expression.replace(" ", "")


@pytest.mark.parametrize(
    "text",
    [
        "What is the capital of France?",
        "What time is it in Tokyo?",
        "Do you know who wrote Hamlet?",
        "What colour is my bicycle?",
        "Do you remember my bicycle?",
        "Remember when we met?",
        "I know nothing about no stopping signs.",
        "What is 1984 about?",
        "What is 42?",
        "one more thing",
        "",
        "stop " * 100,
    ],
)
def test_the_rest_is_for_the_language_model(grammar: HassilGrammar, text: str) -> None:
    assert grammar.recognize(text) is None


def test_what_is_to_be_remembered_is_kept_to_the_letter(grammar: HassilGrammar) -> None:
    intent = grammar.recognize("Remember that Anna's birthday is on 3 May.")
    assert intent is not None
    assert intent.slots == {"text": "Anna's birthday is on 3 May"}


def test_an_unknown_language_names_the_choice() -> None:
    with pytest.raises(ConfigError, match="there is: en"):
        HassilGrammar("xx")


def test_times_and_dates_are_spoken_as_people_say_them() -> None:
    def spoken(hour: int, minute: int) -> str:
        return phrases.spoken_time(datetime(2026, 11, 21, hour, minute).astimezone())

    assert spoken(0, 5) == "It is 12:05 in the morning."
    assert spoken(15, 7) == "It is 3:07 in the afternoon."
    assert spoken(18, 0) == "It is 6 o'clock in the evening."
    day = datetime(2026, 11, 22).astimezone()
    assert phrases.spoken_date(day) == "Today is Sunday, November 22nd."


def test_what_is_mine_becomes_yours() -> None:
    said = "my bicycle is red and I'm happy about Myth"
    assert phrases.to_listener(said) == "your bicycle is red and you're happy about Myth"
