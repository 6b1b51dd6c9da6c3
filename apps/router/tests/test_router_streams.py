"""Pieces of a reply that come doubled, late, with gaps, or from another run of the request."""

from __future__ import annotations

import asyncio

import pytest
from antiphon_contracts import LLM_STREAM, LlmResponse, LlmStream
from antiphon_router.testing import Home, home

pytestmark = pytest.mark.unit


async def begin(h: Home) -> None:
    async with asyncio.timeout(5):
        await h.streamed.wait()


def whole(text: str) -> LlmResponse:
    return LlmResponse(reply=text, finish_reason="stop")


def _stream(h: Home, request_id: str, seq: int, delta: str) -> None:
    h.house.say(LLM_STREAM, LlmStream(seq=seq, delta=delta), correlation_id=request_id)


async def test_deltas_may_come_doubled_late_and_with_gaps() -> None:
    async with home() as h:
        h.gate.clear()
        h.deltas = []
        h.ask("Is it red?")
        await begin(h)
        request_id = h.requests[-1]
        for seq, delta in [(0, "It is "), (0, "It is "), (1, "red. "), (3, "LOST"), (1, "red. ")]:
            _stream(h, request_id, seq, delta)
        await h.said.until(1)
        h.response = whole("It is red. Really. And new.")
        h.gate.set()
        await h.until_said()
        assert h.spoken() == "It is red. Really. And new."
        _stream(h, request_id, 2, "Too late. ")
        h.ask("what time is it")
        await h.answers.until(2)
        assert "Too late" not in h.spoken()


async def test_deltas_of_a_second_run_are_not_mixed_into_the_first() -> None:
    async with home() as h:
        h.gate.clear()
        h.deltas = []
        h.ask("Is it red?")
        await begin(h)
        request_id = h.requests[-1]
        for seq, delta in [
            (0, "It is red. "),
            (1, "I thi"),
            (0, "Yes, "),
            (1, "sure, "),
            (2, "Bo is here. "),
        ]:
            _stream(h, request_id, seq, delta)
        await h.said.until(1)
        h.response = whole("Yes, sure, Bo is here.")
        h.gate.set()
        await h.until_said()
        assert h.spoken() == "It is red. Yes, sure, Bo is here."


@pytest.mark.parametrize(
    ("deltas", "reply", "spoken"),
    [
        (["It is  red. ", "Really. "], "It is red. Really.", "It is red. Really."),
        (["It is red. "], "It is red.\nAnd new.", "It is red. And new."),
        (["It is bl"], "It was red.", "It was red."),
        (["It is blue. "], "It was red.", "It is blue. It was red."),
        (["It is red. ", "And it i"], "It is red. Yes.", "It is red. Yes."),
    ],
)
async def test_a_reply_that_differs_from_its_stream_is_still_heard(
    deltas: list[str], reply: str, spoken: str
) -> None:
    async with home() as h:
        h.deltas, h.response = deltas, whole(reply)
        h.ask("Is it red?")
        await h.until_said()
        assert h.spoken() == spoken
