"""`antiphon knowledge` against a scripted memory worker on an in-memory broker."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest
import structlog
from antiphon import document_jobs, documents
from antiphon.documents import AddOptions
from antiphon_contracts import (
    KNOWLEDGE_ADD,
    KNOWLEDGE_CANCEL,
    KNOWLEDGE_LIST,
    KNOWLEDGE_PROGRESS,
    KNOWLEDGE_REFRESH,
    KNOWLEDGE_REMOVE,
    KNOWLEDGE_SEARCH,
    PART_BYTES,
    Busy,
    ConfigError,
    EngineError,
    KnowledgeAdd,
    KnowledgeCancel,
    KnowledgeDocument,
    KnowledgeDocuments,
    KnowledgeDone,
    KnowledgeHit,
    KnowledgeList,
    KnowledgeProgress,
    KnowledgeRefresh,
    KnowledgeRemove,
    KnowledgeResults,
    KnowledgeSearch,
    Message,
)
from antiphon_runtime import Bus, RuntimeSettings, serve
from antiphon_runtime.testing import House

pytestmark = pytest.mark.unit

HERE = "mqtt://h"


class Library:
    """Answers as a memory worker would, and notes what it was asked."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.parts: dict[str, list[KnowledgeAdd]] = {}
        self.known: list[KnowledgeDocument] = []
        self.removed: list[str] = []
        self.cancelled = asyncio.Event()
        self.busy = 0
        self.outcome = KnowledgeProgress(job_id="", state="done", documents=1, added=3)
        self.tells = True
        self.refusal: str | None = None

    async def on_add(self, message: Message[KnowledgeAdd]) -> KnowledgeDone:
        asked = message.data
        if self.busy:
            self.busy -= 1
            raise Busy("try again")
        self.parts.setdefault(asked.job_id, []).append(asked)
        if self.refusal:
            return KnowledgeDone(action="add", error=self.refusal)
        part = asked.part
        last = part is None or (part.number + 1) * PART_BYTES >= part.size_bytes
        if last:
            self._end(asked.job_id, asked.title or (part.name if part else asked.source))
        return KnowledgeDone(action="add", job_id=asked.job_id, accepted=last)

    def _end(self, job_id: str, title: str) -> None:
        self.outcome = self.outcome.model_copy(update={"job_id": job_id, "title": title})
        if self.tells:
            self.house.say(KNOWLEDGE_PROGRESS, self.outcome)

    async def on_refresh(self, message: Message[KnowledgeRefresh]) -> KnowledgeDone:
        self._end(message.id, "")
        return KnowledgeDone(action="refresh", job_id=message.id, accepted=True)

    async def on_list(self, message: Message[KnowledgeList]) -> KnowledgeDocuments:
        if message.data.job_id is not None:
            return KnowledgeDocuments(jobs=(self.outcome,))
        ids = [one.id for one in self.known]
        start = ids.index(message.data.after) + 1 if message.data.after else 0
        found = self.known[start : start + 1]
        return KnowledgeDocuments(documents=tuple(found), more=start + 1 < len(ids))

    async def on_remove(self, message: Message[KnowledgeRemove]) -> KnowledgeDone:
        self.removed += message.data.ids
        return KnowledgeDone(action="remove", ids=message.data.ids, titles=("Manual",))

    async def on_cancel(self, message: Message[KnowledgeCancel]) -> KnowledgeDone:
        self.cancelled.set()
        return KnowledgeDone(action="cancel")

    async def on_search(self, message: Message[KnowledgeSearch]) -> KnowledgeResults:
        hit = KnowledgeHit(
            id="c", document_id="d", text="Rinse it.", title="Manual", source="/m", anchor="page 3"
        )
        return KnowledgeResults(results=(hit,) if "filter" in message.data.text else ())

    @property
    def bodies(self) -> list[bytes]:
        return [
            b"".join(base64.b64decode(order.part.data) for order in orders if order.part)
            for orders in self.parts.values()
        ]


