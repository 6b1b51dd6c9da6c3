"""Conversations on a real Redis server: what the suite for all stores does not ask."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import orjson
import pytest
from antiphon_contracts import ConfigError, EngineError
from antiphon_memory import redis as redis_store
from antiphon_memory.conversations import Turn
from antiphon_memory.redis import conversations
from antiphon_memory.redis.conversations import RedisConversations
from antiphon_memory.settings import MemorySettings
from antiphon_memory.testing import NoteBook
from antiphon_runtime.broker.address import free_port
from pydantic import SecretStr
from redis import Redis
from storage_servers import RedisServer, running

pytestmark = pytest.mark.integration

HELLO = Turn("kitchen", "user", "hello", interrupted=False, ts=1.0)
ROOT = "antiphon:{conversations}:"
ORDERS = ("ends", "expiries", "of:kitchen")
PATIENCE_S = 20


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running(RedisServer(tmp_path_factory.mktemp("redis"))) as server:
        yield server


@pytest.fixture
def url(server: RedisServer) -> str:
    return server.fresh_url()


@pytest.fixture
def client(url: str) -> Iterator[Redis]:
    with Redis.from_url(url) as client:
        yield client


def built(url: str, **more: float) -> RedisConversations:
    settings = MemorySettings.model_validate({"redis_url": SecretStr(url), **more})
    return redis_store.conversation_store(settings, Path("/nowhere"), NoteBook())


@asynccontextmanager
async def opened(store: RedisConversations) -> AsyncIterator[RedisConversations]:
    async with asyncio.timeout(30), store.open():
        yield store


async def put(store: RedisConversations, name: str, turn: Turn = HELLO) -> None:
    await store.append(name, turn, ended_before=turn.ts - 10, begun_before=0.0)


async def texts(store: RedisConversations, conversation: str = "kitchen") -> list[str]:
    recent = await store.recent(conversation, since=0.0, limit=99)
    return [] if recent is None else [turn.text for turn in recent.turns]


def turn(text: str, *, ts: float = 1.0, conversation: str = "kitchen") -> Turn:
    return Turn(conversation, "user", text, interrupted=False, ts=ts)


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another process does."""

    def wait() -> None:
        limit = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < limit
            time.sleep(0.02)

    await asyncio.to_thread(wait)


def names(client: Redis) -> set[str]:
    return {name.decode() for name in client.scan_iter(count=1000)}


async def test_everything_is_gone_twelve_hours_after_the_last_message(
    url: str, client: Redis
) -> None:
    async with opened(built(url)) as store:
        await put(store, "id")
        for name in names(client):
            client.pexpire(name, 1000)
        await put(store, "next")
        (session,) = await store.sessions(conversation=None, skip=0, limit=9)
        await store.summarise(session.id, "they greeted", covered=1)
        left = {name: client.ttl(name) for name in names(client)}
    seen = {f"{ROOT}seen:id", f"{ROOT}seen:next"}
    assert left.keys() - seen == {
        *(f"{ROOT}session:{session.id}", f"{ROOT}turns:{session.id}", f"{ROOT}of:kitchen"),
        *(f"{ROOT}ends", f"{ROOT}expiries", f"{ROOT}seq"),
    }
    assert all(12 * 3600 - 30 < left[name] <= 12 * 3600 for name in left.keys() - seen)
    assert 24 * 3600 - 30 < left[f"{ROOT}seen:next"] <= 24 * 3600


async def test_the_time_is_a_setting_and_repeats_are_known_as_long(url: str, client: Redis) -> None:
    async with opened(built(url, redis_ttl_h=48)) as store:
        await put(store, "id")
    left = [client.ttl(name) for name in names(client)]
    assert all(48 * 3600 - 30 < seconds <= 48 * 3600 for seconds in left)


