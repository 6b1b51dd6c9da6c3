"""`listen`, `talk`, `announce` and `dialogue` against a house of a few lines."""

from __future__ import annotations

import asyncio
import io
import os
import sys
from collections.abc import AsyncIterator

import orjson
import pytest
from antiphon import live_commands
from antiphon.live_view import LiveView, meter
from antiphon_contracts import (
    ANNOUNCE,
    ANSWER,
    ASK_SITE,
    DIALOGUE_CONTROL,
    DIALOGUE_STATE,
    SITE_STATUS,
    STT_FINAL,
    STT_PARTIAL,
    WAKE_EVENT,
    Announce,
    Announced,
    AnnouncedAt,
    ContractError,
    DialogueState,
    EngineError,
    Message,
    PlainAnswer,
    PlaybackStatus,
    RequestTimeout,
    SiteStatus,
    Stage,
    SttFinal,
    SttPartial,
    WakeEvent,
)
from antiphon_runtime import Bus, RawMessage, RuntimeSettings, listen_raw, running, serve
from antiphon_runtime.testing import House
from rich.console import Console

pytestmark = pytest.mark.unit

BROKER = "mqtt://in.memory"


@pytest.fixture
async def house(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    monkeypatch.setattr(live_commands, "SITE_KNOWN_S", 0.05)
    async with asyncio.timeout(10), House() as house:

        def client_bus(_settings: RuntimeSettings) -> Bus:
            return Bus(house.broker.transport(), source="cli")

        monkeypatch.setattr(live_commands, "client_bus", client_bus)
        yield house


def final(text: str = "what time is it", **more: object) -> SttFinal:
    return SttFinal.model_validate({"utterance_id": "u", "text": text, **more})


def answer(text: str = "It is ten.", **more: object) -> PlainAnswer:
    return PlainAnswer.model_validate(
        {"turn_id": "u", "transcript": "", "answer": text, "route": "fast", **more}
    )


def live(width: int = 40) -> tuple[LiveView, io.StringIO]:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=width)
    return LiveView(console, names_sites=False, stages=True), screen


# How it looks


def test_on_a_terminal_what_is_understood_stands_in_one_line_that_is_wiped() -> None:
    view, screen = live()
    view.show("s", DialogueState(state="listening", reason="wake", turn_id="u"))
    view.show_level(-20)
    view.show("s", SttPartial(utterance_id="u", text="what time"))
    view.show("s", DialogueState(state="thinking", turn_id="u"))
    view.show("s", final())
    written = screen.getvalue()
    assert "listening …" in written
    assert meter(-20) in written
    assert "what time …" in written
    last = written.rsplit("\r\x1b[K", 1)[1]
    assert last == "> what time is it\n"


def test_a_long_partial_stays_in_one_line() -> None:
    view, screen = live(width=30)
    view.show("s", SttPartial(utterance_id="u", text="word " * 30))
    assert max(len(part) for part in screen.getvalue().split("\r\x1b[K")) <= 30


def test_levels_show_only_while_it_listens() -> None:
    view, screen = live()
    view.show_level(-20)
    assert screen.getvalue() == ""


def test_elsewhere_only_what_is_final_is_printed() -> None:
    lines = io.StringIO()
    view = LiveView(Console(file=lines, width=200), names_sites=True)
    for event in (
        WakeEvent(phrase="okay_nabu", score=0.97, offset_ms=1),
        DialogueState(state="listening"),
        SttPartial(utterance_id="u", text="what"),
        final(),
        answer(stages=(Stage(name="stt", start_ms=0, end_ms=9),)),
        final("", rejected="no_speech"),
        final("", rejected="noise", detail="Only noise was heard."),
        PlaybackStatus(utterance_id="a", state="stopped", played_ms=1_200),
        answer("", error="my memory is offline"),
    ):
        view.show("kitchen", event)
    assert lines.getvalue().splitlines() == [
        "kitchen: (okay nabu, 0.97)",
        "kitchen: > what time is it",
        "kitchen: It is ten.",
        "kitchen: (Only noise was heard.)",
        "kitchen: (interrupted after 1.2 s)",
        "kitchen: (my memory is offline)",
    ]


@pytest.mark.parametrize(("level", "sign"), [(-120, " "), (-60, " "), (-30, "▄"), (0, "█")])
def test_a_level_is_one_character(level: float, sign: str) -> None:
    assert meter(level) == sign


# listen


