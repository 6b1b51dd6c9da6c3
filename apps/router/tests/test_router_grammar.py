from __future__ import annotations

import time
from datetime import datetime

import pytest
from antiphon_contracts import ConfigError
from antiphon_router import phrases
from antiphon_router.engine import HassilGrammar
from hypothesis import given
from hypothesis import strategies as st

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
        ("What time is it now?", "time"),
        ("What is the current time, please?", "time"),
        ("Tell me the time.", "time"),
        ("Do you have the time?", "time"),
        ("Um, what time is it?", "time"),
        ("What\u2019s the time?", "time"),
        ("What is today's date?", "date"),
        ("What's the day today?", "date"),
        ("What date is it?", "date"),
        ("Which day is it?", "date"),
        ("What day of the week is it?", "date"),
        ("Can you remember that my bicycle is red?", "remember"),
        ("Could you please remember that the bin goes out on Monday?", "remember"),
        ("Remember the milk is sour.", "remember"),
        ("Remember to buy milk.", "remember"),
        ("Make a note that the key is under the mat.", "remember"),
        ("Never forget that I am allergic to nuts.", "remember"),
        ("Remember that $5 is in the jar.", "remember"),
        ("Forget about the milk, please.", "forget"),
        ("Could you forget that my bicycle is red?", "forget"),
        ("Please forget my PIN.", "forget"),
        ("Nevermind", "dismiss"),
        ("Never mind that.", "dismiss"),
        ("Forget that.", "dismiss"),
        ("Forget about it.", "dismiss"),
        ("Cancel.", "dismiss"),
        ("Cancel that please.", "undo"),
        ("STOP!", "stop"),
        ("Please stop.", "stop"),
        ("Stop it, please.", "stop"),
        ("Stop, stop!", "stop"),
        ("Okay, stop.", "stop"),
        ("Stop now.", "stop"),
        ("Could you stop talking, please?", "stop"),
        ("Quiet!", "stop"),
        ("Be quiet, please.", "stop"),
        ("Shut up!", "stop"),
        ("That's enough.", "stop"),
        ("Hey, stop.", "stop"),
        ("Say again?", "repeat"),
        ("Could you please repeat that?", "repeat"),
        ("Can you say that again?", "repeat"),
        ("What did you just say?", "repeat"),
        ("Pardon?", "repeat"),
        ("Pause.", "pause"),
        ("Pause it, please.", "pause"),
        ("Hold on.", "pause"),
        ("Wait a moment, please.", "pause"),
        ("Could you pause?", "pause"),
        ("Resume.", "resume"),
        ("Go on.", "resume"),
        ("Please continue.", "resume"),
        ("Carry on.", "resume"),
        ("Okay, keep going.", "resume"),
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
        ("What is minus five plus 3?", "-5 + 3"),
        ("What's 50% of 80?", "50/100*80"),
        ("12 x 12", "12*12"),
        ("three hundred and five divided by five", "305/5"),
        ("square root of 81", "sqrt(81)"),
        ("What is the square root of eighty one?", "sqrt(81)"),
        ("what is a hundred minus one", "100-1"),
        ("1/2", "1/2"),
        ("5 - 3", "5-3"),
        ("12-7", "12-7"),
        ("What is (2 + 3) * 4?", "(2+3)*4"),
        ("Can you calculate 15 times 4, please?", "15*4"),
        ("Okay, what's five plus five?", "5+5"),
        ("two plus two equals", "2+2"),
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
        "Pause the music.",
        "Pause for thought is a radio show.",
        "What is a pause?",
        "Resume the film.",
        "Write a resume.",
        "Go on holiday with me.",
        "Continue the story with a dragon.",
        "What goes on in Paris?",
        "Wait for me.",
        "Hold on to the rope.",
        "What is the capital of France?",
        "Do you know who wrote Hamlet?",
        "What colour is my bicycle?",
        "Do you remember my bicycle?",
        "Remember when we met?",
        "I know nothing about no stopping signs.",
        "What is 1984 about?",
        "What is 42?",
        "one more thing",
        "I never mind the rain.",
        "Never mind, what is the capital of France?",
        "What time is the train?",
        "What is the time difference to Tokyo?",
        "What is the date of Easter?",
        "What day is it tomorrow?",
        "Remember the Titans movie?",
        "Remember that?",
        "Remember me?",
        "Remember that.",
        "Can you remember my bicycle?",
        "Can you remember what I said?",
        "I remember that my bicycle is red.",
        "Don't forget it.",
        "Forget everything.",
        "Forget me.",
        "I forget things.",
        "Did I forget my key?",
        "Cancel my subscription.",
        "Stop the music.",
        "When does the bus stop?",
        "Where is the bus stop",
        "Non-stop flights to Rome",
        "What does a stop sign look like?",
        "Tell me about the silence of the lambs.",
        "Keep quiet about it.",
        "That's enough sugar, isn't it?",
        "Is enough enough?",
        "Repeat after me: hello.",
        "What did you say about my bicycle?",
        "Come again tomorrow.",
        "Pardon the interruption.",
        "2026-11-21",
        "What is 2026-11-21?",
        "1/2/2026",
        "555-1234",
        "What is 555-1234?",
        "1-800-555-1234",
        "Call 555-1234",
        "24/7",
        "What is 9/11?",
        "3-2-1",
        "192.168.1.1",
        "I have 2 x 4 boards.",
        "What is 20 20 minus 2?",
        "one two three minus four",
        "((((((1+1",
        "1+1)))",
        "sqrt 9",
        "What is 5 minus?",
        "minus five degrees",
        "What is 3(4+5)?",
        "What is 1 + sqrt?",
        "",
        "stop " * 100,
    ],
)
def test_the_rest_is_for_the_language_model(grammar: HassilGrammar, text: str) -> None:
    assert grammar.recognize(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "Anna's birthday is on 3 May",
        "my Wi-Fi password is Blue-Cat_77, not red",
        "$5 is in the jar (the blue one)",
        "I feel well, um, today",
        "J.R. Smith's number is 555-1234",
        "3,50 euros is the price",
        "Stra\u00dfe 5 is my address \U0001f600 now",
    ],
)
def test_what_is_to_be_remembered_is_kept_to_the_letter(grammar: HassilGrammar, text: str) -> None:
    for opening in ("Remember that", "remember   that ", "Please remember that"):
        intent = grammar.recognize(f"{opening} {text}.")
        assert intent is not None
        assert intent.slots == {"text": text}


