"""A memory worker that is killed while it is given documents."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from antiphon_contracts import (
    KNOWLEDGE_ADD,
    KNOWLEDGE_LIST,
    PART_BYTES,
    BusError,
    DocumentPart,
    KnowledgeAdd,
    KnowledgeDone,
    KnowledgeList,
    RequestTopic,
    WorkerGone,
    new_id,
)
from antiphon_runtime import Bus
from antiphon_runtime.broker import EmbeddedBroker, embedded_broker
from chaos import WAIT_S, Scale, WorkerProcess, environment_of, transport_to, worker_process

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

SECTIONS = 250
REQUESTS: list[RequestTopic[Any, Any]] = [KNOWLEDGE_ADD, KNOWLEDGE_LIST]


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[EmbeddedBroker]:
    async with embedded_broker(tmp_path / "broker", kind="mosquitto", persistence=False) as broker:
        yield broker


def book(number: int, edition: int) -> bytes:
    """Return a document of as many chunks as sections; an edition changes one in three."""
    sections = (
        f"# Room {n} of house {number}\n\n"
        f"Edition {edition if n % 3 == 0 else 0}: the lamp is in corner {n}. " + "It is warm. " * 30
        for n in range(SECTIONS)
    )
    return "\n\n".join(sections).encode()


async def send(bus: Bus, number: int, edition: int) -> None:
    """Upload a document, each part until it is acknowledged."""
    body = book(number, edition)
    digest, job_id = hashlib.sha256(body).hexdigest(), new_id()
    for part, start in enumerate(range(0, len(body), PART_BYTES)):
        data = base64.b64encode(body[start : start + PART_BYTES]).decode()
        order = KnowledgeAdd(
            job_id=job_id,
            source=f"/books/{number}",
            part=DocumentPart(
                name=f"house {number}.md",
                sha256=digest,
                size_bytes=len(body),
                number=part,
                data=data,
            ),
        )
        await ask(bus, order)


async def ask(bus: Bus, order: KnowledgeAdd) -> KnowledgeDone:
    message_id = new_id()
    while True:
        try:
            done = await bus.request(KNOWLEDGE_ADD, order, timeout_s=60, message_id=message_id)
        except WorkerGone:
            await asyncio.sleep(0.05)
        else:
            assert done.error is None
            return done


async def all_read(bus: Bus) -> None:
    while True:
        try:
            found = await bus.request(KNOWLEDGE_LIST, KnowledgeList(), timeout_s=WAIT_S)
        except BusError:
            await asyncio.sleep(0.1)
            continue
        if found.jobs and all(job.state == "done" for job in found.jobs):
            return
        await asyncio.sleep(0.1)


def look(file: Path) -> list[tuple[int, int, int]]:
    """Return what a reader beside the worker sees: chunks and editions of each document."""
    with closing(sqlite3.connect(file, timeout=10)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return connection.execute(
            "SELECT count(*), count(DISTINCT ordinal),"
            " count(DISTINCT substr(text, instr(text, 'Edition'), 10))"
            " FROM chunks GROUP BY document"
        ).fetchall()


def ended(file: Path) -> int:
    """Return how many documents were read so far."""
    if not file.exists():
        return 0
    with closing(sqlite3.connect(file, timeout=10)) as connection:
        try:
            [(count,)] = connection.execute("SELECT count(*) FROM jobs WHERE state = 'done'")
        except sqlite3.OperationalError:  # its tables are not made yet
            return 0
    return int(count)


async def test_memory_is_killed_while_it_reads(
    broker: EmbeddedBroker, tmp_path: Path, scale: Scale
) -> None:
    kills, editions = scale(50), 3
    books = max(4, kills // 2)
    acknowledged: list[tuple[int, int]] = []
    seen = 0
    file = tmp_path / "data" / "knowledge.sqlite"
    environment = environment_of(
        broker.address,
        ANTIPHON_DATA_DIR=str(tmp_path / "data"),
        ANTIPHON_MODELS_DIR=str(tmp_path / "no models"),
    )

    async def tell(bus: Bus) -> None:
        for edition in range(1, editions + 1):
            for number in range(books):
                await send(bus, number, edition)
                acknowledged.append((number, edition))
        await all_read(bus)

    async def kill(memory: WorkerProcess) -> int:
        nonlocal seen
        for number in range(kills):
            while await asyncio.to_thread(ended, file) <= number:  # noqa: ASYNC110  (nothing tells)
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.013 * (number % 11))  # somewhere in the next one
            await memory.kill()
            for chunks, ordinals, _ in await asyncio.to_thread(look, file):
                assert chunks == ordinals == SECTIONS
                seen += 1
            await memory.start()
        return kills

    async with worker_process("antiphon_memory", tmp_path / "log", environment) as memory:
        bus = Bus(transport_to(broker.address, "person"), source="person")
        bus.install(requests=REQUESTS)
        async with bus.open(), bus.handling(drain_s=0), asyncio.timeout(600):
            await bus.wait_connected(WAIT_S)
            async with asyncio.TaskGroup() as group:
                group.create_task(tell(bus), name="teller")
                group.create_task(kill(memory), name="killer")
        await memory.stop()
    final = look(file)
    scale.record(
        f"memory killed {kills} times while it read {len(acknowledged)} documents",
        f"{len(final)} documents of {SECTIONS} chunks; {seen} looks found none half",
    )
    assert len(acknowledged) == editions * books
    assert final == [(SECTIONS, SECTIONS, 2)] * books
    with closing(sqlite3.connect(file)) as connection:
        [(latest,)] = connection.execute(
            "SELECT count(*) FROM chunks WHERE text LIKE ?", (f"%Edition {editions}:%",)
        )
        [(left,)] = connection.execute("SELECT count(*) FROM parts")
    assert latest == books * len(range(0, SECTIONS, 3))
    assert left == 0
