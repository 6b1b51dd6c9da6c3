"""Transcription without a running stack: the STT worker's own service, in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from antiphon_contracts import SttFinal, new_id
from antiphon_models import ModelStore
from antiphon_runtime import RawMessage, RuntimeSettings, load_engine, load_settings
from antiphon_stt.settings import SttSettings
from antiphon_stt.wiring import gate_opener, make_service

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
