"""From the last sample of speech to the first sound of the answer, endpointing included.

Wake word and question in one breath, in real time, on the fast path and through SmolLM2; when each
stage was reached; against a bare turn, each engine alone and one after the other, from the whole
recording on; and the transcript's time against that of a transcription of the whole utterance that
begins when the end of speech is found, by the house's engine and as faster-whisper does it of
itself. All in the same run.
"""

from __future__ import annotations

import base64
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from antiphon_audio import Pcm, wav
from antiphon_contracts import Route
from children import Child
from command import Options, main, say
from figures import RATIO, Figure, Report, spread
from live_house import LiveHouse, live_house
from live_turns import Turn, quiet_again, take_turn, waterfall
from scenes import PER_MS, Author, Scene
from studio import RATE_HZ
from turn_spoken import Times, bare_turn, engines

SITE = "bench"
QUESTIONS: dict[Route, tuple[str, ...]] = {
    "fast": ("what time is it", "what is twelve times seven", "what day is it today"),
    "llm": ("who wrote Hamlet", "who invented the telephone", "what is the capital of France"),
}
GOALS_MS: dict[Route, tuple[float, float]] = {"fast": (600.0, 900.0), "llm": (900.0, 1300.0)}
BARE_MS: dict[Route, float] = {"fast": 382.0, "llm": 495.0}
"""What a bare turn took on the machine for which the goals were set."""
SETTINGS = {"ANTIPHON_ROUTER_FOLLOW_UP_S": "0", "ANTIPHON_TTS_PHRASE_CACHE_MB": "0"}
TURNS, QUICK_TURNS = 24, 3


@dataclass(frozen=True)
class Asked:
    """A turn and what its stages take by themselves.

    Attributes:
        turn: the turn.
        bare_ms: from the whole recording to the first sound, stage after stage; None if it failed.
        whole_ms: the whole utterance, transcribed when all of it is there.
        library_ms: the same by faster-whisper without us.
    """

    turn: Turn
    bare_ms: float | None
    whole_ms: float
    library_ms: float


async def beside(alone: Mapping[str, Child], turn: Turn, route: Route) -> Asked:
    """Measure what a turn's stages take by themselves."""
    (mark,) = turn.scene.of("speech")
    samples = turn.scene.samples[mark.start_ms * PER_MS : mark.end_ms * PER_MS]
    recording = wav.wrap(Pcm(samples, RATE_HZ))
    encoded = base64.b64encode(recording).decode()
    by_library = await alone["library"].ask({"recording": encoded})
    if turn.answer is None or turn.sound is None or turn.answer.data.route != route:
        whole = await alone["stt"].ask({"recording": encoded})
        return Asked(turn, None, float(whole["ms"]), float(by_library["ms"]))
    times = Times()
    await bare_turn(dict(alone), recording, route, turn.answer.data.answer, times)
    (bare_ms,), (whole_ms,) = times.bare, times.stages["bare stt"]
    return Asked(turn, bare_ms, whole_ms, float(by_library["ms"]))


async def ask_all(
    live: LiveHouse,
    alone: Mapping[str, Child],
    scenes: Mapping[Route, Sequence[Scene]],
    turns: int,
) -> dict[Route, list[Asked]]:
    """Ask so often on each path."""
    found: dict[Route, list[Asked]] = {route: [] for route in QUESTIONS}
    async with live.room(SITE) as room:
        room.loudspeaker.pace = 4.0
        for number in range(-1, turns):
            for route, asked in scenes.items():
                turn = await take_turn(live, room, asked[number % len(asked)])
                measured = await beside(alone, turn, route)
                if number >= 0:  # the first of each warms up
                    found[route].append(measured)
                await quiet_again(live, room)
                live.witness.forget()
    return found


def finals(report: Report, asked: Sequence[Asked]) -> None:
    """Add what the transcript took, against one that begins when the end of speech is found."""
    ours: list[float] = []
    own: list[float] = []
    library: list[float] = []
    for one in asked:
        turn = one.turn
        if turn.final is None or turn.decided_at is None or not turn.text:
            continue
        ours.append(turn.since_speech_ms(turn.final.at))
        decided_ms = turn.since_speech_ms(turn.decided_at)
        own.append(decided_ms + one.whole_ms)
        library.append(decided_ms + one.library_ms)
    if not ours:
        return
    name = "speech end to final: p50 to one begun after endpointing"
    for whose, theirs in (("our own engine", own), ("faster-whisper", library)):
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        report.figures.append(Figure(f"{name}, {whose}", ratio, RATIO, 0.5))
    report.figures.append(Figure("speech end to final: p50", spread(ours).p50, "ms"))
    report.details["speech_end_to_final_ms"] = {
        "ours": spread(ours).as_json(),
        "begun_after_endpointing": spread(own).as_json(),
        "by_faster_whisper": spread(library).as_json(),
    }


def replies(report: Report, route: Route, asked: Sequence[Asked]) -> None:
    """Add how soon answers began on a path."""
    right = [one for one in asked if one.bare_ms is not None]
    failed = len(asked) - len(right)
    report.figures.append(Figure(f"{route}: turns that failed", failed, "turns", 0))
    turns = [one.turn for one in right]
    report.details[route] = {
        "turns": len(asked),
        "ms_after_last_sample": waterfall(turns),
        "heard": sorted({one.turn.text for one in asked}),
    }
    if not right:
        return
    times = [turn.since_speech_ms(turn.sound.at) for turn in turns if turn.sound]
    bare = [one.bare_ms for one in right if one.bare_ms]
    goal_p50, goal_p90 = GOALS_MS[route]
    name = f"{route}: last sample to first audio"
    to_bare = statistics.median(a / b for a, b in zip(times, bare, strict=True))
    report.figures += [
        Figure(f"{name}: p50", spread(times).p50, "ms", goal_p50),
        Figure(f"{name}: p90", spread(times).p90, "ms", goal_p90),
        Figure(f"{name}: p50 to a bare turn", to_bare, RATIO, goal_p50 / BARE_MS[route]),
    ]
    report.details[route]["bare_turn_ms"] = spread(bare).as_json()


async def measure(options: Options) -> Report:
    """Return how soon answers begin."""
    report = Report("live_replies", options.quick)
    turns = QUICK_TURNS if options.quick else TURNS
    author = Author()
    scenes = {
        route: [author.in_one_breath(text) for text in texts] for route, texts in QUESTIONS.items()
    }
    async with live_house(SETTINGS) as live, engines("library") as alone:
        say(f"live_replies: {turns} turns on each path")
        found = await ask_all(live, alone, scenes, turns)
    for route, asked in found.items():
        replies(report, route, asked)
    finals(report, [one for asked in found.values() for one in asked])
    return report


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    main("live_replies", measure)
