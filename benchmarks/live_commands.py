"""Commands in one breath with the wake word: the first word is kept, the wake phrase is not.

Each command's first sample follows the wake phrase's last one. Several voices and speeds, real
time, through wake worker, recogniser and router. Only commands are taken whose first word the
recogniser understands when it hears the command alone: what is lost is lost at the seam.
"""

from __future__ import annotations

import asyncio
import base64
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from antiphon.wording import word_error_rate
from antiphon_audio import Pcm, wav
from children import Child, child
from command import Options, main, say
from figures import Figure, Report, spread
from live_house import LiveHouse, live_house
from live_turns import VOICES, Turn, first_word_kept, has_wake_phrase, quiet_again, take_turn
from scenes import PER_MS, Author, Scene
from studio import RATE_HZ, Voice

SITE = "bench"
COMMANDS = (
    "what time is it",
    "turn on the kitchen light",
    "what is twelve times seven",
    "set a timer for five minutes",
    "who wrote Hamlet",
    "tell me the date",
    "is it raining outside",
    "play some quiet music",
    "how tall is the highest mountain",
    "stop the washing machine",
    "can you tell me what time it is",
    "lower the blinds in the bedroom",
    "which day is it today",
    "add milk to the shopping list",
    "where is the nearest bakery",
    "remind me to call my sister",
    "open the garage door",
    "when does the sun rise",
    "please make it a bit warmer",
    "read the news of today",
)
SETTINGS = {"ANTIPHON_ROUTER_FOLLOW_UP_S": "0"}
ALL, QUICK = 40, 4
TRIED_AT_MOST = 3


@dataclass(frozen=True)
class Command:
    """A command as one voice says it.

    Attributes:
        text: the words.
        voice: who says it.
        scene: the wake phrase and the command.
        alone: what the recogniser makes of the command alone.
    """

    text: str
    voice: Voice
    scene: Scene
    alone: str


def cast(number: int) -> tuple[str, Voice]:
    """Return the command and the voice of a number."""
    text = COMMANDS[number % len(COMMANDS)]
    return text, VOICES[(number + number // len(COMMANDS) * 5) % len(VOICES)]


async def heard_alone(bare: Child, scene: Scene) -> str:
    """Return what the recogniser makes of a scene's speech, cut out by hand."""
    (mark,) = scene.of("speech")
    samples = scene.samples[mark.start_ms * PER_MS : mark.end_ms * PER_MS]
    recording = base64.b64encode(wav.wrap(Pcm(samples, RATE_HZ))).decode()
    return str((await bare.ask({"recording": recording}))["text"]).strip()


async def cast_all(bare: Child, count: int) -> tuple[list[Command], int]:
    """Return so many commands, and how many were put aside because they are not understood."""
    author, found, aside = Author(), list[Command](), 0
    for number in range(TRIED_AT_MOST * count):
        text, voice = cast(number)
        scene = await asyncio.to_thread(author.in_one_breath, text, voice)
        alone = await heard_alone(bare, scene)
        if first_word_kept(text, alone):
            found.append(Command(text, voice, scene, alone))
        else:
            aside += 1
        if len(found) == count:
            break
    return found, aside


async def speak_all(
    live: LiveHouse, commands: Sequence[Command]
) -> list[tuple[Turn, dict[str, Any]]]:
    """Say these commands; returns each turn and what there is to know about it."""
    found = []
    async with live.room(SITE) as room:
        room.loudspeaker.pace = 4.0  # what is answered does not matter here
        for command in commands:
            turn = await take_turn(live, room, command.scene)
            voice = command.voice
            about = {
                "said": command.text,
                "voice": f"{voice.name} x{voice.speed:g} {voice.cents:+d}",
                "heard": turn.text,
                "alone": command.alone,
                "woken": turn.wake is not None,
                "rejected": turn.final.data.rejected if turn.final else "no final",
            }
            found.append((turn, about))
            await quiet_again(live, room)
            live.witness.forget()
    return found


def judged(report: Report, found: list[tuple[Turn, dict[str, Any]]]) -> None:
    """Add what came of the commands."""
    kept = [first_word_kept(about["said"], about["heard"]) for _, about in found]
    errors = [word_error_rate(about["said"], about["heard"]) for _, about in found]
    errors_alone = [word_error_rate(about["said"], about["alone"]) for _, about in found]
    delays = [ms for turn, _ in found if (ms := turn.since_wake_ms()) is not None]
    report.figures = [
        Figure("first words kept", sum(kept), "commands", len(found), "higher"),
        Figure(
            "wake phrases in transcripts",
            sum(has_wake_phrase(about["heard"]) for _, about in found),
            "commands",
            0,
        ),
        Figure("wake words missed", sum(turn.wake is None for turn, _ in found), "commands"),
        Figure("WER: mean", statistics.mean(errors), "of words"),
        Figure("WER of the commands alone: mean", statistics.mean(errors_alone), "of words"),
    ]
    if delays:
        report.figures.append(Figure("end of wake phrase to event: p50", spread(delays).p50, "ms"))
    report.details = {
        "commands": len(found),
        "wake_delay_ms": spread(delays).as_json() if delays else {},
        "not_kept": [about for (_, about), there in zip(found, kept, strict=True) if not there],
        "with_wake_phrase": [about for _, about in found if has_wake_phrase(about["heard"])],
    }


async def measure(options: Options) -> Report:
    """Return what became of the commands."""
    report = Report("live_commands", options.quick)
    count = QUICK if options.quick else ALL
    async with child("bare_stages.py", "stt", config={}) as bare:
        commands, aside = await cast_all(bare, count)
    async with live_house(SETTINGS) as live:
        say(f"live_commands: {len(commands)} commands in one breath")
        judged(report, await speak_all(live, commands))
    report.details["not_understood_alone"] = aside
    return report


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    main("live_commands", measure)