HOSTILE = ["1" * 299 + "a", "1." * 150, "(" * 300, "1+" * 150, "one hundred " * 25, "[" * 300]


@pytest.mark.parametrize("text", [*HOSTILE, "remember that " * 20, "what is " + "9" * 290 + "x"])
def test_no_text_keeps_the_grammar_busy(grammar: HassilGrammar, text: str) -> None:
    began = time.perf_counter()
    grammar.recognize(text)
    assert time.perf_counter() - began < 0.2


FRAGMENTS = """remember that forget please can you the time is it stop never mind a one hundred and
minus plus ( ) [ ] { } | < > 12 3.5 - / % million half first ? . , $ \x00 \u0130"""
WORDS = st.sampled_from(FRAGMENTS.split())


@given(st.lists(WORDS | st.text(max_size=5), max_size=40).map(" ".join))
def test_any_text_is_understood_or_not_but_never_an_error(
    grammar: HassilGrammar, text: str
) -> None:
    intent = grammar.recognize(text)
    assert intent is None or intent.slots.get("text", "x").strip()


def test_an_unknown_language_names_the_choice() -> None:
    with pytest.raises(ConfigError, match="there is: de, en, es, fr, it, nl"):
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


@pytest.mark.parametrize(
    ("value", "spoken"),
    [
        (84, "84"),
        (84.0, "84"),
        (-5, "minus 5"),
        (0.3, "0.3"),
        (1e30, "1 times 10 to the power of 30"),
        (-1.5e-09, "minus 1.5 times 10 to the power of minus 9"),
    ],
)
def test_results_are_spoken_with_no_digit_made_up(value: float, spoken: str) -> None:
    assert phrases.spoken_number(value) == spoken
