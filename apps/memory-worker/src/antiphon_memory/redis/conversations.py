"""Conversations on a Redis server, which forgets them by itself."""

from __future__ import annotations

import asyncio
import heapq
import re
import unicodedata
from collections.abc import Awaitable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import NamedTuple, TypeAlias, cast

import orjson
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from antiphon_memory.conversations import (
    Found,
    Recent,
    Session,
    Turn,
    first_words_of,
    new_session_id,
)
from antiphon_memory.redis.scripts import (
    APPEND,
    DELETE,
    MEMBERS,
    PRUNE,
    RECENT,
    ROOT,
    SESSIONS,
    SUMMARISE,
    TURNS,
)
from antiphon_memory.redis.server import RedisServer

SEEN_S = 86_400.0
"""How long a repeated message is known, at least."""

LARGE_BYTES = 64 * 1024
"""From here on values are parsed in a thread: about 0.3 ms of the loop's time."""

SEARCHED_AT_ONCE = 16
PRUNED_AT_ONCE = 500
ALL_TURNS = 1 << 40
REWRITE_TRIES = 20
REWRITE_RETRY_S = 0.1

_WORD = re.compile(r"[^\W_]+")

_SessionRow: TypeAlias = Sequence[bytes]
_Page: TypeAlias = tuple[_SessionRow, Sequence[bytes]]
"""A session, and some of its messages, oldest first."""


class _Hit(NamedTuple):
    """A message that was found; the greater is the newer."""

    ts: float
    number: int
    place: int
    found: Found


class RedisConversations:
    """See `antiphon_memory.conversations.ConversationStore` and `antiphon_memory.redis.scripts`.

    A session is gone `kept_s` after its last message, with all that points to it. Outcomes of
    writes are gone then, too, but after a day at the earliest. What survives a restart of the
    server is the server's choice (`appendonly`). There is no index of words: a search reads the
    conversations, and knows no endings of words.

    Args:
        url: of the server.
        kept_s: how long a session outlives its last message, in seconds.

    Raises:
        ConfigError: the URL is none.
    """

    def __init__(self, url: str, *, kept_s: float) -> None:
        self._server = RedisServer(url)
        self._kept_ms = max(1, round(kept_s * 1000))
        self._seen_ms = max(self._kept_ms, round(SEEN_S * 1000))

    def open(self) -> AbstractAsyncContextManager[None]:
        """See the port."""
        return self._server.open()

    # Writing

    async def append(
        self, message_id: str, turn: Turn, *, ended_before: float, begun_before: float
    ) -> None:
        """See the port."""
        await self._run(
            APPEND,
            *(message_id, turn.conversation, turn.site_id, repr(turn.ts), _packed(turn)),
            *(repr(ended_before), repr(begun_before), new_session_id()),
            *(first_words_of(turn.text), self._kept_ms, self._seen_ms),
        )

    async def summarise(self, session_id: str, summary: str, *, covered: int) -> bool:
        """See the port."""
        return bool(await self._run(SUMMARISE, session_id, summary, covered))

    async def delete(self, message_id: str, session_ids: Sequence[str]) -> list[str]:
        """See the port."""
        reply = cast("bytes", await self._run(DELETE, message_id, self._seen_ms, *session_ids))
        deleted = [str(name) for name in orjson.loads(reply)]
        if deleted:
            await self._clean_up()
        return deleted

    async def prune(self, *, before: float, replies_before: float) -> None:  # noqa: ARG002  (Redis itself)
        """See the port; outcomes of writes are forgotten by Redis itself."""
        pruned = 0
        while count := cast("int", await self._run(PRUNE, repr(before), PRUNED_AT_ONCE)):
            pruned += count
        if pruned:
            await self._clean_up()

    async def _clean_up(self) -> None:
        """Let the server write its log anew, if it has one: deleted words stand there until then.

        Where we may not ask for that, or it is at it for long, it does so when the log has grown.
        """
        async with self._server.commands() as client:
            with suppress(ResponseError):
                await _rewrite_log(client)

    # Reading

    async def recent(self, conversation: str, *, since: float, limit: int) -> Recent | None:
        """See the port."""
        found = await self._run(RECENT, conversation, repr(since), limit)
        if not found:
            return None
        session, turns = await _read(cast("_Page", found))
        return Recent(session, turns[::-1])

    async def sessions(self, *, conversation: str | None, skip: int, limit: int) -> list[Session]:
        """See the port."""
        rows = await self._run(SESSIONS, *_whose(conversation), skip, limit)
        return [_session(row) for row in cast("Sequence[_SessionRow]", rows)]

    async def session(self, session_id: str) -> Session | None:
        """See the port."""
        pages = await self._pages([session_id], limit=0)
        return _session(pages[0][0]) if pages else None

    async def turns(self, session_id: str, *, skip: int, limit: int) -> list[Turn]:
        """See the port."""
        pages = await self._pages([session_id], skip=skip, limit=limit)
        return (await _read(pages[0]))[1] if pages else []

    async def search(
        self, words: Sequence[str], *, conversation: str | None, skip: int, limit: int
    ) -> list[Found]:
        """See the port."""
        wanted = frozenset(part for word in words for part in _words_of(word))
        if not wanted or limit < 1:
            return []
        listed = cast("list[bytes]", await self._run(MEMBERS, *_whose(conversation)))
        members, ends = (
            [name.decode() for name in listed[::2]],
            [float(end) for end in listed[1::2]],
        )
        hits: list[_Hit] = []
        for begin in range(0, len(members), SEARCHED_AT_ONCE):
            if len(hits) == skip + limit and ends[begin] < hits[-1].ts:
                break
            numbers = dict(_id_and_number(name) for name in members[begin:][:SEARCHED_AT_ONCE])
            pages = await self._pages(list(numbers), limit=ALL_TURNS)
            found = await asyncio.to_thread(_hits, pages, numbers, wanted)
            hits = heapq.nlargest(skip + limit, [*hits, *found], key=lambda hit: hit[:3])
        return [hit.found for hit in hits[skip:]]

    async def _pages(self, ids: Sequence[str], *, skip: int = 0, limit: int) -> list[_Page]:
        return cast("list[_Page]", await self._run(TURNS, skip, limit, *ids))

    async def _run(self, script: str, *values: str | bytes | int) -> object:
        async with self._server.commands() as client:
            answer = client.register_script(script)([ROOT], list(values))
            return await cast("Awaitable[object]", answer)


