"""Long-term memory from the command line: list, search, remember, forget, export, import."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import orjson
from antiphon_contracts import (
    MEMORY_FORGET,
    MEMORY_IMPORT,
    MEMORY_LIST,
    MEMORY_QUERY,
    MEMORY_REMEMBER,
    ConfigError,
    EngineError,
    MemoryDone,
    MemoryForget,
    MemoryImport,
    MemoryList,
    MemoryQuery,
    MemoryRecord,
    MemoryRemember,
    Payload,
    RequestTopic,
    is_memory_scope,
)
from antiphon_runtime import Bus
from pydantic import ValidationError
from rich.console import Console

from antiphon.house import client_bus, open_bus
from antiphon.output import print_json, print_line
from antiphon.settings import find_broker

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 10.0
WRITE_TIMEOUT_S = 120.0
"""For deletions of whole scopes and imports: 100,000 memories take some seconds."""

PAGE = 500
BATCH_CHARS = 500_000
"""Of lines in one message; it may hold 4 MiB."""

MAX_NAMED = 10
SOURCE = "cli"

REQUESTS: tuple[RequestTopic[Any, Any], ...] = (
    MEMORY_LIST,
    MEMORY_QUERY,
    MEMORY_REMEMBER,
    MEMORY_FORGET,
    MEMORY_IMPORT,
)

P = TypeVar("P", bound=Payload)


@asynccontextmanager
async def _memory(broker: str | None) -> AsyncIterator[Bus]:
    bus = client_bus(find_broker(broker))
    bus.install(requests=REQUESTS)
    async with open_bus(bus, CONNECT_TIMEOUT_S):
        yield bus


def _asked(model: type[P], **fields: Any) -> P:
    try:
        return model(**fields)
    except ValidationError as error:
        field = error.errors()[0]["loc"][0]
        if str(field).startswith(("scope", "everything")):
            msg = "a scope is household, person:NAME or site:NAME"
        else:
            msg = f"{field} is too long, or empty"
        raise ConfigError(msg) from error


async def _pages(
    bus: Bus, scopes: Sequence[str], *, superseded: bool
) -> AsyncIterator[MemoryRecord]:
    after: str | None = None
    while True:
        asked = _asked(
            MemoryList, after=after, limit=PAGE, scopes=tuple(scopes), superseded=superseded
        )
        page = await bus.request(MEMORY_LIST, asked, timeout_s=ANSWER_TIMEOUT_S)
        if page.error is not None:
            raise EngineError(page.error)
        for record in page.records:
            yield record
        if page.next is None:
            return
        after = page.next


async def show_list(
    scopes: Sequence[str], *, superseded: bool, json: bool, broker: str | None
) -> None:
    """Print what is remembered.

    Args:
        scopes: whose; empty is all.
        superseded: also what was replaced.
        json: as JSON.
        broker: as given on the command line.

    Raises:
        BusError: there is no broker or no memory worker.
        ConfigError: a scope is none.
    """
    async with _memory(broker) as bus:
        records = [record async for record in _pages(bus, scopes, superseded=superseded)]
    if json:
        print_json([record.model_dump() for record in records])
        return
    console = Console()
    if not records:
        print_line(console, "nothing is remembered")
    for record in records:
        over = "" if record.superseded_by is None else "  (superseded)"
        print_line(console, f"{_line(record.id, record.ts, record.scope, record.text)}{over}")


async def search(
    text: str, scopes: Sequence[str], *, count: int, json: bool, broker: str | None
) -> None:
    """Print what has to do with a text, best first.

    Raises:
        BusError: there is no broker or no memory worker.
        ConfigError: a scope is none, or the text is too long.
    """
    query = _asked(MemoryQuery, text=text, top_k=count, scopes=tuple(scopes))
    async with _memory(broker) as bus:
        found = await bus.request(MEMORY_QUERY, query, timeout_s=ANSWER_TIMEOUT_S)
    if found.error is not None:
        raise EngineError(found.error)
    if json:
        print_json([result.model_dump() for result in found.results])
        return
    console = Console()
    if not found.results:
        print_line(console, "nothing like that is remembered")
    for result in found.results:
        line = _line(result.id, result.ts, result.scope, result.text)
        print_line(console, f"{result.score:.2f}  {line}")


def _line(name: str, ts: float, scope: str, text: str) -> str:
    return f"{name}  {time.strftime('%Y-%m-%d', time.localtime(ts))}  {scope}  {text}"


async def remember(text: str, scope: str, *, broker: str | None) -> None:
    """Remember a text, and print what it superseded.

    Raises:
        BusError: there is no broker or no memory worker.
        ConfigError: the scope is none, or the text is too long.
        EngineError: it was refused; the text says why.
    """
    asked = _asked(MemoryRemember, text=text, source=SOURCE, scope=scope)
    async with _memory(broker) as bus:
        done = await bus.request(MEMORY_REMEMBER, asked, timeout_s=ANSWER_TIMEOUT_S)
    _raise_refusal(done)
    console = Console()
    for name, stored in zip(done.ids, done.texts, strict=False):
        print_line(console, f"{name}  {stored}")
    for replaced in done.replaced:
        print_line(console, f"superseded: {replaced}")


def _raise_refusal(done: MemoryDone) -> None:
    if done.error is not None:
        raise EngineError(done.error)


async def forget(ids: Sequence[str], *, broker: str | None) -> bool:
    """Delete memories by id, and print them; returns whether there were any.

    Raises:
        BusError: there is no broker or no memory worker.
    """
    asked = _asked(MemoryForget, ids=tuple(ids))
    async with _memory(broker) as bus:
        done = await bus.request(MEMORY_FORGET, asked, timeout_s=WRITE_TIMEOUT_S)
    _raise_refusal(done)
    for text in done.texts:
        print_line(Console(), f"forgotten: {text}")
    if not done.ids:
        missing = "there is no memory of that id: see `antiphon memory list`"
        print_line(Console(stderr=True), missing)
    return bool(done.ids)


async def forget_matching(
    query: str, scopes: Sequence[str], *, yes: bool, broker: str | None
) -> bool:
    """Show what matches a query, ask which of it, and delete that.

    Args:
        query: what to look for.
        scopes: where.
        yes: does not ask: all that matches is meant.
        broker: as given on the command line.

    Returns:
        Whether anything was deleted.

    Raises:
        BusError: there is no broker or no memory worker.
        ConfigError: nobody can be asked, or a scope is none.
    """
    asked = _asked(MemoryForget, query=query, scopes=tuple(scopes), preview=True)
    async with _memory(broker) as bus:
        found = await bus.request(MEMORY_FORGET, asked, timeout_s=ANSWER_TIMEOUT_S)
    _raise_refusal(found)
    console = Console()
    for number, (name, text) in enumerate(zip(found.ids, found.texts, strict=True), start=1):
        print_line(console, f"{number}  {name}  {text}")
    if not found.ids:
        print_line(console, "nothing like that is remembered")
        return False
    # The bus is closed meanwhile: people may think for long.
    chosen = found.ids if yes else _chosen(found.ids)
    return await forget(chosen, broker=broker) if chosen else False


def _chosen(ids: Sequence[str]) -> list[str]:
    answer = _ask("Forget which (numbers, all, or none)? ").replace(",", " ").split()
    if answer == ["all"]:
        return list(ids)
    numbers = [int(word) for word in answer if word.isdecimal()]
    return [ids[number - 1] for number in dict.fromkeys(numbers) if 0 < number <= len(ids)]


def _ask(question: str) -> str:
    if not sys.stdin.isatty():
        msg = "nobody can be asked here: name the ids, or use --yes"
        raise ConfigError(msg)
    return input(question).strip().lower()


async def forget_scopes(scopes: Sequence[str], *, yes: bool, broker: str | None) -> bool:
    """Delete all that is in some scopes; returns whether it was.

    Args:
        scopes: which; `all` is everything.
        yes: does not ask.
        broker: as given on the command line.

    Raises:
        BusError: there is no broker or no memory worker.
        ConfigError: nobody can be asked, or a scope is none.
    """
    asked = _asked(MemoryForget, everything_in=tuple(scopes), preview=True)
    async with _memory(broker) as bus:
        found = await bus.request(MEMORY_FORGET, asked, timeout_s=ANSWER_TIMEOUT_S)
    _raise_refusal(found)
    what = "everything" if "all" in scopes else f"all of {', '.join(scopes)}"
    question = f"Forget {what}: {found.count} memories (yes or no)? "
    if not yes and _ask(question) not in {"y", "yes"}:
        return False
    sure = asked.model_copy(update={"preview": False, "confirm": True})
    async with _memory(broker) as bus:
        done = await bus.request(MEMORY_FORGET, sure, timeout_s=WRITE_TIMEOUT_S)
    _raise_refusal(done)
    print_line(Console(), f"forgotten: {done.count}")
    return True


async def export_to(file: str, scopes: Sequence[str], *, broker: str | None) -> None:
    """Write every memory, superseded or not, as a line of JSON.

    Args:
        file: path of a file, for its owner only, that appears when it is whole; `-` is standard
            output.
        scopes: whose; empty is all.
        broker: as given on the command line.

    Raises:
        BusError: there is no broker or no memory worker.
        ConfigError: the file cannot be written, or a scope is none.
    """
    count = 0
    with _written(file) as out:
        async with _memory(broker) as bus:
            async for record in _pages(bus, scopes, superseded=True):
                out.write(orjson.dumps(record.model_dump()) + b"\n")
                count += 1
    print_line(Console(stderr=True), f"exported: {count}")


@contextmanager
def _written(file: str) -> Iterator[IO[bytes]]:
    if file == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path = Path(file)
    part = path.with_name(f"{path.name}.part")
    try:
        # Private from its first byte on.
        with os.fdopen(os.open(part, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as out:
            yield out
        part.replace(path)
    except OSError as error:
        msg = f"{path} cannot be written ({error.strerror})"
        raise ConfigError(msg) from error
    finally:
        part.unlink(missing_ok=True)


async def import_from(file: str, *, broker: str | None) -> bool:
    """Take in memories; prints how many, and which lines were none. Returns whether all were.

    Args:
        file: path of a file of `export_to`; `-` is standard input.
        broker: as given on the command line.

    Raises:
        BusError: there is no broker or no memory worker.
        ConfigError: the file cannot be read.
        EngineError: memory failed; what was taken in stays, and importing again does no harm.
    """
    bad: dict[int, str] = {}
    there = added = 0
    with _read(file) as lines:
        async with _memory(broker) as bus:
            for batch in _batches(lines, bad):
                asked = MemoryImport(records=tuple(batch))
                done = await bus.request(MEMORY_IMPORT, asked, timeout_s=WRITE_TIMEOUT_S)
                _raise_refusal(done)
                added += done.count or 0
                there += len(batch) - (done.count or 0)
    print_line(Console(), f"imported: {added}, there already: {there}, bad lines: {len(bad)}")
    for number, why in list(bad.items())[:MAX_NAMED]:
        print_line(Console(stderr=True), f"line {number}: {why}")
    if len(bad) > MAX_NAMED:
        rest = ", ".join(map(str, list(bad)[MAX_NAMED:]))
        print_line(Console(stderr=True), f"also lines {rest}")
    return not bad


@contextmanager
def _read(file: str) -> Iterator[Iterable[bytes]]:
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        with Path(file).open("rb") as lines:
            yield lines
    except OSError as error:
        msg = f"{file} cannot be read ({error.strerror})"
        raise ConfigError(msg) from error


def _batches(lines: Iterable[bytes], bad: dict[int, str]) -> Iterator[list[MemoryRecord]]:
    """Yield the memories in lines, as many as a message may hold; notes bad lines by number."""
    batch: list[MemoryRecord] = []
    size = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        record = _record(line)
        if isinstance(record, str):
            bad[number] = record
            continue
        if batch and (len(batch) == PAGE or size + len(line) > BATCH_CHARS):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += len(line)
    if batch:
        yield batch


def _record(line: bytes) -> MemoryRecord | str:
    """Return the memory in a line, or what is wrong with the line."""
    try:
        record = MemoryRecord.model_validate(orjson.loads(line))
    except orjson.JSONDecodeError:
        return "it is no JSON"
    except ValidationError as error:
        field = error.errors()[0]["loc"]
        return f"its {field[0]} is missing or wrong" if field else "it is no JSON object"
    if not is_memory_scope(record.scope):
        return "its scope is none: household, person:NAME or site:NAME"
    return record if record.text.strip() else "its text is empty"