async def test_what_points_to_a_forgotten_session_is_forgotten_with_it(
    url: str, client: Redis
) -> None:
    brief, lasting = RedisConversations(url, kept_s=1), RedisConversations(url, kept_s=3600)
    async with opened(lasting), opened(brief):
        await put(lasting, "stays", turn("stays", ts=1.0, conversation="hall"))
        await put(brief, "goes", turn("goes", ts=5.0))
        (gone,) = await brief.sessions(conversation="kitchen", skip=0, limit=9)
        await until(lambda: not client.exists(f"{ROOT}session:{gone.id}", f"{ROOT}turns:{gone.id}"))
        (left,) = await brief.sessions(conversation=None, skip=0, limit=1)
        assert left.conversation == "hall"
        assert not any(gone.id in str(client.zrange(f"{ROOT}{key}", 0, -1)) for key in ORDERS)
        assert await texts(brief) == []
        assert await brief.search(["goes"], conversation=None, skip=0, limit=9) == []
        await put(brief, "again", turn("again", ts=6.0))
        assert await texts(brief) == ["again"]
        assert await texts(lasting, "hall") == ["stays"]
        assert 3000 < client.ttl(f"{ROOT}ends") <= 3600


async def test_odd_names_and_texts_come_back_whole(url: str) -> None:
    odd = Turn(
        'kit{chen}:1 *?[x]"\n',
        "assistant",
        'q"\\ \n \N{GRINNING FACE} \x00',
        interrupted=True,
        ts=1700000000.1234567,
        site_id="größe:7",
    )
    async with opened(built(url)) as store:
        await put(store, "i'd:1", odd)
        recent = await store.recent(odd.conversation, since=odd.ts, limit=9)
        assert recent is not None
        assert recent.turns == [odd]
        assert (recent.session.begin, recent.session.end) == (odd.ts, odd.ts)
        listed = await store.sessions(conversation=odd.conversation, skip=0, limit=9)
        assert listed == [recent.session]
        assert await store.delete("d", [recent.session.id]) == [recent.session.id]
        assert await store.sessions(conversation=None, skip=0, limit=9) == []


async def test_words_are_found_without_case_and_accents_over_many_sessions(url: str) -> None:
    async with opened(built(url)) as store:
        for number in range(40):
            said = turn(f"ein Café, GROẞE nummer_{number}", ts=number * 100.0)
            await put(store, f"h{number}", said)
        found = await store.search(["cafe", "große"], conversation="kitchen", skip=15, limit=20)
        assert [one.turn.ts for one in found] == [number * 100.0 for number in range(24, 4, -1)]
        only = await store.search(["nummer_7"], conversation=None, skip=0, limit=9)
        assert [one.turn.ts for one in only] == [700.0]
        assert await store.search(["*"], conversation=None, skip=0, limit=9) == []


async def test_no_more_than_asked_for_is_returned_also_when_that_is_nothing(url: str) -> None:
    async with opened(built(url)) as store:
        await put(store, "id")
        (session,) = await store.sessions(conversation=None, skip=0, limit=1)
        assert await store.sessions(conversation=None, skip=0, limit=0) == []
        assert await store.turns(session.id, skip=0, limit=0) == []
        assert await store.search(["hello"], conversation=None, skip=0, limit=0) == []


async def test_writers_at_once_lose_nothing_and_double_nothing(url: str) -> None:
    async with opened(built(url)) as store:
        async with asyncio.TaskGroup() as group:
            for number in range(40):
                said = turn(f"t{number % 20}")
                group.create_task(put(store, f"h{number % 20}", said), name="append")
        assert sorted(await texts(store)) == sorted(f"t{number}" for number in range(20))
        (session,) = await store.sessions(conversation=None, skip=0, limit=9)
        assert session.count == 20


async def test_a_cancelled_write_is_whole_or_not_there(url: str) -> None:
    async with opened(built(url)) as store:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(put(store, f"h{n}", turn(f"t{n}")), name="append")
                for n in range(20)
            ]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
        for number in range(20):
            await put(store, f"h{number}", turn(f"t{number}"))
        assert sorted(await texts(store)) == sorted(f"t{number}" for number in range(20))


async def test_deletes_at_once_are_done_once(url: str) -> None:
    async with opened(built(url)) as store:
        await put(store, "id")
        (session,) = await store.sessions(conversation=None, skip=0, limit=9)
        async with asyncio.TaskGroup() as group:
            same = [group.create_task(store.delete("d", [session.id])) for _ in range(5)]
        assert [task.result() for task in same] == [[session.id]] * 5
        assert await store.delete("e", [session.id, session.id]) == []