async def _rewrite_log(client: Redis) -> None:
    for _ in range(REWRITE_TRIES):
        state = await client.info("persistence")
        if not state.get("aof_enabled"):
            break
        if not state.get("aof_rewrite_in_progress"):
            await client.bgrewriteaof()
            break
        await asyncio.sleep(REWRITE_RETRY_S)


def _whose(conversation: str | None) -> tuple[int, str]:
    """Return whether one conversation is meant, and which."""
    return (0, "") if conversation is None else (1, conversation)


def _id_and_number(member: str) -> tuple[str, int]:
    number, session_id, _ = member.split(":", 2)
    return session_id, int(number)


def _session(row: _SessionRow) -> Session:
    name, conversation, site_id, begin, end, count, first_words, summary, covered = (
        value.decode() for value in row
    )
    return Session(
        *(name, conversation, site_id, float(begin), float(end), int(count), first_words),
        *(summary, int(covered)),
    )


async def _read(page: _Page) -> tuple[Session, list[Turn]]:
    session = _session(page[0])
    if sum(map(len, page[1])) > LARGE_BYTES:
        return session, await asyncio.to_thread(_turns, session, page[1])
    return session, _turns(session, page[1])


def _packed(turn: Turn) -> bytes:
    return orjson.dumps(
        {"role": turn.role, "text": turn.text, "interrupted": turn.interrupted, "ts": turn.ts}
    )


def _turns(session: Session, rows: Sequence[bytes]) -> list[Turn]:
    return [
        Turn(
            *(session.conversation, one["role"], one["text"], one["interrupted"], one["ts"]),
            session.site_id,
        )
        for one in map(orjson.loads, rows)
    ]


def _hits(pages: Sequence[_Page], numbers: dict[str, int], wanted: frozenset[str]) -> list[_Hit]:
    """Return the messages with all of the words."""
    hits = []
    for row, packed in pages:
        session = _session(row)
        hits += [
            _Hit(turn.ts, numbers[session.id], place, Found(session.id, turn))
            for place, turn in enumerate(_turns(session, packed))
            if wanted <= _words_of(turn.text)
        ]
    return hits


def _words_of(text: str) -> set[str]:
    """Return the words of a text, without case and accents."""
    plain = "".join(
        char for char in unicodedata.normalize("NFKD", text) if not unicodedata.combining(char)
    )
    return set(_WORD.findall(plain.casefold()))
