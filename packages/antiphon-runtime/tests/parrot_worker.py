"""A worker as small as can be, run as a process of its own by the tests."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

from antiphon_contracts import (
    ANSWER,
    MEMORY_QUERY,
    SAY,
    ConfigError,
    MemoryQuery,
    MemoryResult,
    MemoryResults,
    Message,
)
from antiphon_runtime import ModelThread, RawMessage, Settings, Wiring, Worker, run
from antiphon_runtime.handlers import listen_raw, serve
from pydantic import Field
from pydantic_settings import SettingsConfigDict


class ParrotSettings(Settings):
    model_config = SettingsConfigDict(env_prefix="ANTIPHON_PARROT_")
    section: ClassVar[str] = "parrot"

    phrase: str = "hello"
    load_s: float = Field(default=0.0, ge=0)
    think_s: float = Field(default=0.0, ge=0)
    model: str = "there"


def build(worker: Worker[ParrotSettings]) -> Wiring:
    settings = worker.settings
    worker.health.engine = "parrot"

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        if settings.model == "missing":
            raise ConfigError("the parrot is missing; fetch it with `antiphon models fetch parrot`")
        with ModelThread("parrot") as thread:
            await thread.call(time.sleep, settings.load_s)
            yield

    async def on_query(message: Message[MemoryQuery]) -> MemoryResults:
        await asyncio.sleep(settings.think_s)
        result = MemoryResult(id="1", text=settings.phrase, source="parrot", score=1.0, ts=0.0)
        return MemoryResults(results=(result,))

    async def on_say(message: RawMessage) -> None:
        await asyncio.sleep(float(message.payload))
        worker.bus.publish_raw(ANSWER, b"said", site="default")

    return Wiring([serve(MEMORY_QUERY, on_query), listen_raw(SAY, on_say)], lifespan=lifespan)


if __name__ == "__main__":
    run("parrot", ParrotSettings, build)
