"""One engine alone in a process, without bus, threads, gate or checks: what a turn cannot undercut.

Told by its parent, it takes the time of one stage: `stt` from a recording to its text, `library`
the same by faster-whisper without us, `llm` from a question to its first clause, `tts` from a text
to its first piece of sound, `chat` from a request to a chat server's first piece of text.
"""

from __future__ import annotations

import asyncio
import base64
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from datetime import datetime
from typing import Any

import children
from antiphon_audio import decode
from antiphon_llm.engine import open_brains
from antiphon_llm.service.question import Question
from antiphon_llm.settings import LlmSettings
from antiphon_models import ModelStore, default_root
from antiphon_router.clauses import ClauseChunker
from antiphon_runtime import RuntimeSettings, load_settings
from antiphon_stt import Hints, SttSettings
from antiphon_stt.engine import faster_whisper, half_of_the_cores
from antiphon_tts.engine import piper
from antiphon_tts.settings import TtsSettings

THREADS = half_of_the_cores(len(os.sched_getaffinity(0)))
Order = dict[str, Any]
Stage = Callable[[Order], Awaitable[str]]
"""Does the order and returns what came of it as text."""


def _models() -> ModelStore:
    return ModelStore(default_root(load_settings(RuntimeSettings).models_dir))


@asynccontextmanager
async def recognition() -> AsyncIterator[Stage]:
    """Decode and transcribe."""
    engine = faster_whisper(SttSettings(), _models())
    engine.load()

    async def transcribe(order: Order) -> str:
        pcm = decode(base64.b64decode(order["recording"]))
        return " ".join(s.text for s in engine.transcribe(pcm, Hints()).segments)

    yield transcribe


@asynccontextmanager
async def library() -> AsyncIterator[Stage]:
    """Decode and transcribe with faster-whisper alone, in the fastest way that it offers."""
    from faster_whisper import WhisperModel

    settings, path = SttSettings(), _models().checked_path("whisper-tiny.en")
    engine = WhisperModel(str(path), compute_type=settings.compute_type, cpu_threads=THREADS)

    async def transcribe(order: Order) -> str:
        pcm = decode(base64.b64decode(order["recording"]))
        found, _ = engine.transcribe(
            pcm.to_float32(), beam_size=1, temperature=0.0, without_timestamps=True
        )
        return " ".join(segment.text for segment in found)

    yield transcribe


@asynccontextmanager
async def language() -> AsyncIterator[Stage]:
    """Generate until the first clause stands."""
    async with open_brains(LlmSettings(provider="embedded"), _models()) as [brain]:

        async def first_clause(order: Order) -> str:
            question = Question(order["text"], datetime.now().astimezone())
            _, prompt = brain.profile.prepare(question, brain.context_tokens)
            chunker = ClauseChunker()
            async with aclosing(brain.model.stream(prompt)) as deltas:
                async for delta in deltas:
                    if clauses := chunker.feed(delta.text):
                        return clauses[0]
            return " ".join(chunker.flush())

        yield first_clause


@asynccontextmanager
async def speech() -> AsyncIterator[Stage]:
    """Synthesise the first piece."""
    engine = piper(TtsSettings(), _models())
    engine.load()

    async def first_piece(order: Order) -> str:
        pieces = engine.synthesize(order["text"], voice=None, speed=1.0)
        return f"{next(pieces).duration_ms:.0f} ms of sound"

    yield first_piece


@asynccontextmanager
async def chat() -> AsyncIterator[Stage]:
    """Ask a chat server with the openai client."""
    import openai

    clients: dict[str, openai.AsyncOpenAI] = {}

    async def first_delta(order: Order) -> str:
        url = order["base_url"]
        if url not in clients:
            clients[url] = openai.AsyncOpenAI(base_url=url, api_key="none")
        stream = await clients[url].chat.completions.create(
            model="scripted-model",
            messages=[{"role": "user", "content": order["text"]}],
            stream=True,
        )
        async with stream:
            async for chunk in stream:
                if chunk.choices and chunk.choices[0].delta.content:
                    return chunk.choices[0].delta.content
        return ""

    yield first_delta
    for client in clients.values():
        await client.close()


def _ms_since(begun: float) -> float:
    return 1000 * (time.perf_counter() - begun)


STAGES: dict[str, Callable[[], AbstractAsyncContextManager[Stage]]] = {
    "stt": recognition,
    "library": library,
    "llm": language,
    "tts": speech,
    "chat": chat,
}


async def serve(name: str) -> None:
    """Do a stage as often as the parent orders it."""
    orders = children.orders()
    await anext(orders)
    async with STAGES[name]() as stage:
        children.answer(ready=name)
        async for order in orders:
            begun = time.perf_counter()
            text = await stage(order)
            children.answer(ms=_ms_since(begun), text=text)


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1]))
