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
from antiphon_contracts import AntiphonError, ConfigError, PlainAnswer, Route
from antiphon_runtime import RuntimeSettings, load_settings
from rich.console import Console

from antiphon import screens, weights
from antiphon.asking import Asked, Questioner, write_speech
from antiphon.house import House, broker_settings, client_bus, keep_house
from antiphon.interrupts import until_interrupted
from antiphon.output import print_line
from antiphon.supervisor import PARTS, Part
from antiphon.transcription import Transcribe, transcriber
from antiphon.wording import word_error_rate

SITE = "demo"
STUDIO = "demo-studio"  # where questions are spoken, unheard by the dialogue
MAX_WER = 0.25
SLIP_WER = 0.5
"""Of one answer in a run: the small recogniser errs on names. Other words give about 1."""

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
    Question("Set a timer for ten minutes.", ("fast",), ("10", "ten")),
    Question("How much time is left on the timer?", ("fast",), ("minutes",)),
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
    """Run a house of its own, with an empty memory and a file for a loudspeaker.

    Its logs go to `out`, so that they can be read when all is over.
    """
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
        demo, studio = (Questioner(client_bus(settings), site) for site in (SITE, STUDIO))
        async with (
            keep_house(settings, parts=parts, log_dir=out / "logs") as house,
            demo.asking(CONNECT_TIMEOUT_S),
            studio.asking(CONNECT_TIMEOUT_S),
        ):
            await house.all_ready(READY_TIMEOUT_S)
            yield house, demo, studio


def judge(question: Question, asked: Asked, heard: str, *, max_wer: float = MAX_WER) -> list[str]:
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
    elif (wer := word_error_rate(answer.answer, heard)) > max_wer:
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
    max_wer = SLIP_WER
    for number, question in enumerate(questions, 1):
        try:
            spoken = await studio.dictate(question.text)
            asked = await demo.ask_recording(wav.wrap(spoken))
        except AntiphonError as error:
            asked = _unanswered(str(error))
        audio = await asyncio.to_thread(write_speech, asked, out / f"answer-{number}.wav")
        heard = "" if asked.speech is None else (await transcribe(wav.wrap(asked.speech))).text
        wer = word_error_rate(asked.answer.answer, heard)
        faults = judge(question, asked, heard, max_wer=max_wer)
        if wer > MAX_WER:
            max_wer = MAX_WER
        yield Result(question, asked, audio, heard, wer, faults)


def _unanswered(reason: str) -> Asked:
    answer = PlainAnswer(turn_id="", transcript="", answer="", route="none", error=reason)
    return Asked(answer, None, None)


async def demo(out: Path | None, console: Console) -> list[Result] | None:
    """Run the demo and show it on `console`; returns what came of each question.

    Ctrl-C or SIGTERM ends it in good order, a second one at once; it returns None then.

    Raises:
        AntiphonError: it could not be run at all.
    """
    results: list[Result] = []
    houses: list[House] = []

    def on_first() -> None:
        print_line(console, "stopping")

    def on_again() -> None:
        for house in houses:
            house.supervisor.kill_all()

    work = _run(out or Path.cwd() / "demo-out", console, houses, results)
    return None if await until_interrupted(work, on_first, on_again) else results


async def _run(out: Path, console: Console, houses: list[House], results: list[Result]) -> None:
    runtime = load_settings(RuntimeSettings)
    await asyncio.to_thread(_make_folder, out)
    await weights.fetch(runtime, weights.needed_models(), console)
    with tempfile.TemporaryDirectory(prefix="antiphon-demo-") as folder:
        print_line(console, "starting broker and workers …")
        begun = time.monotonic()
        async with (
            transcriber(runtime) as transcribe,
            demo_house(runtime, Path(folder), out) as (house, asker, studio),
        ):
            houses.append(house)
            print_line(console, f"all ready after {time.monotonic() - begun:.1f} s\n")
            async for result in ask_all(asker, studio, transcribe, out):
                results.append(result)
                _show(result, console)
    _show_verdict(results, out, console)


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{path} cannot be made: {error.strerror}; name another folder with --out"
        raise ConfigError(msg) from error


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
    for line in lines:
        print_line(console, line)


def _show_verdict(results: Sequence[Result], out: Path, console: Console) -> None:
    wrong = [result for result in results if result.faults]
    verdict = (
        f"{len(wrong)} of {len(results)} answers are wrong."
        if wrong
        else f"All {len(results)} spoken questions were answered right, by voice."
    )
    print_line(console, verdict)
    print_line(console, f"The answers' sound is in {out}.")
