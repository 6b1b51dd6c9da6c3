"""Four rooms, each with another question at the same moment: each gets its own answer, there."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack

from antiphon.wording import words
from antiphon_contracts import PlainAnswer
from command import Options, main, say
from figures import Figure, Report, spread
from live_house import LiveHouse, live_house
from live_turns import Turn, take_turn
from room import Room
from scenes import Author, Scene
from witness import Sound

QUESTIONS = {
    "kitchen": ("what is twelve times seven", "84"),
    "bath": ("what is nine plus six", "15"),
    "attic": ("what is fifty minus eight", "42"),
    "cellar": ("what is thirty divided by three", "10"),
}
SETTINGS = {"ANTIPHON_ROUTER_FOLLOW_UP_S": "0"}
ROUNDS, QUICK_ROUNDS = 10, 1


def is_right(turn: Turn, expected: str) -> bool:
    """Whether a turn was answered, aloud and rightly."""
    if turn.answer is None or turn.sound is None:
        return False
    said = "".join(word for word in words(turn.answer.data.answer) if word.isdigit())
    return said == expected


async def ask_at_once(
    live: LiveHouse, rooms: Sequence[Room], scenes: Mapping[str, Scene]
) -> dict[str, Turn]:
    """Ask in every room at the same moment."""
    async with asyncio.TaskGroup() as group:
        tasks = {
            room.site: group.create_task(
                take_turn(live, room, scenes[room.site]),
                name=f"room:{room.site}",
            )
            for room in rooms
        }
    return {site: task.result() for site, task in tasks.items()}


def strays(live: LiveHouse, turns: dict[str, Turn]) -> int:
    """Return how many answers or sounds came to a site that did not ask for them."""
    found = 0
    for site, turn in turns.items():
        own = turn.answer.data if turn.answer else None
        found += sum(
            answer.data.turn_id != (own.turn_id if own else "")
            for answer in live.witness.all(PlainAnswer, site)
        )
        heard = {sound.data.utterance_id for sound in live.witness.all(Sound, site)}
        found += len(heard - {own.utterance_id if own else ""})
    return found


async def measure(options: Options) -> Report:
    """Return how many answers were right."""
    report = Report("live_sites", options.quick)
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    right = stray = 0
    wrong: list[str] = []
    times: list[float] = []
    author = Author()
    scenes = {site: author.in_one_breath(text) for site, (text, _) in QUESTIONS.items()}
    async with live_house(SETTINGS) as live, AsyncExitStack() as stack:
        rooms = [await stack.enter_async_context(live.room(site)) for site in QUESTIONS]
        say(f"live_sites: {rounds} times {len(rooms)} questions at once")
        for _ in range(rounds):
            turns = await ask_at_once(live, rooms, scenes)
            for site, turn in turns.items():
                question, expected = QUESTIONS[site]
                if is_right(turn, expected):
                    right += 1
                    assert turn.sound is not None
                    times.append(turn.since_speech_ms(turn.sound.at))
                else:
                    said = turn.answer.data.answer if turn.answer else "no answer"
                    wrong.append(f"{site}: {question} heard as {turn.text!r}: {said}")
            for room in rooms:
                await live.idle(room.site)
            stray += strays(live, turns)
            live.witness.forget()
    asked = rounds * len(QUESTIONS)
    report.figures = [
        Figure("right answers on the right sites", right, "answers", asked, "higher"),
        Figure("answers and sounds elsewhere", stray, "answers", 0),
    ]
    if times:
        report.figures.append(Figure("last sample to first audio: p50", spread(times).p50, "ms"))
        report.details["first_audio_ms"] = spread(times).as_json()
    report.details |= {"asked": asked, "wrong": wrong}
    return report


if __name__ == "__main__":
    sys.setswitchinterval(0.0005)
    main("live_sites", measure)
