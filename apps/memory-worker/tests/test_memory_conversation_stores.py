"""What every store of conversations does: one suite for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from antiphon_memory.conversations import ConversationStore, Session, Turn, first_words_of
from antiphon_memory.redis.conversations import RedisConversations
from antiphon_memory.sqlite.conversations import SqliteConversations
from antiphon_memory.testing import ConversationsInMemory, NoteBook
from storage_servers import RedisServer, running

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(RedisServer(tmp_path_factory.mktemp("redis"))) as server:
        yield server


def store_called(name: str, request: pytest.FixtureRequest, folder: Path) -> ConversationStore:
    if name == "sqlite":
        return SqliteConversations(folder / "conversations.sqlite", NoteBook())
    if name == "redis":
        server: RedisServer = request.getfixturevalue("redis_server")
        return RedisConversations(server.fresh_url(), kept_s=60)
    return ConversationsInMemory()


@pytest.fixture(params=["sqlite", "in-memory", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ConversationStore]:
    store = store_called(request.param, request, tmp_path)
    async with asyncio.timeout(30), store.open():
        yield store


async def say(
    store: ConversationStore,
    text: str,
    ts: float,
    *,
    conversation: str = "s",
    idle_s: float = 10.0,
    longest_s: float = 1000.0,
    interrupted: bool = False,
) -> None:
    turn = Turn(conversation, "user", text, interrupted=interrupted, ts=ts, site_id="hall")
    await store.append(
        f"{conversation}-{hash(text)}", turn, ended_before=ts - idle_s, begun_before=ts - longest_s
    )


async def texts(store: ConversationStore, conversation: str = "s", **more: float) -> list[str]:
    recent = await store.recent(conversation, since=more.get("since", 0.0), limit=400)
    return [] if recent is None else [turn.text for turn in recent.turns]


async def sessions(store: ConversationStore, conversation: str | None = None) -> list[Session]:
    return await store.sessions(conversation=conversation, skip=0, limit=100)


async def test_a_repeated_message_is_stored_once(store: ConversationStore) -> None:
    hello = Turn("s", "user", "hello", interrupted=False, ts=1.0, site_id="hall")
    for _ in range(2):
        await store.append("id", hello, ended_before=0.0, begun_before=0.0)
    recent = await store.recent("s", since=0.0, limit=9)
    assert recent is not None
    assert recent.turns == [hello]
    assert recent.session.count == 1


async def test_the_newest_come_first_of_their_own_conversation(store: ConversationStore) -> None:
    for number in range(5):
        await say(store, f"t{number}", float(number), interrupted=number == 4)
    await say(store, "x", 9.0, conversation="else")
    recent = await store.recent("s", since=0.0, limit=2)
    assert recent is not None
    assert [(turn.text, turn.interrupted) for turn in recent.turns] == [("t4", True), ("t3", False)]
    assert await texts(store, "else") == ["x"]
    assert await store.recent("nobody", since=0.0, limit=2) is None


async def test_a_silence_ends_a_session_and_so_does_a_very_long_one(
    store: ConversationStore,
) -> None:
    await say(store, "first words\nof all", 0.0)
    await say(store, "b", 10.0)
    await say(store, "c", 20.1)
    for number in range(10):
        await say(store, f"d{number}", 30.0 + number, longest_s=15.0)
    newest, middle, oldest = await sessions(store)
    assert (oldest.count, oldest.begin, oldest.end, oldest.first_words) == (
        2,
        0.0,
        10.0,
        "first words of all",
    )
    assert (oldest.conversation, oldest.site_id) == ("s", "hall")
    assert (middle.begin, middle.end) == (20.1, 35.0)
    assert (newest.begin, newest.count) == (36.0, 4)
    assert await texts(store) == ["d9", "d8", "d7", "d6"]
    assert await texts(store, since=39.1) == []
    assert len({session.id for session in await sessions(store)}) == 3


async def test_a_clock_that_is_set_back_takes_no_session_apart(store: ConversationStore) -> None:
    await say(store, "a", 100.0)
    await say(store, "b", 90.0)
    (session,) = await sessions(store)
    assert (session.count, session.end) == (2, 100.0)
    assert await texts(store) == ["b", "a"]


async def test_sessions_and_turns_come_by_pages(store: ConversationStore) -> None:
    for number in range(5):
        await say(store, f"t{number}", number * 100.0, conversation="ab"[number % 2])
    ends = [session.end for session in await sessions(store)]
    assert ends == [400.0, 300.0, 200.0, 100.0, 0.0]
    page = await store.sessions(conversation="a", skip=1, limit=1)
    assert [session.first_words for session in page] == ["t2"]
    for number in range(5):
        await say(store, f"u{number}", 401.0 + number, conversation="a")
    (newest,) = await store.sessions(conversation=None, skip=0, limit=1)
    assert newest.count == 6
    turns = await store.turns(newest.id, skip=2, limit=3)
    assert [turn.text for turn in turns] == ["u1", "u2", "u3"]
    assert turns[0] == Turn("a", "user", "u1", interrupted=False, ts=402.0, site_id="hall")
    assert await store.session(newest.id) == newest
    assert await store.session("nobody's") is None
    assert await store.turns("nobody's", skip=0, limit=3) == []


async def test_words_are_found_newest_first_all_of_them(
    store: ConversationStore,
) -> None:
    await say(store, "the red bicycle", 1.0)
    await say(store, "RED is my other bicycle", 2.0, conversation="else")
    await say(store, "a blue bicycle", 3.0)
    found = await store.search(["red", "bicycle"], conversation=None, skip=0, limit=9)
    assert [one.turn.text for one in found] == ["RED is my other bicycle", "the red bicycle"]
    assert found[0].session_id == (await sessions(store, "else"))[0].id
    only = await store.search(["bicycle"], conversation="s", skip=1, limit=9)
    assert [one.turn.text for one in only] == ["the red bicycle"]
    for strange in ('"', "NEAR", "a OR b", "*", "_"):
        assert await store.search([strange, "zebra"], conversation=None, skip=0, limit=9) == []


async def test_a_summary_stands_for_the_oldest_and_never_goes_back(
    store: ConversationStore,
) -> None:
    for number in range(6):
        await say(store, f"t{number}", float(number))
    (session,) = await sessions(store)
    assert not await store.summarise("nobody's", "x", covered=1)
    assert not await store.summarise(session.id, "too many", covered=7)
    assert await store.summarise(session.id, "they counted", covered=4)
    assert not await store.summarise(session.id, "again", covered=4)
    recent = await store.recent("s", since=0.0, limit=9)
    assert recent is not None
    assert (recent.session.summary, recent.session.covered) == ("they counted", 4)
    assert [turn.text for turn in recent.turns] == ["t5", "t4"]
    assert await store.summarise(session.id, "all", covered=6)
    recent = await store.recent("s", since=0.0, limit=9)
    assert recent is not None
    assert recent.turns == []


async def test_delete_says_what_was_there_also_when_asked_again(store: ConversationStore) -> None:
    await say(store, "a", 1.0)
    await say(store, "b", 1.0, conversation="else")
    (session,) = await sessions(store, "s")
    assert await store.delete("d", [session.id, "nobody's"]) == [session.id]
    assert await store.delete("d", [session.id]) == [session.id]
    assert await store.delete("e", [session.id]) == []
    assert await store.session(session.id) is None
    assert await store.turns(session.id, skip=0, limit=9) == []
    assert await store.search(["a"], conversation=None, skip=0, limit=9) == []
    assert await texts(store) == []
    assert await texts(store, "else") == ["b"]


async def test_old_sessions_are_pruned_whole(store: ConversationStore) -> None:
    await say(store, "a", 1.0)
    await say(store, "b", 5.0)
    await say(store, "c", 100.0)
    await store.prune(before=5.0, replies_before=0.0)
    assert [session.count for session in await sessions(store)] == [1, 2]
    await store.prune(before=5.1, replies_before=0.0)
    assert [session.first_words for session in await sessions(store)] == ["c"]


@pytest.mark.parametrize(
    ("text", "words"),
    [(" a\n b ", "a b"), ("word " * 30, f"{'word ' * 14}word…"), ("x" * 90, "x" * 79 + "…")],
)
def test_first_words_stand_on_one_line(text: str, words: str) -> None:
    assert first_words_of(text) == words
    assert len(words) <= 80
