"""Prompts and tool results cut to size: nothing is torn apart."""

from __future__ import annotations

import json
from typing import Any

import pytest
from antiphon_llm.service import ChatMessage, RequestedCall
from antiphon_llm.service.shortening import shortened
from antiphon_llm.service.window import size_of, within
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

TEXT = st.text(max_size=60)


@st.composite
def conversations(draw: st.DrawFn) -> list[ChatMessage]:
    """System, then turns; some with calls, some of which miss a result."""
    messages = [ChatMessage("system", draw(TEXT))]
    for turn in range(draw(st.integers(0, 6))):
        messages.append(ChatMessage("user", draw(TEXT)))
        for step in range(draw(st.integers(0, 2))):
            ids = [f"c{turn}-{step}-{n}" for n in range(draw(st.integers(1, 3)))]
            calls = tuple(RequestedCall(name, "tool", "{}") for name in ids)
            messages.append(ChatMessage("assistant", draw(TEXT), calls=calls))
            answered = ids if draw(st.integers(0, 4)) else ids[:-1]
            messages += [
                ChatMessage("tool", draw(st.text(max_size=400)), call_id=name) for name in answered
            ]
        if draw(st.booleans()):
            messages.append(ChatMessage("assistant", draw(TEXT)))
    return messages


def ids_of(messages: tuple[ChatMessage, ...]) -> tuple[set[str], set[str]]:
    called = {call.id for message in messages for call in message.calls}
    return called, {message.call_id or "" for message in messages if message.role == "tool"}


@given(conversations(), st.integers(0, 600))
def test_calls_and_their_results_stay_or_go_together(
    messages: list[ChatMessage], budget: int
) -> None:
    kept = within(messages, budget)

    called, answered = ids_of(kept)
    assert called == answered
    open_ids: set[str] = set()
    for message in kept:
        if message.role == "tool":
            assert message.call_id in open_ids
        else:
            open_ids = {call.id for call in message.calls}


@given(conversations(), st.integers(0, 600))
def test_the_oldest_go_first_and_the_last_question_stays(
    messages: list[ChatMessage], budget: int
) -> None:
    kept = within(messages, budget)

    assert kept[0] == messages[0]
    places = [message for message in messages if message.role != "tool"]
    rest = [message for message in kept if message.role != "tool"]
    at = iter(places)
    assert all(any(message == other for other in at) for message in rest), "order"
    asked = [message for message in messages if message.role == "user"]
    assert not asked or asked[-1] in kept


@given(conversations(), st.integers(0, 600))
def test_what_may_go_never_passes_the_budget(messages: list[ChatMessage], budget: int) -> None:
    kept = within(messages, budget)

    least = size_of(within(messages, 0))
    assert size_of(kept) <= max(budget, least)


def test_what_fits_is_left_alone() -> None:
    messages = (ChatMessage("system", "s"), ChatMessage("user", "a"), ChatMessage("user", "b"))

    assert within(messages, 1000) == messages


def test_one_long_result_is_cut_to_its_head_and_tail() -> None:
    call = RequestedCall("c", "t", "{}")
    messages = (
        ChatMessage("user", "Well?"),
        ChatMessage("assistant", "", calls=(call,)),
        ChatMessage("tool", "head" + "x" * 4000 + "tail", call_id="c"),
    )

    kept = within(messages, 200, kept_first=0)

    assert size_of(kept) <= 200
    assert kept[-1].content.startswith("head")
    assert kept[-1].content.endswith("tail")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=40,
)


@given(JSON, st.integers(40, 400))
def test_a_result_is_never_longer_than_it_may_be(value: Any, limit: int) -> None:
    assert len(shortened(value, limit)) <= limit


def test_lists_lose_whole_items_and_say_how_many() -> None:
    found = {"results": [{"title": f"Page {n}", "text": "x" * 50} for n in range(30)], "total": 30}

    text = shortened(found, 600)

    told = json.loads(text)
    *items, mark = told["results"]
    assert items == found["results"][: len(items)]  # type: ignore[index]
    assert mark == f"({30 - len(items)} more left out)"
    assert told["total"] == 30
    assert len(text) <= 600


def test_a_value_that_fits_is_whole() -> None:
    assert json.loads(shortened({"a": [1, 2]}, 100)) == {"a": [1, 2]}
    assert shortened("plain", 100) == "plain"
