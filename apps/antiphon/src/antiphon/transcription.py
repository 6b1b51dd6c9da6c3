"""Transcription without a running stack: the STT worker's own service, in this process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from antiphon_contracts import SttFinal, new_id
from antiphon_models import ModelStore
from antiphon_runtime import RawMessage, RuntimeSettings, load_engine, load_settings
from antiphon_stt.settings import SttSettings
from antiphon_stt.wiring import gate_opener, make_service
from rich.console import Console

from antiphon import weights
from antiphon.output import print_line
from antiphon.talking import read_recording

Transcribe = Callable[[bytes], Awaitable[SttFinal]]


@asynccontextmanager
async def transcriber(runtime: RuntimeSettings) -> AsyncIterator[Transcribe]:
    """Load the engine that the settings name; yields what turns a recording into a final.

    Raises:
        ConfigError: the engine or its weights are missing; the text says what mends it.
    """
    settings = load_settings(SttSettings)
    engine = load_engine("antiphon.transcribers", settings.engine)(
        settings, ModelStore(runtime.models_dir)
    )
    finals: dict[str, SttFinal] = {}

    def on_final(site_id: str, final: SttFinal) -> None:  # noqa: ARG001  (Announce)
        finals[final.utterance_id] = final

    service = make_service(settings, engine, gate_opener(settings), on_final)

    async def transcribe(recording: bytes) -> SttFinal:
        utterance_id = new_id()
        await service.on_utterance(
            RawMessage({"site": "transcribe", "utterance": utterance_id}, recording)
        )
        return finals.pop(utterance_id)

    async with service.lifespan():
        yield transcribe


async def transcribe_files(files: Sequence[Path]) -> bool:
    """Print what is said in files; with several, a line each: path, tab, text.

    Returns:
        Whether there were words in all of them.

    Raises:
        ConfigError: a file cannot be read, or the engine or its weights are missing.
    """
    runtime = load_settings(RuntimeSettings)
    console = Console(stderr=True)
    recordings = [await asyncio.to_thread(read_recording, path) for path in files]
    await weights.fetch(runtime, weights.hearing_models(), console)
    well = True
    async with transcriber(runtime) as transcribe:
        for path, recording in zip(files, recordings, strict=True):
            final = await transcribe(recording)
            if final.rejected is not None:
                well = False
                print_line(console, f"{path}: {final.rejected}: {final.detail}")
            prefix = f"{path}\t" if len(files) > 1 else ""
            sys.stdout.write(f"{prefix}{final.text}\n")
            sys.stdout.flush()
    return well