@pytest.fixture
async def library(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Library]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    async with asyncio.timeout(30), House() as house:

        def bus(_settings: RuntimeSettings) -> Bus:
            return Bus(house.broker.transport(), source="cli")

        monkeypatch.setattr(documents, "client_bus", bus)
        monkeypatch.setattr(document_jobs, "ASK_AGAIN_S", 0.05)
        monkeypatch.setattr(document_jobs, "BUSY_WAIT_S", 0.0)
        made = Library(house)
        await house.serve(
            serve(KNOWLEDGE_ADD, made.on_add),
            serve(KNOWLEDGE_LIST, made.on_list),
            serve(KNOWLEDGE_REFRESH, made.on_refresh),
            serve(KNOWLEDGE_REMOVE, made.on_remove),
            serve(KNOWLEDGE_CANCEL, made.on_cancel),
            serve(KNOWLEDGE_SEARCH, made.on_search),
            source="memory-1",
        )
        yield made
    structlog.reset_defaults()


async def add(*sources: str, **options: object) -> None:
    await documents.add(sources, AddOptions(**options), broker=HERE)  # type: ignore[arg-type]


async def test_a_file_is_sent_in_parts(
    library: Library, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    body = bytes(range(256)) * (PART_BYTES // 256) * 2 + b"the end"
    (home / "long.txt").write_bytes(body)
    library.busy = 2
    await add("long.txt")
    (orders,) = library.parts.values()
    assert [order.part.number for order in orders if order.part] == [0, 1, 2]
    assert library.bodies == [body]
    part = orders[0].part
    assert part is not None
    assert (part.sha256, part.content_type) == (hashlib.sha256(body).hexdigest(), "text/plain")
    assert orders[0].source == str(home / "long.txt")
    assert capsys.readouterr().out == "long.txt: chunks: 3 new\n"


async def test_a_folder_is_looked_through_and_hidden_files_are_not(
    library: Library, home: Path
) -> None:
    for name in ("a.md", "deep/er/b.PDF", ".secret.txt", ".git/c.txt", "song.mp3"):
        (home / "docs" / name).parent.mkdir(parents=True, exist_ok=True)
        (home / "docs" / name).write_bytes(name.encode())
    await add("docs")
    assert library.bodies == [b"a.md", b"deep/er/b.PDF"]


async def test_an_address_is_ordered_with_what_to_follow(library: Library) -> None:
    await add("https://example.org/", depth=2, max_pages=7, same_site=False)
    ((order,),) = library.parts.values()
    assert order.part is None
    assert order.crawl.model_dump() == {"depth": 2, "same_site": False, "max_pages": 7}


async def test_standard_input_is_read(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"said aloud")))
    await add("-", title="Notes")
    ((order,),) = library.parts.values()
    assert (order.title, order.source, library.bodies) == ("Notes", "Notes", [b"said aloud"])


async def test_an_end_that_was_not_heard_is_asked_for(library: Library, home: Path) -> None:
    library.tells = False
    (home / "a.txt").write_text("a")
    await add("a.txt")


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        ({"unchanged": 1, "kept": 9}, "unchanged"),
        ({"added": 1, "kept": 2, "removed": 3}, "chunks: 1 new, 2 as before, 3 gone"),
        (
            {"documents": 4, "added": 8, "failures": 2},
            "4 documents, chunks: 8 new; 2 could not be had",
        ),
    ],
)
async def test_what_came_of_it_is_said(
    library: Library,
    home: Path,
    capsys: pytest.CaptureFixture[str],
    outcome: dict[str, int],
    words: str,
) -> None:
    library.outcome = KnowledgeProgress.model_validate(
        {"job_id": "", "state": "done", "documents": 1, **outcome}
    )
    (home / "a.txt").write_text("a")
    await add("a.txt")
    assert capsys.readouterr().out == f"a.txt: {words}\n"


