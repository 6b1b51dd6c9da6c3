"""A worker that writes down each request it carries out, run as a process of its own."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import ClassVar

from antiphon_contracts import MEMORY_QUERY, MemoryQuery, MemoryResult, MemoryResults, Message
from antiphon_runtime import Settings, Wiring, Worker, run, serve
from pydantic import Field
from pydantic_settings import SettingsConfigDict


class CountingSettings(Settings):
    model_config = SettingsConfigDict(env_prefix="ANTIPHON_COUNTING_")
    section: ClassVar[str] = "counting"

    ledger: Path
    clock_off_s: float = 0.0
    work_s: float = Field(default=0.0, ge=0)


def build(worker: Worker[CountingSettings]) -> Wiring:
    true_time = time.time
    # As on a machine whose clock has no battery: the monotonic clock is right.
    time.time = lambda: true_time() + worker.settings.clock_off_s
    ledger = os.open(worker.settings.ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    async def on_query(message: Message[MemoryQuery]) -> MemoryResults:
        # One small append: it is whole or not there, also after SIGKILL.
        os.write(ledger, f"{message.id}\n".encode())
        await asyncio.sleep(worker.settings.work_s)
        found = MemoryResult(id=message.id, text="counted", source="ledger", score=1.0, ts=0.0)
        return MemoryResults(results=(found,))

    return Wiring([serve(MEMORY_QUERY, on_query, concurrency=8, queue_limit=2_000, shared=True)])


if __name__ == "__main__":
    run("memory", CountingSettings, build)
