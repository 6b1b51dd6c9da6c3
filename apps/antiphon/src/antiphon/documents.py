"""What `antiphon knowledge` does: documents are sent, listed, searched, removed and refreshed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from antiphon_contracts import (
    KNOWLEDGE_ADD,
    KNOWLEDGE_LIST,
    KNOWLEDGE_PROGRESS,
    KNOWLEDGE_REFRESH,
    KNOWLEDGE_REMOVE,
    KNOWLEDGE_SEARCH,
    MAX_PARTS,
    PART_BYTES,
    ConfigError,
    CrawlOptions,
    EngineError,
    KnowledgeAdd,
    KnowledgeDocument,
    KnowledgeList,
    KnowledgeProgress,
    KnowledgeRefresh,
    KnowledgeRemove,
    KnowledgeSearch,
    RequestTopic,
    new_id,
)
from antiphon_runtime import Bus, listen
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from antiphon import screens
from antiphon.document_jobs import Jobs, Upload, is_address
from antiphon.house import client_bus, open_bus
from antiphon.output import print_json, print_line
from antiphon.settings import find_broker

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 15.0
MAX_FILES = 10_000
PAGE = 500
REQUESTS: list[RequestTopic[Any, Any]] = [
    KNOWLEDGE_ADD,
    KNOWLEDGE_LIST,
    KNOWLEDGE_REFRESH,
    KNOWLEDGE_REMOVE,
    KNOWLEDGE_SEARCH,
]
SHORT_ID = 12

# What a folder is searched for. A file that is named by itself is taken whatever it is called.
SUFFIXES = frozenset(
    {".txt", ".text", ".md", ".markdown", ".rst", ".html", ".htm", ".xhtml", ".pdf", ".epub"}
    | {".docx"}
)


@dataclass(frozen=True, slots=True)
class AddOptions:
    """How documents are added; see `antiphon knowledge add --help`."""

    title: str | None = None
    depth: int = 0
    max_pages: int = 100
    same_site: bool = True
    scope: str = "household"


@asynccontextmanager
async def _opened(broker: str | None) -> AsyncIterator[tuple[Bus, Jobs]]:
    bus = client_bus(find_broker(broker))
    jobs = Jobs(bus)
    bus.install([listen(KNOWLEDGE_PROGRESS, jobs.on_progress)], REQUESTS)
    async with open_bus(bus, CONNECT_TIMEOUT_S):
        yield bus, jobs


# Adding


async def add(sources: Sequence[str], options: AddOptions, *, broker: str | None) -> None:
    """Add documents one after the other, and show how it goes.

    Raises:
        ConfigError: there is no such file, or too many, or one cannot be read.
        EngineError: some were not read; the text says why.
        BusError: the worker does not answer.
    """
    plan = await asyncio.to_thread(_planned, sources)
    console = Console()
    failures: list[str] = []
    async with _opened(broker) as (_bus, jobs):
        for source in plan:
            ended = await _add_one(jobs, source, options)
            _report(console, ended, failures, is_only=len(plan) == 1)
    _raise_if(failures, len(plan))


def _planned(sources: Sequence[str]) -> list[str | Path]:
    """Return addresses and files; folders are looked through.

    Raises:
        ConfigError: something is not there, or there is nothing in it.
    """
    plan: list[str | Path] = []
    for source in sources:
        path = Path(source).expanduser()
        if source == "-" or is_address(source):
            plan.append(source)
        elif path.is_dir():
            found = sorted(file for file in path.rglob("*") if _is_wanted(file, path))
            if not found:
                kinds = " ".join(sorted(SUFFIXES))
                raise ConfigError(f"there is nothing to read in {source}: no file of {kinds}")
            plan += found
        elif path.is_file():
            plan.append(path)
        else:
            raise ConfigError(f"{source} is no file, no folder and no address of a page")
    if len(plan) > MAX_FILES:
        raise ConfigError(f"that is {len(plan)} documents: add at most {MAX_FILES} at once")
    return plan


def _is_wanted(file: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
    return not hidden and file.suffix.lower() in SUFFIXES and file.is_file()


async def _add_one(jobs: Jobs, source: str | Path, options: AddOptions) -> KnowledgeProgress:
    if isinstance(source, Path) or source == "-":
        upload = await asyncio.to_thread(_read, source, options)
        return await jobs.send(upload)
    crawl = CrawlOptions(
        depth=options.depth, same_site=options.same_site, max_pages=options.max_pages
    )
    order = KnowledgeAdd(
        job_id=new_id(), source=source, title=options.title, scope=options.scope, crawl=crawl
    )
    return await jobs.order(order)


def _read(source: str | Path, options: AddOptions) -> Upload:
    """Return a file, ready to be sent.

    Raises:
        ConfigError: it cannot be read, is empty, or is far too long.
    """
    if isinstance(source, str):
        import sys  # noqa: PLC0415  (beside its one use)

        body = sys.stdin.buffer.read(PART_BYTES * MAX_PARTS + 1)
        name = known_by = options.title or "standard input"
    else:
        name, known_by = source.name, str(source.resolve())
        try:
            size = source.stat().st_size
            body = source.read_bytes() if size <= PART_BYTES * MAX_PARTS else b"\0" * (size + 1)
        except OSError as error:
            raise ConfigError(f"{source} cannot be read: {error.strerror}") from error
    if not body:
        raise ConfigError(f"{name} is empty")
    if len(body) > PART_BYTES * MAX_PARTS:
        most = PART_BYTES * MAX_PARTS // 1_000_000
        raise ConfigError(f"{name} is too big: no document may have over {most} MB")
    return Upload(known_by, name, body, options.title, options.scope)


def _report(
    console: Console, ended: KnowledgeProgress, failures: list[str], *, is_only: bool
) -> None:
    if ended.state == "done":
        print_line(console, f"{ended.title}: {_outcome(ended)}")
        if ended.error is not None:
            failures.append(ended.error)
    else:
        if not is_only:  # the command ends with the same words
            print_line(Console(stderr=True), f"{ended.title}: {ended.error or ended.state}")
        failures.append(ended.error or "The work was cancelled.")


def _outcome(ended: KnowledgeProgress) -> str:
    """Return what work came to: `2 documents, 14 chunks new, 3 as before`."""
    failed = f"; {ended.failures} could not be had" if ended.failures else ""
    if ended.documents and ended.documents == ended.unchanged:
        known = "unchanged" if ended.documents == 1 else f"{ended.documents} documents, unchanged"
        return known + failed
    counts = ((ended.added, "new"), (ended.kept, "as before"), (ended.removed, "gone"))
    chunks = ", ".join(f"{count} {word}" for count, word in counts if count)
    documents = "" if ended.documents == 1 else f"{ended.documents} documents, "
    return f"{documents}chunks: {chunks or 'none'}{failed}"


def _raise_if(failures: Sequence[str], total: int) -> None:
    if failures and total == 1:
        raise EngineError(failures[0])
    if failures:
        raise EngineError(f"{len(failures)} of {total} were not read; see above")


# Asking


async def _all(bus: Bus) -> list[KnowledgeDocument]:
    found: list[KnowledgeDocument] = []
    more = True
    while more:
        query = KnowledgeList(limit=PAGE, after=found[-1].id if found else None)
        answer = await bus.request(KNOWLEDGE_LIST, query, timeout_s=ANSWER_TIMEOUT_S)
        found += answer.documents
        more = answer.more and bool(answer.documents)
    return found


async def show_list(*, json: bool, broker: str | None) -> None:
    """Print the documents.

    Raises:
        BusError: the worker does not answer.
    """
    async with _opened(broker) as (bus, _jobs):
        documents = await _all(bus)
    if json:
        print_json([document.model_dump() for document in documents])
        return
    console = Console()
    if not documents:
        print_line(console, "no documents; add some with `antiphon knowledge add`")
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("id", no_wrap=True)
    table.add_column("title")
    table.add_column("source", overflow="fold")
    for name in ("chunks", "size", "came"):
        table.add_column(name, justify="right", no_wrap=True)
    now = time.time()
    for document in documents:
        table.add_row(
            _short(document),
            Text(document.title),
            Text(document.source),
            _chunks(document),
            _size(document.size_bytes),
            f"{screens.duration(max(0.0, now - document.ts))} ago",
        )
    console.print(table)


def _short(document: KnowledgeDocument) -> str:
    # Ids begin with the time: the last characters tell those of one moment apart.
    return document.id[-SHORT_ID:]


def _chunks(document: KnowledgeDocument) -> str:
    if document.embedded == document.chunks:
        return str(document.chunks)
    return f"{document.chunks} ({document.embedded} by meaning)"


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1_000_000 else f"{max(count / 1000, 0.1):.1f} kB"  # noqa: PLR2004  (a megabyte)


async def search(text: str, top: int, context: int, *, json: bool, broker: str | None) -> None:
    """Print what the documents say about a text.

    Raises:
        BusError: the worker does not answer.
    """
    query = KnowledgeSearch(text=text, top_k=top, context=context)
    async with _opened(broker) as (bus, _jobs):
        answer = await bus.request(KNOWLEDGE_SEARCH, query, timeout_s=ANSWER_TIMEOUT_S)
    if json:
        print_json([hit.model_dump() for hit in answer.results])
        return
    console = Console()
    if not answer.results:
        print_line(console, "nothing found")
    for number, hit in enumerate(answer.results, start=1):
        place = f"{hit.source} {hit.anchor}".rstrip()
        print_line(console, Text(f"{number}. {hit.title}", style="bold"))
        print_line(console, Text(f"   {place}  ({hit.score:.2f})", style="dim"))
        print_line(console, hit.text.strip() + "\n")


# Removing and refreshing


async def remove(
    names: Sequence[str], confirmed: Callable[[list[str]], bool], *, broker: str | None
) -> None:
    """Remove documents, if that is confirmed.

    Args:
        names: ids, parts of them, titles or sources.
        confirmed: asks the person, given the titles.
        broker: as given on the command line.

    Raises:
        ConfigError: a name stands for no document, or for several.
        BusError: the worker does not answer.
    """
    async with _opened(broker) as (bus, _jobs):
        chosen = _chosen(names, await _all(bus))
        if not await asyncio.to_thread(confirmed, [document.title for document in chosen]):
            print_line(Console(), "nothing was removed")
            return
        order = KnowledgeRemove(ids=tuple(document.id for document in chosen))
        done = await bus.request(KNOWLEDGE_REMOVE, order, timeout_s=ANSWER_TIMEOUT_S)
    if done.error is not None:
        raise EngineError(done.error)
    print_line(Console(), f"removed: {', '.join(done.titles) or 'nothing'}")


async def refresh(names: Sequence[str], *, broker: str | None) -> None:
    """Fetch documents anew; all that came from the web without a name.

    Raises:
        ConfigError: a name stands for no document, or for several; or none came from the web.
        EngineError: some could not be fetched.
        BusError: the worker does not answer.
    """
    console, failures = Console(), list[str]()
    async with _opened(broker) as (bus, jobs):
        documents = await _all(bus)
        chosen = (
            _chosen(names, documents)
            if names
            else [document for document in documents if is_address(document.source)]
        )
        if not chosen:
            raise ConfigError("no document came from the web: there is nothing to fetch anew")
        for document in chosen:
            ended = await jobs.refresh(KnowledgeRefresh(ids=(document.id,)))
            renamed = ended.model_copy(update={"title": document.title})
            _report(console, renamed, failures, is_only=len(chosen) == 1)
    _raise_if(failures, len(chosen))


def _chosen(
    names: Sequence[str], documents: Sequence[KnowledgeDocument]
) -> list[KnowledgeDocument]:
    return [_one(name, documents) for name in dict.fromkeys(names)]


def _one(name: str, documents: Sequence[KnowledgeDocument]) -> KnowledgeDocument:
    wanted = name.casefold()
    for found in (
        [one for one in documents if name in {one.id, one.source}],
        [one for one in documents if one.title.casefold() == wanted],
        [one for one in documents if one.id.startswith(name) or one.id.endswith(name)],
    ):
        if len(found) == 1:
            return found[0]
        if found:
            ids = ", ".join(_short(one) for one in found)
            raise ConfigError(f"several documents are called {name!r}: name one by its id, {ids}")
    raise ConfigError(f"there is no document {name!r}: see `antiphon knowledge list`")
