from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from antiphon_memory.conversations import Turn
from antiphon_memory.sqlite.conversations import SqliteConversations
from antiphon_memory.testing import NoteBook

pytestmark = pytest.mark.integration

HELLO = Turn("s", "user", "hello", interrupted=False, ts=1.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new" / "folder" / "conversations.sqlite"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteConversations]:
    store = SqliteConversations(path, NoteBook())
    async with asyncio.timeout(30), store.open():
        yield store


async def test_a_repeated_message_is_stored_once_also_after_a_restart(path: Path) -> None:
    for _ in range(2):
        store = SqliteConversations(path, NoteBook())
        async with store.open():
            await store.append("id", HELLO)
            assert await store.newest("s", limit=9, since=0) == [HELLO]


async def test_conversations_are_apart_newest_first_and_pruned(store: SqliteConversations) -> None:
    for number in range(5):
        turn = Turn("s", "user", f"t{number}", interrupted=number == 4, ts=float(number))
        await store.append(f"h{number}", turn)
    await store.append("other", Turn("else", "assistant", "x", interrupted=False, ts=9.0))
    turns = await store.newest("s", limit=2, since=0)
    assert [(turn.text, turn.interrupted) for turn in turns] == [("t4", True), ("t3", False)]
    assert [turn.text for turn in await store.newest("s", limit=9, since=3.5)] == ["t4"]
    await store.prune(before=4.0, replies_before=0.0)
    assert [turn.text for turn in await store.newest("s", limit=9, since=0)] == ["t4"]
