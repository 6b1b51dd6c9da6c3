"""Whole spoken turns on real models: from the end of speech to the answer's first sound.

The house as `antiphon demo` runs it, on the fast path and through the language model, against the
sum of its bare stages, each engine alone in a process, turn by turn in one run.
"""

from __future__ import annotations

import base64
import statistics
import tempfile
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from antiphon.asking import Asked, Questioner
from antiphon.demo import demo_house
from antiphon_audio import wav
from antiphon_contracts import Route
from antiphon_router.clauses import ClauseChunker, speakable
from antiphon_runtime import RuntimeSettings, load_settings
from children import Child, child
from command import say
from figures import RATIO, Figure, Report, block_ratio, percentile, rotated, spread

QUESTIONS: dict[Route, tuple[str, ...]] = {
    "fast": ("What time is it?", "What is twelve times seven?"),
    "llm": ("Who wrote Hamlet?", "Who invented the telephone?"),
}
ENGINES = ("stt", "llm", "tts")
"""The stages of a bare turn."""


@dataclass
class Times:
    """What one path's turns took, in ms, a value a turn."""

    house: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    stages: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


@asynccontextmanager
async def engines(*more: str) -> AsyncIterator[dict[str, Child]]:
    """Run each engine alone in a process, and more stages."""
    async with AsyncExitStack() as stack:
        yield {
            name: await stack.enter_async_context(child("bare_stages.py", name, config={}))
            for name in (*ENGINES, *more)
        }


@asynccontextmanager
async def asked_house() -> AsyncIterator[tuple[Questioner, Questioner]]:
    """Run the demo's house; yields who asks, and who speaks the questions."""
    with tempfile.TemporaryDirectory(prefix="antiphon-bench-") as name:
        folder = Path(name)
        runtime = load_settings(RuntimeSettings)
        async with demo_house(runtime, folder, folder / "out") as (_, asker, studio):
            yield asker, studio


async def house_turn(asker: Questioner, recording: bytes, route: Route, times: Times) -> Asked:
    """Ask the house and note its times.

    Raises:
        RuntimeError: it took another path, or failed.
    """
    asked = await asker.ask_recording(recording)
    answer = asked.answer
    if asked.first_audio_ms is None or answer.route != route or answer.error:
        msg = f"{answer.transcript!r} was answered by {answer.route}: {answer.error or 'unheard'}"
        raise RuntimeError(msg)
    times.house.append(asked.first_audio_ms)
    for stage in answer.stages:
        times.stages[f"house {stage.name}"].append(stage.end_ms - stage.start_ms)
    return asked


async def bare_turn(
    alone: dict[str, Child], recording: bytes, route: Route, answer: str, times: Times
) -> None:
    """Go through the stages one after the other, and note their times."""
    encoded = base64.b64encode(recording).decode()
    heard = await alone["stt"].ask({"recording": encoded})
    total_ms = float(heard["ms"])
    times.stages["bare stt"].append(total_ms)
    clause = _first_clause(answer)
    if route == "llm":
        thought = await alone["llm"].ask({"text": heard["text"].strip()})
        times.stages["bare llm"].append(thought["ms"])
        total_ms += thought["ms"]
        clause = thought["text"]
    spoken = await alone["tts"].ask({"text": speakable(clause)})
    times.stages["bare tts"].append(spoken["ms"])
    times.bare.append(total_ms + spoken["ms"])


def _first_clause(answer: str) -> str:
    chunker = ClauseChunker()
    return [*chunker.feed(answer), *chunker.flush()][0]


async def compare(turns: int) -> dict[Route, Times]:
    """Ask so often on each path."""
    found: dict[Route, Times] = {route: Times() for route in QUESTIONS}
    async with asked_house() as (asker, studio), engines() as alone:
        recordings = {
            text: wav.wrap(await studio.dictate(text))
            for texts in QUESTIONS.values()
            for text in texts
        }
        answers = {}
        for route, texts in QUESTIONS.items():
            for text in texts:  # which also warms up
                asked = await house_turn(asker, recordings[text], route, Times())
                answers[text] = asked.answer.answer
                await bare_turn(alone, recordings[text], route, answers[text], Times())
        for number in range(turns):
            for route, texts in QUESTIONS.items():
                text, times = texts[number // 2 % len(texts)], found[route]
                for who in rotated(("house", "bare"), number):
                    if who == "house":
                        await house_turn(asker, recordings[text], route, times)
                    else:
                        await bare_turn(alone, recordings[text], route, answers[text], times)
    return found


async def measure(report: Report, turns: int) -> None:
    """Add the spoken turns' times and their ratios to the bare stages."""
    say(f"turn: {turns} spoken turns on each path, on real models")
    p90 = partial(percentile, share=0.9)
    for route, times in (await compare(turns)).items():
        pairs = block_ratio([[ms] for ms in times.house], [[ms] for ms in times.bare])
        report.figures += [
            Figure(f"spoken, {route}: p50 to bare stages", pairs, RATIO, 1.2),
            Figure(
                f"spoken, {route}: p90 to bare stages", p90(times.house) / p90(times.bare), RATIO
            ),
            Figure(f"spoken, {route}: p50", spread(times.house).p50, "ms"),
            Figure(f"spoken, {route}: p90", spread(times.house).p90, "ms"),
        ]
        report.details[f"spoken_{route}_ms"] = {
            "turns": len(times.house),
            "house": spread(times.house).as_json(),
            "bare": spread(times.bare).as_json(),
            "stages": {name: round(statistics.median(ms), 1) for name, ms in times.stages.items()},
        }
