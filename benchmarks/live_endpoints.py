"""The end of speech: found in time, and not in the middle of what is said.

Utterances with pauses of up to 600 ms in them, wake word before, in real time, through the whole
house. A cut is a transcript that ends before the last piece was said; a missed end is one that is
not found within 2 s.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from command import Options, main, say
from figures import Figure, Report, spread
from live_house import LiveHouse, live_house
from live_turns import VOICES, Turn, quiet_again, take_turn
from scenes import Author, Scene

SITE = "bench"
SETTINGS = {"ANTIPHON_ROUTER_FOLLOW_UP_S": "0"}
UTTERANCES: tuple[tuple[str, ...], ...] = (
    ("turn on the light", "in the kitchen"),
    ("what is twelve", "times seven"),
    ("set a timer", "for five minutes"),
    ("please tell me", "what time it is"),
    ("add milk and", "bread", "to the shopping list"),
    ("remind me to", "call my sister tomorrow"),
    ("what is the name of", "the highest mountain"),
    ("how far is it from here", "to the sea"),
    ("play the song that", "we heard yesterday"),
    ("I would like to know", "who wrote Hamlet"),
    ("can you", "um", "switch off the heating"),
    ("close the window", "and the door", "in the bedroom"),
    ("what time is it",),
    ("who invented the telephone",),
    ("is there any milk left",),
)
PAUSES_MS = (200, 350, 500, 600)
ALL, QUICK = 60, 4
CUT_MS = 250
"""A transcript that ends this long before the last sample lacks something."""
MISSED_MS = 2_000


def is_cut(turn: Turn) -> bool:
    """Whether the end was found while the person had not finished."""
    if turn.final is None or turn.decided_at is None:
        return False
    if turn.since_speech_ms(turn.decided_at) < 0:
        return True
    final = turn.final.data
    true_end_ms = turn.played.offset_ms + turn.scene.speech_end_ms
    return bool(final.stream) and final.end_ms < true_end_ms - CUT_MS


def is_missed(turn: Turn) -> bool:
    """Whether the end was not found in time."""
    if turn.decided_at is None:
        return True
    return turn.since_speech_ms(turn.decided_at) > MISSED_MS


def hesitation(author: Author, number: int) -> tuple[Scene, int]:
    """Return the utterance of a number, with wake phrase, and the pause in it."""
    parts = UTTERANCES[number % len(UTTERANCES)]
    pause_ms = PAUSES_MS[number // len(UTTERANCES) % len(PAUSES_MS)]
    voice = VOICES[number % len(VOICES)]
    return author.wake(voice).then(author.hesitating(parts, pause_ms, voice)), pause_ms


async def speak_all(live: LiveHouse, scenes: Sequence[tuple[Scene, int]]) -> list[tuple[Turn, int]]:
    """Say these utterances; returns each turn and the pause in it."""
    found = []
    async with live.room(SITE) as room:
        room.loudspeaker.pace = 4.0
        for scene, pause_ms in scenes:
            turn = await take_turn(live, room, scene)
            found.append((turn, pause_ms))
            await quiet_again(live, room)
            live.witness.forget()
    return found


def about(turns: Sequence[tuple[Turn, int]]) -> list[dict[str, Any]]:
    """Return what is to be known of these, for people."""
    return [
        {
            "said": turn.wanted,
            "heard": turn.text,
            "pause_ms": pause_ms,
            "found_ms": None
            if turn.decided_at is None
            else round(turn.since_speech_ms(turn.decided_at)),
        }
        for turn, pause_ms in turns
    ]


async def measure(options: Options) -> Report:
    """Return how ends were found."""
    report = Report("live_endpoints", options.quick)
    count = QUICK if options.quick else ALL
    author = Author()
    scenes = [hesitation(author, number) for number in range(count)]
    async with live_house(SETTINGS) as live:
        say(f"live_endpoints: {count} utterances")
        found = await speak_all(live, scenes)
    woken = [(turn, pause_ms) for turn, pause_ms in found if turn.wake is not None]
    cut = [pair for pair in woken if is_cut(pair[0])]
    missed = [pair for pair in woken if not is_cut(pair[0]) and is_missed(pair[0])]
    report.figures = [
        Figure("false cut-offs", len(cut), "utterances", 2),
        Figure("missed ends", len(missed), "utterances", 0),
        Figure("wake words missed", len(found) - len(woken), "utterances"),
    ]
    whole = [turn for turn, _ in woken if not is_cut(turn) and not is_missed(turn)]
    delays = [turn.since_speech_ms(turn.decided_at) for turn in whole if turn.decided_at]
    finals = [turn.since_speech_ms(turn.final.at) for turn in whole if turn.final]
    if delays:
        report.figures += [
            Figure("true end to end found: p50", spread(delays).p50, "ms", 500),
            Figure("true end to end found: p90", spread(delays).p90, "ms"),
            Figure("true end to final: p50", spread(finals).p50, "ms"),
        ]
    report.details = {"utterances": len(found), "cut": about(cut), "missed": about(missed)}
    return report


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    main("live_endpoints", measure)
