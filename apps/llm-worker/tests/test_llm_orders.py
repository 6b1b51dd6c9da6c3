"""What a model without tools does not answer, for it would claim to have done it."""

from __future__ import annotations

import pytest
from antiphon_llm.service.orders import is_order

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    "text",
    [
        "Set a timer for seconds.",
        "set the oven timer for a while",
        "Please wake me when the sun rises",
        "remind me to feed the cat when I am home",
        "Can you turn the upstairs thing off?",
        "turn on the disco ball",
        "dim the lights a tad",
        "add whatsit to my list",
        "take bread off the shopping list",
        "call my mother",
        "play some music",
        "unlock the front door",
    ],
)
def test_an_order(text: str) -> None:
    assert is_order(text)


@pytest.mark.parametrize(
    "text",
    [
        "Who wrote Hamlet?",
        "Remind me who wrote Hamlet.",
        "What is a timer?",
        "I turned off the light.",
        "How do I set an alarm on my phone?",
        "Set an example for me.",
        "Tell me a story about a lamp.",
        "What happens when I turn the key on?",
        "Make a joke.",
        "Is the door locked?",
        "My list is long.",
        "Play is important for children.",
    ],
)
def test_no_order(text: str) -> None:
    assert not is_order(text)
