from __future__ import annotations

import time

import pytest
from antiphon_tts.spoken_form import spoken_form

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("It is 20°C.", "It is 20 degrees Celsius."),
        ("-5°C", "minus 5 degrees Celsius"),
        ("3.5 km away", "3.5 kilometres away"),
        ("1 kg", "1 kilogram"),
        ("5kg of 1,000 g", "5 kilograms of 1,000 grams"),
        ("100 km/h", "100 kilometres an hour"),
        ("10 m² flat", "10 square metres flat"),
        ("it costs $5.20 today", "it costs 5 dollars and 20 cents today"),
        ("$1", "1 dollar"),
        ("£3.01", "3 pounds and 1 penny"),
        ("€2.5 million", "2.5 million euros"),
        ("at 10:30", "at 10 30"),
        ("7:05 pm", "7 oh 5 PM"),
        ("10:00", "10 o'clock"),
        ("8:00 a.m.", "8 AM"),
        ("in 1984", "in 19 84"),
        ("since 1905", "since 19 oh 5"),
        ("in 1800", "in 18 hundred"),
        ("in 2005", "in 2005"),
        ("5-10 minutes", "5 to 10 minutes"),
        ("on 2026-11-21", "on November 21st, 20 26"),
        ("Nov 3, 2026", "November 3rd, 20 26"),
        ("1/2 cup", "one half cup"),
        ("¾ full", "three quarters full"),
        ("5 x 3", "5 times 3"),
        ("~5 of #1", "about 5 of number 1"),
    ],
)
def test_figures_are_said_as_people_say_them(written: str, said: str) -> None:
    assert spoken_form(written) == said


@pytest.mark.parametrize(
    "text",
    [
        "",
        "The cat sat on the mat.",
        "I may go in March.",
        "call 555-1234",
        "version 1.2.3",
        "won 3:2",
        "1-2-3",
        "10-4=6",
        "in 2000 people",
        "the 1st, 2nd and 3rd",
        "a 12.5% rise",
        "half-hearted e-mail",
        "2026-13-40",
        "99 bottles",
        "3 musketeers and 5 minors",
    ],
)
def test_everything_else_stays_as_it_is(text: str) -> None:
    assert spoken_form(text) == text


def test_what_is_said_is_not_changed_again() -> None:
    text = "On 2026-11-21 at 7:05 pm it was -5°C, $5.20 for 3.5 km, and 5-10 minutes."
    assert spoken_form(spoken_form(text)) == spoken_form(text)


@pytest.mark.parametrize("piece", ["1,000", "$1 ", "1-", "12:30", "in 1984 ", "9" * 50, "Nov "])
def test_long_text_costs_no_more_than_its_length(piece: str) -> None:
    def cost(count: int) -> float:
        begun = time.process_time()
        spoken_form(piece * count)
        return time.process_time() - begun

    cost(10)
    assert cost(2_000) < 40 * max(cost(200), 1e-3)
