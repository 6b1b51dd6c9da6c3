"""`antiphon demo`: starts everything, asks aloud, and checks what it hears."""

from __future__ import annotations

import asyncio
import re
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from antiphon_audio import wav
from antiphon_contracts import Route
from antiphon_runtime import RuntimeSettings, load_settings
from rich.console import Console

from antiphon import screens, weights
from antiphon.asking import Asked, Questioner, write_speech
from antiphon.house import House, broker_settings, client_bus, keep_house
from antiphon.supervisor import PARTS, Part
from antiphon.transcription import Transcribe, transcriber
from antiphon.wording import word_error_rate

SITE = "demo"
STUDIO = "demo-studio"  # where questions are spoken, unheard by the dialogue
MAX_WER = 0.25
READY_TIMEOUT_S = 120.0
CONNECT_TIMEOUT_S = 15.0


@dataclass(frozen=True)
class Question:
    """What is asked, and what a right answer has.

    Attributes:
        text: spoken by Piper at run time.
        routes: who may answer it.
        expect: words of which one must be in the answer; none is no demand.
    """

    text: str
    routes: tuple[Route, ...]
    expect: tuple[str, ...] = ()


QUESTIONS = (
    Question("What time is it?", ("fast",), ("morning", "afternoon", "evening")),
    Question("What is twelve times seven?", ("fast",), ("84",)),
    Question("Remember that my bicycle is red.", ("fast",), ("red",)),
    Question("What colour is my bicycle?", ("llm", "fast"), ("red",)),
    Question("Who wrote Hamlet?", ("llm",), ("shakespeare",)),
    Question("Who invented the telephone?", ("llm",), ("bell",)),
)


@dataclass
class Result:
    """One question's outcome; `faults` is empty if all is right."""

    question: Question
    asked: Asked
    audio: Path | None
    heard: str
    wer: float
    faults: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the machine-readable form."""
        return {
            "question": self.question.text,
            **self.asked.as_json(self.audio),
            "heard": self.heard,
            "wer": round(self.wer, 3),
            "faults": self.faults,
        }


@asynccontextmanager
async def demo_house(
    runtime: RuntimeSettings, folder: Path, out: Path
) -> AsyncIterator[tuple[House, Questioner, Questioner]]:
    """Run a house of its own, with an empty memory and a file for a loudspeaker."""
    speaker = {
        "ANTIPHON_SATELLITE_SITE": SITE,
        "ANTIPHON_SATELLITE_SPEAKER": "file",
        "ANTIPHON_SATELLITE_MICROPHONE": "null",
        "ANTIPHON_SATELLITE_OUT_DIR": str(out / "loudspeaker"),
        "ANTIPHON_SATELLITE_PACE": "0",
    }
    parts = [
        Part(part.kind, part.module, speaker) if part.kind == "satellite" else part
        for part in PARTS
    ]
    async with broker_settings(folder / "broker", "auto") as (broker, _):
        settings = broker.model_copy(
            update={"data_dir": folder, "models_dir": runtime.models_dir, "base": "antiphon-demo"}
        )
        demo, studio = (
            Questioner(client_bus(settings), SITE),
            Questioner(client_bus(settings), STUDIO),
        )
        async with (
            keep_house(settings, parts=parts) as house,
            demo.asking(CONNECT_TIMEOUT_S),
            studio.asking(CONNECT_TIMEOUT_S),
        ):
            await house.watch.all_ready(READY_TIMEOUT_S)
            yield house, demo, studio


def judge(question: Question, asked: Asked, heard: str) -> list[str]:
    """Return what is wrong with an answer; nothing if it is right."""
    faults = []
    answer = asked.answer
    if answer.error is not None:
        faults.append(f"error: {answer.error}")
    if answer.route not in question.routes:
        faults.append(f"route is {answer.route}, not {' or '.join(question.routes)}")
    if question.expect and not set(question.expect) & set(_plain(answer.answer)):
        faults.append(f"the answer has no {' or '.join(question.expect)!r}")
    if asked.speech is None:
        faults.append("no audio")
    elif (wer := word_error_rate(answer.answer, heard)) > MAX_WER:
        faults.append(f"what was spoken is not the answer (WER {wer:.2f})")
    return faults


def _plain(text: str) -> list[str]:
    return re.findall(r"[a-z]+|[0-9]+", text.lower())


async def ask_all(
    demo: Questioner,
    studio: Questioner,
    transcribe: Transcribe,
    out: Path,
    questions: Sequence[Question] = QUESTIONS,
) -> AsyncIterator[Result]:
    """Ask question after question aloud; each answer is transcribed again and judged."""
    for number, question in enumerate(questions, 1):
        spoken = await studio.dictate(question.text)
        asked = await demo.ask_recording(wav.wrap(spoken))
        audio = await asyncio.to_thread(write_speech, asked, out / f"answer-{number}.wav")
        heard = "" if asked.speech is None else (await transcribe(wav.wrap(asked.speech))).text
        yield Result(
            question,
            asked,
            audio,
            heard,
            word_error_rate(asked.answer.answer, heard),
            judge(question, asked, heard),
        )


async def demo(out: Path | None, console: Console) -> list[Result]:
    """Run the demo and show it on `console`; returns what came of each question.

    Raises:
        AntiphonError: it could not be run at all.
    """
    runtime = load_settings(RuntimeSettings)
    await asyncio.to_thread(weights.fetch, runtime, weights.needed_models(), console)
    with tempfile.TemporaryDirectory(prefix="antiphon-demo-") as name:
        folder = Path(name)
        target = out or Path.cwd() / "demo-out"
        await asyncio.to_thread(lambda: target.mkdir(parents=True, exist_ok=True))
        console.print("starting broker and workers …")
        begun = time.monotonic()
        async with (
            transcriber(runtime) as transcribe,
            demo_house(runtime, folder, target) as (_, asker, studio),
        ):
            console.print(f"all ready after {time.monotonic() - begun:.1f} s\n")
            results = []
            async for result in ask_all(asker, studio, transcribe, target):
                results.append(result)
                _show(result, console)
        _show_verdict(results, target, console)
        return results


def _show(result: Result, console: Console) -> None:
    answer = result.asked.answer
    lines: list[Any] = [
        f"  you     {answer.transcript}",
        f"  answer  {answer.answer}   [{answer.route}]",
        *screens.waterfall(answer.stages, result.asked.first_audio_ms),
        f"    heard back: {result.heard}   (WER {result.wer:.2f})",
        *(f"    WRONG: {fault}" for fault in result.faults),
        "",
    ]
    screens.print_lines(console, lines)


def _show_verdict(results: Sequence[Result], out: Path, console: Console) -> None:
    wrong = [result for result in results if result.faults]
    verdict = (
        f"{len(wrong)} of {len(results)} answers are wrong."
        if wrong
        else f"All {len(results)} spoken questions were answered right, by voice."
    )
    screens.print_lines(console, [verdict, f"The answers' sound is in {out}."])
