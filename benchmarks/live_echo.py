"""The house hears itself: its own answers come back into the microphone, at -20 to 0 dB.

The site is set to listen all the time, so that nothing but the guards keeps it from answering its
own voice. Once as a satellite without echo cancelling (the recogniser is deaf meanwhile), once as
one that claims to cancel echo and does not (what is left is the comparison with what was spoken).
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import orjson
from antiphon.house import client_bus, open_bus
from antiphon_contracts import (
    SAY_SITE,
    LlmRequest,
    PlainAnswer,
    PlaybackControl,
    PlaybackStatus,
    SttFinal,
    new_id,
)
from antiphon_runtime import Bus
from command import Options, main, say
from figures import Figure, Report
from live_house import LiveHouse, live_house
from room import Room
from scenes import silence

LEVELS_DB = (-20.0, -15.0, -10.0, -5.0, 0.0)
ANSWERS = (
    "It is half past nine in the morning.",
    "That is eighty four.",
    "Hamlet was written by William Shakespeare around the year sixteen hundred.",
    "Your bicycle is red, and it stands behind the house.",
    "The telephone was invented by Alexander Graham Bell.",
    "It will rain in the afternoon, so you should take an umbrella with you.",
    "What would you like to hear next?",
    "I have set a timer for five minutes. I will tell you when it is over.",
    "Your first meeting begins at ten, and the second one at noon.",
    "The capital of France is Paris. It lies on the river Seine.",
)
SETTINGS = {"ANTIPHON_ROUTER_MODE": "open"}
ALL, QUICK = 50, 4
TIMEOUT_S = 60.0
AFTERMATH_MS = 2_500
"""How long it is listened after an answer: the end of it may be in the microphone still."""


@dataclass
class Echoes:
    """What came of answers that were heard again.

    Attributes:
        turns: texts that the house took for something that was said to it.
        dropped: texts that were understood and came to nothing.
        held: how often the answer was paused or stopped.
        unheard: answers that were not played to their end.
    """

    turns: list[str]
    dropped: list[str]
    held: int = 0
    unheard: int = 0


async def speak(live: LiveHouse, room: Room, bus: Bus, text: str, into: Echoes) -> None:
    """Have an answer spoken, and note what the house makes of it."""
    witness, site = live.witness, room.site
    ask_id = new_id()
    bus.publish_raw(SAY_SITE, orjson.dumps({"text": text, "id": ask_id}), site=site)
    started = await witness.first(
        PlaybackStatus, site, where=lambda status: status.state == "started", timeout_s=TIMEOUT_S
    )
    over = await witness.first(
        PlaybackStatus, site, where=lambda status: status.state != "started", timeout_s=TIMEOUT_S
    )
    await room.play(silence(AFTERMATH_MS)).over()
    into.unheard += over.data.state != "finished"
    answered = {
        answer.turn_id for answer in witness.all(PlainAnswer, site) if answer.data.id != ask_id
    }
    asked = {request.turn_id for request in witness.all(LlmRequest, site)}
    for final in witness.all(SttFinal, site, where=lambda final: bool(final.text)):
        is_turn = final.data.utterance_id in answered | asked
        (into.turns if is_turn else into.dropped).append(final.data.text)
    into.held += len(
        witness.all(
            PlaybackControl,
            site,
            since=started.at,
            where=lambda order: order.action in ("pause", "stop"),
        )
    )
    await live.idle(site, may_listen=True)
    witness.forget()


async def speak_all(live: LiveHouse, count: int, *, echo_cancelled: bool) -> Echoes:
    """Have so many answers spoken."""
    found = Echoes([], [])
    site = "filter" if echo_cancelled else "gate"
    settings = live.settings
    async with (
        open_bus(client_bus(settings), TIMEOUT_S) as bus,
        live.room(site, echo_db=0.0, echo_cancelled=echo_cancelled) as room,
    ):
        for number in range(count):
            room.echo_db = LEVELS_DB[number % len(LEVELS_DB)]
            text = ANSWERS[(number + number // len(LEVELS_DB)) % len(ANSWERS)]
            await speak(live, room, bus, text, found)
    return found


async def measure(options: Options) -> Report:
    """Return how often the house answered itself."""
    report = Report("live_echo", options.quick)
    count = QUICK if options.quick else ALL
    async with live_house(SETTINGS) as live:
        say(f"live_echo: {count} answers, deaf meanwhile")
        gate = await speak_all(live, count, echo_cancelled=False)
        say(f"live_echo: {count} answers, by comparison alone")
        alone = await speak_all(live, count, echo_cancelled=True)
    report.figures = [
        Figure("turns of its own making, with gate", len(gate.turns), "turns", 0),
        Figure("turns of its own making, filter alone", len(alone.turns), "turns", 1),
        Figure("answers held or stopped by themselves, with gate", gate.held, "times", 0),
        Figure("answers held or stopped by themselves, filter alone", alone.held, "times"),
        Figure("answers not played to their end, with gate", gate.unheard, "answers", 0),
        Figure("answers not played to their end, filter alone", alone.unheard, "answers"),
    ]
    report.details = {
        "answers": count,
        "levels_db": LEVELS_DB,
        "gate": {"turns": gate.turns, "dropped": gate.dropped},
        "filter": {"turns": alone.turns, "dropped": alone.dropped},
    }
    return report


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    main("live_echo", measure)
