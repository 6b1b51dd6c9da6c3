"""From the last sample of speech to the first sound of the answer, endpointing included.

Wake word and question in one breath, in real time, on the fast path and through SmolLM2; when each
stage was reached; and the transcript's time against that of a transcription of the whole utterance
that begins when the end of speech is found, in the same run.
"""

from __future__ import annotations

import base64
import statistics
import sys
from collections.abc import Mapping, Sequence

from antiphon_audio import Pcm, wav
from antiphon_contracts import Route
from children import Child, child
from command import Options, main, say
from figures import RATIO, Figure, Report, spread
from live_house import LiveHouse, live_house
from live_turns import Turn, quiet_again, take_turn, waterfall
from scenes import PER_MS, Author, Scene
from studio import RATE_HZ

SITE = "bench"
QUESTIONS: dict[Route, tuple[str, ...]] = {
    "fast": ("what time is it", "what is twelve times seven", "what day is it today"),
    "llm": ("who wrote Hamlet", "who invented the telephone", "what is the capital of France"),
}
GOALS_MS: dict[Route, tuple[float, float]] = {"fast": (600.0, 900.0), "llm": (900.0, 1300.0)}
SETTINGS = {"ANTIPHON_ROUTER_FOLLOW_UP_S": "0", "ANTIPHON_TTS_PHRASE_CACHE_MB": "0"}
TURNS, QUICK_TURNS = 24, 3


async def whole_utterance_ms(bare: Child, turn: Turn) -> float:
    """Return what the whole utterance takes to transcribe, begun when all of it is there."""
    (mark,) = turn.scene.of("speech")
    samples = turn.scene.samples[mark.start_ms * PER_MS : mark.end_ms * PER_MS]
    recording = base64.b64encode(wav.wrap(Pcm(samples, RATE_HZ))).decode()
    return float((await bare.ask({"recording": recording}))["ms"])


async def ask_all(
    live: LiveHouse, bare: Child, scenes: Mapping[Route, Sequence[Scene]], turns: int
) -> dict[Route, list[tuple[Turn, float]]]:
    """Ask so often on each path; returns each turn and its whole-utterance transcription."""
    found: dict[Route, list[tuple[Turn, float]]] = {route: [] for route in QUESTIONS}
    async with live.room(SITE) as room:
        room.loudspeaker.pace = 4.0
        for number in range(-1, turns):
            for route, asked in scenes.items():
                turn = await take_turn(live, room, asked[number % len(asked)])
                whole_ms = await whole_utterance_ms(bare, turn)
                if number >= 0:  # the first of each warms up
                    found[route].append((turn, whole_ms))
                await quiet_again(live, room)
                live.witness.forget()
    return found


def finals(report: Report, turns: Sequence[tuple[Turn, float]]) -> None:
    """Add what the transcript took, against one that begins when the end of speech is found."""
    ours, theirs, works = [], [], []
    for turn, whole_ms in turns:
        if turn.final is None or turn.decided_at is None or not turn.text:
            continue
        ours.append(turn.since_speech_ms(turn.final.at))
        theirs.append(turn.since_speech_ms(turn.decided_at) + whole_ms)
        works.append(turn.final.data.final_ms / whole_ms)
    if not ours:
        return
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    report.figures += [
        Figure("speech end to final: p50 to one begun after endpointing", ratio, RATIO, 0.5),
        Figure(
            "end of speech found to final: p50 to a whole transcription",
            statistics.median(works),
            RATIO,
            0.5,
        ),
        Figure("speech end to final: p50", spread(ours).p50, "ms"),
    ]
    report.details["speech_end_to_final_ms"] = {
        "ours": spread(ours).as_json(),
        "begun_after_endpointing": spread(theirs).as_json(),
    }


async def measure(options: Options) -> Report:
    """Return how soon answers begin."""
    report = Report("live_replies", options.quick)
    turns = QUICK_TURNS if options.quick else TURNS
    author = Author()
    scenes = {
        route: [author.in_one_breath(text) for text in texts] for route, texts in QUESTIONS.items()
    }
    async with live_house(SETTINGS) as live, child("bare_stages.py", "stt", config={}) as bare:
        say(f"live_replies: {turns} turns on each path")
        found = await ask_all(live, bare, scenes, turns)
    for route, pairs in found.items():
        right = [
            turn
            for turn, _ in pairs
            if turn.sound is not None and turn.answer and turn.answer.data.route == route
        ]
        report.figures.append(
            Figure(f"{route}: turns that failed", len(pairs) - len(right), "turns", 0)
        )
        if right:
            times = [turn.since_speech_ms(turn.sound.at) for turn in right if turn.sound]
            goal_p50, goal_p90 = GOALS_MS[route]
            report.figures += [
                Figure(
                    f"{route}: last sample to first audio: p50", spread(times).p50, "ms", goal_p50
                ),
                Figure(
                    f"{route}: last sample to first audio: p90", spread(times).p90, "ms", goal_p90
                ),
            ]
        report.details[route] = {
            "turns": len(pairs),
            "ms_after_last_sample": waterfall(right),
            "heard": sorted({turn.text for turn, _ in pairs}),
        }
    finals(report, [pair for pairs in found.values() for pair in pairs])
    return report


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    main("live_replies", measure)