async def test_failures_are_named_and_counted(
    library: Library, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    library.outcome = KnowledgeProgress(job_id="", state="failed", error="There is no text in it.")
    for name in ("a.txt", "b.txt"):
        (home / name).write_text(name)
    with pytest.raises(EngineError, match="no text in it"):
        await add("a.txt")
    with pytest.raises(EngineError, match="2 of 2 were not read"):
        await add("a.txt", "b.txt")
    assert capsys.readouterr().err.count("no text in it") == 2  # one alone ends the command
    library.refusal = "at most 20 MB are taken"
    with pytest.raises(EngineError, match="at most 20 MB"):
        await add("a.txt")


async def test_empty_and_missing_files_are_complained_about(library: Library, home: Path) -> None:
    (home / "empty.txt").touch()
    with pytest.raises(ConfigError, match=r"empty\.txt is empty"):
        await add("empty.txt")
    with pytest.raises(ConfigError, match="no file, no folder"):
        await add("gone.txt")
    assert library.parts == {}


async def test_an_interrupted_wait_cancels_the_work(library: Library, home: Path) -> None:
    library.tells = False
    library.outcome = KnowledgeProgress(job_id="", state="reading")
    (home / "a.txt").write_text("a")
    async with asyncio.TaskGroup() as group:
        adding = group.create_task(add("a.txt"), name="add")
        while not library.parts:  # noqa: ASYNC110  (the worker's own task is waited for)
            await asyncio.sleep(0)
        adding.cancel()
    await library.cancelled.wait()


def known(number: int, title: str = "", source: str = "") -> KnowledgeDocument:
    return KnowledgeDocument(
        id=f"0190-{number}",
        title=title or f"Manual {number}",
        source=source or f"/books/{number}",
        chunks=9,
        embedded=7,
        size_bytes=1500,
        ts=1.0,
    )


async def test_documents_are_listed_over_pages(
    library: Library, capsys: pytest.CaptureFixture[str]
) -> None:
    await documents.show_list(json=False, broker=HERE)
    assert "antiphon knowledge add" in capsys.readouterr().out
    library.known = [known(1), known(2)]
    await documents.show_list(json=True, broker=HERE)
    assert [one["id"] for one in orjson.loads(capsys.readouterr().out)] == ["0190-1", "0190-2"]
    await documents.show_list(json=False, broker=HERE)
    out = capsys.readouterr().out
    assert all(words in out for words in ("Manual 1", "9 (7 by meaning)", "1.5 kB"))


async def test_search_shows_where_it_is_from(
    library: Library, capsys: pytest.CaptureFixture[str]
) -> None:
    await documents.search("the filter", 5, 0, json=False, broker=HERE)
    assert capsys.readouterr().out == "1. Manual\n   /m page 3  (0.00)\nRinse it.\n\n"
    await documents.search("Hamlet", 5, 0, json=False, broker=HERE)
    assert capsys.readouterr().out == "nothing found\n"
    await documents.search("the filter", 5, 0, json=True, broker=HERE)
    assert orjson.loads(capsys.readouterr().out)[0]["anchor"] == "page 3"


async def test_documents_are_removed_by_id_title_or_source_if_confirmed(library: Library) -> None:
    library.known = [known(1), known(2, "Twin"), known(3, "twin")]
    await documents.remove(["manual 1"], lambda _titles: False, broker=HERE)
    assert library.removed == []
    asked: list[str] = []

    def confirmed(titles: list[str]) -> bool:
        asked.extend(titles)
        return True

    await documents.remove(["manual 1", "0190-2", "/books/3"], confirmed, broker=HERE)
    assert library.removed == ["0190-1", "0190-2", "0190-3"]
    assert asked == ["Manual 1", "Twin", "twin"]
    with pytest.raises(ConfigError, match="several documents are called 'TWIN'"):
        await documents.remove(["TWIN"], confirmed, broker=HERE)
    with pytest.raises(ConfigError, match="there is no document 'Bible'"):
        await documents.remove(["Bible"], confirmed, broker=HERE)


async def test_what_came_from_the_web_is_refreshed(
    library: Library, capsys: pytest.CaptureFixture[str]
) -> None:
    library.known = [known(1)]
    with pytest.raises(ConfigError, match="nothing to fetch anew"):
        await documents.refresh([], broker=HERE)
    library.known.append(known(2, "Shop", "https://example.org/"))
    library.outcome = KnowledgeProgress(job_id="", state="done", documents=1, unchanged=1)
    await documents.refresh([], broker=HERE)
    assert capsys.readouterr().out == "Shop: unchanged\n"
