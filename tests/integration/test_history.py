"""The history on real processes: a broker, the memory worker, and the command line."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from antiphon_contracts import (
    HEALTH,
    HISTORY_APPEND,
    HISTORY_QUERY,
    Health,
    HistoryAppend,
    HistoryQuery,
    Message,
    RequestTopic,
)
from antiphon_runtime import Bus, listen
from antiphon_runtime.broker import BrokerAddress, embedded_broker
from chaos import WAIT_S, environment_of, transport_to, worker_process

pytestmark = [pytest.mark.integration, pytest.mark.timeout(120)]


REQUESTS: tuple[RequestTopic[Any, Any], ...] = (HISTORY_APPEND, HISTORY_QUERY)


@dataclass(frozen=True)
class Stack:
    """A broker with a memory worker, and a bus beside them."""

    bus: Bus
    address: BrokerAddress
    environment: dict[str, str]

    async def say(self, text: str, site: str, role: str = "user") -> None:
        said = HistoryAppend.model_validate({"role": role, "text": text})
        done = await self.bus.request(HISTORY_APPEND, said, timeout_s=WAIT_S, site_id=site)
        assert done.error is None

    async def antiphon(self, *arguments: str, answer: str = "") -> tuple[int, str]:
        """Return the exit code of `antiphon history …` and what it wrote."""
        address = self.address
        broker = f"mqtt://{address.username}:{address.password}@{address.host}:{address.port}"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "antiphon", "history", *arguments, "--broker", broker),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**self.environment, "TERM": "dumb"},
        )
        out, _ = await process.communicate(answer.encode())
        return process.returncode or 0, out.decode()


@asynccontextmanager
async def stack_in(folder: Path) -> AsyncIterator[Stack]:
    ready = asyncio.Event()

    async def on_health(message: Message[Health]) -> None:
        if message.data.kind == "memory" and message.data.state in {"ready", "degraded"}:
            ready.set()

    async with embedded_broker(folder / "broker", kind="mosquitto", persistence=False) as broker:
        environment = environment_of(
            broker.address,
            ANTIPHON_DATA_DIR=str(folder),
            ANTIPHON_MODELS_DIR=str(folder / "models"),  # without weights words decide
            ANTIPHON_MEMORY_ENGINE="onnx",
        )
        bus = Bus(transport_to(broker.address, "router-1"), source="router-1")
        bus.install([listen(HEALTH, on_health)], requests=REQUESTS)
        log = folder / "memory.log"
        async with (
            bus.open(),
            bus.handling(drain_s=0),
            worker_process("antiphon_memory", log, environment),
        ):
            async with asyncio.timeout(WAIT_S):
                await ready.wait()
            yield Stack(bus, broker.address, environment)


def on_disk(folder: Path) -> bytes:
    return b"".join(part.read_bytes() for part in folder.glob("conversations.sqlite*"))


async def test_a_conversation_is_found_exported_and_deleted_for_good(tmp_path: Path) -> None:
    async with stack_in(tmp_path) as stack:
        await stack.say("Where is the persimmon?", "kitchen")
        await stack.say("In the garden.", "kitchen", "assistant")
        await stack.say("good night", "attic")

        code, out = await stack.antiphon("list", "--json")
        assert code == 0
        listed = json.loads(out)["sessions"]
        assert [(one["conversation"], one["count"]) for one in listed] == [
            ("attic", 1),
            ("kitchen", 2),
        ]
        kitchen = listed[1]["id"]

        code, out = await stack.antiphon("show", kitchen)
        assert re.search(r"you: Where is the persimmon\?\n.*antiphon: In the garden\.\n", out), out
        code, out = await stack.antiphon("search", "persimmons")
        assert kitchen in out
        exported = tmp_path / "export.jsonl"
        code, out = await stack.antiphon("export", "--site", "kitchen", "--out", str(exported))
        assert (code, out) == (0, "")
        lines = [json.loads(line) for line in exported.read_text().splitlines()]
        assert [(line["number"], line["role"]) for line in lines] == [(0, "user"), (1, "assistant")]

        code, out = await stack.antiphon("delete", kitchen, answer="n\n")
        assert code == 1
        code, out = await stack.antiphon("delete", kitchen, answer="y\n")
        assert code == 0
        assert out.endswith("deleted: 1\n")
        code, out = await stack.antiphon("show", kitchen)
        assert (code, out) == (1, "antiphon: There is no such session.\n")
        assert b"persimmon" not in on_disk(tmp_path)

        left = await stack.bus.request(
            HISTORY_QUERY, HistoryQuery(), timeout_s=WAIT_S, site_id="kitchen"
        )
        assert left.messages == ()


async def test_what_an_older_version_kept_is_there(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "memory.sqlite")) as db, db:
        db.execute(
            "CREATE TABLE history (row INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL,"
            " session_id TEXT NOT NULL, role TEXT NOT NULL, text TEXT NOT NULL,"
            " interrupted INTEGER NOT NULL, ts REAL NOT NULL)"
        )
        db.execute(
            "INSERT INTO history (id, session_id, role, text, interrupted, ts)"
            " SELECT 'i' || value, 'hall', 'user', 'medlar ' || value, 0,"
            " unixepoch('now') - 100 + value FROM json_each('[0, 1, 2]')"
        )
    async with stack_in(tmp_path) as stack:
        code, out = await stack.antiphon("show", "--json")
        assert code == 0, out
        assert [one["text"] for one in json.loads(out)["messages"]] == [
            "medlar 0",
            "medlar 1",
            "medlar 2",
        ]
        found = await stack.bus.request(
            HISTORY_QUERY, HistoryQuery(), timeout_s=WAIT_S, site_id="hall"
        )
        assert len(found.messages) == 3
    with closing(sqlite3.connect(tmp_path / "memory.sqlite")) as db:
        assert db.execute("SELECT count(*) FROM history").fetchone() == (0,)