async def test_listen_writes_a_line_of_json_for_each_event(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(listen=live_commands.listen_in("hall", json=True, broker=BROKER)):
        house.say(SITE_STATUS, SiteStatus(streaming=True), site_id="hall")
        written = ""
        while written.count("\n") < 4:
            house.say(STT_PARTIAL, SttPartial(utterance_id="u"), site_id="elsewhere")
            house.say(WAKE_EVENT, WakeEvent(phrase="p", score=1, offset_ms=0), site_id="hall")
            house.say(STT_FINAL, final(), site_id="hall")
            house.bus.publish_raw(ANSWER, orjson.dumps(answer().model_dump()), site="hall")
            await asyncio.sleep(0)
            written += capsys.readouterr().out
    events = [orjson.loads(line) for line in written.splitlines()]
    assert {event["site"] for event in events} == {"hall"}
    assert {"SiteStatus", "WakeEvent", "SttFinal", "PlainAnswer"} <= {e["event"] for e in events}


# announce and dialogue


async def announcing(house: House, *places: AnnouncedAt) -> list[Announce]:
    orders: list[Announce] = []

    async def on_announce(message: Message[Announce]) -> Announced:
        orders.append(message.data)
        return Announced(sites=places)

    await house.serve(serve(ANNOUNCE, on_announce), source="router-1")
    return orders


async def test_announce_says_how_it_ended_everywhere(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    orders = await announcing(
        house,
        AnnouncedAt(site="hall", state="heard"),
        AnnouncedAt(site="loft", state="unheard", detail="Nobody plays there."),
    )
    await live_commands.announce("Dinner!", ["hall"], priority=20, voice="x", broker=BROKER)
    assert orders == [Announce(text="Dinner!", sites=("hall",), priority=20, voice="x")]
    assert capsys.readouterr().out == "hall: heard\nloft: unheard Nobody plays there.\n"


@pytest.mark.parametrize(
    ("places", "complaint"),
    [((), "no site"), ((AnnouncedAt(site="hall", state="failed"),), "everywhere")],
)
async def test_announce_that_fails_says_so(
    house: House, places: tuple[AnnouncedAt, ...], complaint: str
) -> None:
    await announcing(house, *places)
    with pytest.raises(EngineError, match=complaint):
        await live_commands.announce("Dinner!", [], priority=0, voice=None, broker=BROKER)


@pytest.mark.parametrize("sites", [["a/b"], [f"site-{number}" for number in range(65)]])
async def test_announce_to_what_is_no_site_says_so(sites: list[str]) -> None:
    with pytest.raises(ContractError, match="at most 64 sites"):
        await live_commands.announce("Dinner!", sites, priority=0, voice=None, broker=BROKER)


async def test_dialogue_orders_reach_the_router(house: House) -> None:
    heard = await house.hear(DIALOGUE_CONTROL)
    await live_commands.control_dialogue("pause", "hall", BROKER)
    (order,) = await heard.until(1)
    assert order.data.action == "pause"


# talk


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> io.TextIOWrapper:
    """What is written here is read as standard input."""
    reading, writing = os.pipe()
    monkeypatch.setattr(sys, "stdin", os.fdopen(reading))
    return os.fdopen(writing, "w", buffering=1)


async def test_talk_asks_in_writing_and_waits_for_the_answer(
    house: House, typed: io.TextIOWrapper, capsys: pytest.CaptureFixture[str]
) -> None:
    async def on_ask(message: RawMessage) -> None:
        asked = orjson.loads(message.payload)
        said = answer(f"You said {asked['text']}.", id=asked["id"])
        house.bus.publish_raw(ANSWER, orjson.dumps(said.model_dump()), site="default")

    await house.serve(listen_raw(ASK_SITE, on_ask))
    orders = await house.hear(DIALOGUE_CONTROL)
    typed.write("hello\n/pause\n/dance\n")
    typed.close()
    await live_commands.talk("default", BROKER)
    assert [order.data.action for order in await orders.until(1)] == ["pause"]
    out = capsys.readouterr().out
    assert "You said hello." in out
    assert "there is no /dance" in out


async def test_a_question_that_nobody_answers_ends_talk_with_a_sentence(
    house: House, typed: io.TextIOWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_commands, "QUESTION_TTL_S", 0.05)
    typed.write("hello\n")
    typed.close()
    with pytest.raises(RequestTimeout, match="antiphon status"):
        await live_commands.talk("default", BROKER)


async def test_an_empty_line_listens_where_a_microphone_streams(
    house: House, typed: io.TextIOWrapper
) -> None:
    orders = await house.hear(DIALOGUE_CONTROL)
    typed.write("\n")
    typed.close()
    await live_commands.talk("default", BROKER)
    assert not orders


async def test_an_empty_line_is_the_wake_word(house: House, typed: io.TextIOWrapper) -> None:
    orders = await house.hear(DIALOGUE_CONTROL)
    house.say(SITE_STATUS, SiteStatus(streaming=True))
    house.say(DIALOGUE_STATE, DialogueState(state="idle"))
    typed.write("\n")
    typed.close()
    await live_commands.talk("default", BROKER)
    (order,) = await orders.until(1)
    assert order.data.action == "listen"
