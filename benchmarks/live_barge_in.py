"""Interruption: from the wake event to the last sound that the loudspeaker plays.

A long answer is being spoken when somebody says the wake word and a command in one breath; in every
fourth case nothing follows the wake word, and the answer must go on where it was.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from dataclasses import dataclass

import orjson
from antiphon.house import client_bus, open_bus
from antiphon_contracts import (
    SAY_SITE,
    PlaybackControl,
    PlaybackStatus,
    SttFinal,
    TtsSay,
    WakeEvent,
    new_id,
)
from antiphon_runtime import Bus
from command import Options, main, say
from figures import Figure, Report, percentile, spread
from live_house import LiveHouse, live_house
from room import Room
from scenes import Author, Scene, joined, silence

SITE = "bench"
ALL, QUICK = 40, 4
FALSE_EVERY = 4
"""Each so many interruptions are false ones: no words follow."""
STORY = (
    "Once upon a time there was an old fox who lived at the edge of a dark forest. "
    "Every evening he walked down to the river to look at the boats. "
    "One day a young crow sat down beside him and asked where the boats were going. "
    "The fox did not know, but he said that all of them were going home. "
    "The crow thought about it for a while and then flew away over the water."
)
SPOKEN_BEFORE_S = 1.2
SETTINGS = {"ANTIPHON_ROUTER_FOLLOW_UP_S": "0"}
TIMEOUT_S = 20.0
RESUME_TIMEOUT_S = 12.0


@dataclass
class Interruption:
    """What came of one; None is what did not come.

    Attributes:
        wake_delay_ms: end of the wake phrase to its event.
        silent_ms: wake event to the last sound played.
        after: pieces of the answer that were played after the silence, though words followed.
        clauses: of the answer that were sent to be spoken after the wake event.
        resumed: of a false one, whether the answer went on.
        controls: what the loudspeaker was told.
    """

    wake_delay_ms: float | None = None
    silent_ms: float | None = None
    after: int = 0
    clauses: int = 0
    resumed: bool | None = None
    controls: tuple[str, ...] = ()


async def interrupt(
    live: LiveHouse, room: Room, bus: Bus, scene: Scene, *, words_follow: bool
) -> Interruption:
    """Have a story told, and interrupt it."""
    witness, site, found = live.witness, room.site, Interruption()
    payload = orjson.dumps({"text": STORY, "id": new_id()})
    bus.publish_raw(SAY_SITE, payload, site=site)
    started = await witness.first(
        PlaybackStatus, site, where=lambda status: status.state == "started", timeout_s=TIMEOUT_S
    )
    story = started.data.utterance_id
    played = room.play(joined([silence(round(1000 * SPOKEN_BEFORE_S)), scene]))
    await played.over()
    try:
        wake = await witness.first(WakeEvent, site, since=started.at, timeout_s=3.0)
    except TimeoutError:
        await live.idle(site)
        return found
    (wake_mark,) = played.scene.of("wake")
    found.wake_delay_ms = 1000 * (wake.at - played.at(wake_mark.end_ms))
    with suppress(TimeoutError):
        await witness.first(SttFinal, site, since=wake.at, timeout_s=RESUME_TIMEOUT_S)
    await live.idle(site, timeout_s=60.0)
    chunks = [chunk for chunk in room.loudspeaker.chunks if chunk.utterance_id == story]
    gaps = [
        number
        for number in range(1, len(chunks))
        if chunks[number].at > wake.at and chunks[number].at - chunks[number - 1].end > 0.1
    ]
    last = chunks[gaps[0] - 1] if gaps else chunks[-1]
    found.silent_ms = max(0.0, 1000 * (last.end - wake.at))
    later = chunks[gaps[0] :] if gaps else []
    if words_follow:
        found.after = len(later)
        found.clauses = len(
            witness.all(TtsSay, site, since=wake.at, where=lambda s: s.utterance_id == story)
        )
    else:
        found.resumed = bool(later)
    found.controls = tuple(
        order.data.action for order in witness.all(PlaybackControl, site, since=wake.at)
    )
    return found


async def interrupt_all(live: LiveHouse, author: Author, count: int) -> list[Interruption]:
    """Interrupt so many stories."""
    found = []
    settings = live.settings
    wake, words = author.wake(), author.speech("what time is it")
    async with open_bus(client_bus(settings), TIMEOUT_S) as bus, live.room(SITE) as room:
        for number in range(count):
            words_follow = number % FALSE_EVERY != FALSE_EVERY - 1
            scene = wake.then(words) if words_follow else wake
            found.append(await interrupt(live, room, bus, scene, words_follow=words_follow))
            room.loudspeaker.chunks.clear()
            live.witness.forget()
    return found


async def measure(options: Options) -> Report:
    """Return how soon it was silent."""
    report = Report("live_barge_in", options.quick)
    count = QUICK if options.quick else ALL
    author = Author()
    author.in_one_breath("what time is it")  # made before anything is measured
    async with live_house(SETTINGS) as live:
        say(f"live_barge_in: {count} interruptions")
        found = await interrupt_all(live, author, count)
    woken = [one for one in found if one.wake_delay_ms is not None]
    report.figures = [
        Figure("wake words missed while it speaks", len(found) - len(woken), "interruptions"),
        Figure("pieces played after an interruption", sum(o.after for o in woken), "pieces", 0),
        Figure("clauses sent after an interruption", sum(o.clauses for o in woken), "clauses", 0),
    ]
    false = [one.resumed for one in woken if one.resumed is not None]
    if false:
        lost = len(false) - sum(false)
        report.figures.append(Figure("false interruptions not resumed", lost, "stories", 0))
    silent = [one.silent_ms for one in woken if one.silent_ms is not None]
    if silent:
        delays = [one.wake_delay_ms for one in woken if one.wake_delay_ms is not None]
        report.figures += [
            Figure("wake event to last sound: p95", percentile(silent, 0.95), "ms", 150),
            Figure("wake event to last sound: p50", spread(silent).p50, "ms"),
            Figure("end of wake phrase to event: p50", spread(delays).p50, "ms"),
        ]
        report.details["silent_ms"] = spread(silent).as_json()
        report.details["wake_delay_ms"] = spread(delays).as_json()
    report.details["interruptions"] = len(found)
    report.details["orders"] = sorted({" ".join(one.controls) for one in woken})
    return report


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    main("live_barge_in", measure)