async def test_a_session_that_a_full_server_threw_away_is_not_gone_on_with(
    url: str, client: Redis
) -> None:
    async with opened(built(url)) as store:
        await put(store, "id")
        (session,) = await store.sessions(conversation=None, skip=0, limit=9)
        client.delete(f"{ROOT}turns:{session.id}")
        await put(store, "next", turn("next", ts=2.0))
        assert await texts(store) == ["next"]
        client.delete(f"{ROOT}session:{session.id}")
        assert len(await store.sessions(conversation=None, skip=0, limit=9)) == 1


async def test_deleted_words_leave_the_servers_log(tmp_path: Path) -> None:
    def is_in_log(words: bytes) -> bool:
        # Files come and go while the server writes anew.
        with suppress(FileNotFoundError):
            return any(words in path.read_bytes() for path in tmp_path.rglob("*.aof"))
        return True

    with running(RedisServer(tmp_path)) as server:
        async with opened(built(server.fresh_url())) as store:
            for name in ("id", "other"):
                await put(store, name, turn(f"whispered {name}", conversation=name))
                assert is_in_log(f"whispered {name}".encode())
            sessions = await store.sessions(conversation=None, skip=0, limit=9)
            for session in sessions:
                assert await store.delete(f"d-{session.id}", [session.id]) == [session.id]
            await until(lambda: not is_in_log(b"whispered"))


async def test_large_values_are_parsed_off_the_loop(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []
    parse = orjson.loads

    def loads(value: bytes) -> object:
        seen.append(threading.current_thread() is threading.main_thread())
        return parse(value)

    monkeypatch.setattr("antiphon_memory.redis.conversations.orjson.loads", loads)
    async with opened(built(url)) as store:
        await put(store, "id")
        assert await texts(store) == ["hello"]
        large = turn("x" * conversations.LARGE_BYTES, conversation="den")
        await put(store, "large", large)
        assert await texts(store, "den") == [large.text]
    assert seen == [True, False]


async def test_more_questions_than_connections_are_all_answered(url: str) -> None:
    async with opened(built(url)) as store:
        await put(store, "id")
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(texts(store)) for _ in range(100)]
    assert all(task.result() == ["hello"] for task in tasks)


async def test_nobody_waits_while_others_are_served_twice(url: str) -> None:
    async with opened(built(url)) as store:
        await put(store, "a")
        served = [0] * 32

        async def ask_on(number: int) -> None:
            while sum(served) < 640:
                assert await texts(store) == ["hello"]
                served[number] += 1

        async with asyncio.TaskGroup() as group:
            for number in range(len(served)):
                group.create_task(ask_on(number))
        assert min(served) > 15


async def test_it_says_what_failed_and_goes_on_when_that_is_back(tmp_path: Path) -> None:
    with running(RedisServer(tmp_path)) as mortal:
        async with opened(built(mortal.fresh_url())) as store:
            await put(store, "a")
            mortal.kill()
            with pytest.raises(EngineError, match=r"cannot be reached; ") as raised:
                await put(store, "b", turn("the secret"))
            assert raised.value.retryable
            assert "secret" not in str(raised.value)
            await asyncio.to_thread(mortal.start)
            for _ in range(2):
                await put(store, "a")
                await put(store, "b", turn("back again", ts=2.0))
            assert await texts(store) == ["back again", "hello"]


async def test_a_closed_store_says_so(url: str) -> None:
    async with opened(built(url)) as store:
        pass
    with pytest.raises(EngineError, match="closed"):
        await store.recent("kitchen", since=0.0, limit=1)


async def test_a_wrong_password_is_told_without_it(server: RedisServer, url: str) -> None:
    wrong = url.replace("redis://", "redis://anna:geheim@")
    with pytest.raises(ConfigError, match="set user and password in redis_url") as raised:
        async with asyncio.timeout(30), built(wrong).open():
            pass
    assert "geheim" not in str(raised.value)
    assert f"127.0.0.1:{server.port}" in str(raised.value)


async def test_a_missing_server_is_told_when_opening() -> None:
    store = built(f"redis://:geheim@127.0.0.1:{free_port()}/0")
    with pytest.raises(ConfigError, match="cannot be reached; start it") as raised:
        async with asyncio.timeout(30), store.open():
            pass
    assert "geheim" not in str(raised.value)


def test_what_is_no_url_is_told() -> None:
    with pytest.raises(ConfigError, match="redis://host"):
        built("geheim")
