"""The knowledge base of a real worker on an in-memory broker: real files, real pages."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from antiphon_contracts import (
    KNOWLEDGE_ADD,
    KNOWLEDGE_CANCEL,
    KNOWLEDGE_LIST,
    KNOWLEDGE_PROGRESS,
    KNOWLEDGE_REFRESH,
    KNOWLEDGE_REMOVE,
    KNOWLEDGE_SEARCH,
    MEMORY_FORGET,
    MEMORY_QUERY,
    MEMORY_REMEMBER,
    PART_BYTES,
    Busy,
    CrawlOptions,
    DocumentPart,
    KnowledgeAdd,
    KnowledgeCancel,
    KnowledgeDocuments,
    KnowledgeDone,
    KnowledgeHit,
    KnowledgeList,
    KnowledgeProgress,
    KnowledgeRefresh,
    KnowledgeRemove,
    KnowledgeSearch,
    MemoryForget,
    MemoryQuery,
    MemoryRemember,
    MemoryResult,
    RequestTopic,
    new_id,
)
from antiphon_memory import knowledge, reading
from antiphon_memory.embedder import TextRefused
from antiphon_memory.settings import MemorySettings
from antiphon_memory.sqlite.conversations import SqliteConversations
from antiphon_memory.sqlite.knowledge import SqliteKnowledge
from antiphon_memory.sqlite.memories import SqliteStore
from antiphon_memory.testing import WordEmbedder
from antiphon_memory.wiring import Stores, wire
from antiphon_runtime import Wiring, Worker
from antiphon_runtime.testing import Heard, House
from loopback_web import Reply, Web, web
from made_documents import pdf

pytestmark = pytest.mark.integration

HOST = "127.0.0.2"
REQUESTS: list[RequestTopic[Any, Any]] = [
    KNOWLEDGE_ADD,
    KNOWLEDGE_CANCEL,
    KNOWLEDGE_LIST,
    KNOWLEDGE_REFRESH,
    KNOWLEDGE_REMOVE,
    KNOWLEDGE_SEARCH,
    MEMORY_FORGET,
    MEMORY_QUERY,
    MEMORY_REMEMBER,
]
MANUAL = b"""# Washing machine

Congratulations.

## Cleaning

Rinse the lint filter every month under warm water.

## Transport

Screw in the four transport bolts before you move the machine.
"""


class Home:
    """A house with a memory worker, and short ways to give it documents."""

    def __init__(self, house: House, progress: Heard) -> None:
        self.house = house
        self.progress = progress

    async def ask(self, topic: RequestTopic[Any, Any], data: Any, name: str | None = None) -> Any:
        return await self.house.bus.request(topic, data, timeout_s=5, message_id=name)

    async def send(
        self, body: bytes, name: str = "manual.md", *, job_id: str = "", **more: Any
    ) -> KnowledgeDone:
        """Upload a document; returns the last answer."""
        job_id = job_id or new_id()
        done = KnowledgeDone(action="add")
        for order in parts_of(body, name, job_id=job_id, **more):
            done = await self.ask(KNOWLEDGE_ADD, order)
        return done

    async def ended(self, done: KnowledgeDone) -> KnowledgeProgress:
        assert done.error is None, done.error
        assert done.accepted

        def last(heard: Heard) -> list[KnowledgeProgress]:
            told = [m.data for m in heard if m.data.job_id == done.job_id]
            return [one for one in told if one.state in {"done", "failed", "cancelled"}]

        await self.progress.until(lambda heard: bool(last(heard)), timeout_s=30)
        (end,) = last(self.progress)
        assert isinstance(end, KnowledgeProgress)
        return end

    async def add(self, body: bytes, name: str = "manual.md", **more: Any) -> KnowledgeProgress:
        return await self.ended(await self.send(body, name, **more))

    async def fetch(self, source: str, **crawl: Any) -> KnowledgeProgress:
        order = KnowledgeAdd(job_id=new_id(), source=source, crawl=CrawlOptions(**crawl))
        return await self.ended(await self.ask(KNOWLEDGE_ADD, order))

    async def search(self, text: str, **more: Any) -> list[KnowledgeHit]:
        found = await self.ask(KNOWLEDGE_SEARCH, KnowledgeSearch(text=text, **more))
        return list(found.results)

    async def query(self, text: str, **more: Any) -> list[MemoryResult]:
        found = await self.ask(MEMORY_QUERY, MemoryQuery(text=text, **more))
        return list(found.results)

    async def known(self) -> KnowledgeDocuments:
        found = await self.ask(KNOWLEDGE_LIST, KnowledgeList())
        assert isinstance(found, KnowledgeDocuments)
        return found


def parts_of(
    body: bytes, name: str, *, job_id: str, source: str = "", **more: Any
) -> list[KnowledgeAdd]:
    return [
        KnowledgeAdd(
            job_id=job_id,
            source=source or f"/home/anna/{name}",
            part=DocumentPart(
                name=name,
                sha256=hashlib.sha256(body).hexdigest(),
                size_bytes=len(body),
                number=number,
                data=base64.b64encode(body[start : start + PART_BYTES]).decode(),
            ),
            **more,
        )
        for number, start in enumerate(range(0, len(body), PART_BYTES))
    ]


def page(title: str, body: str) -> Reply:
    text = f"<html><head><title>{title}</title></head><body><main>{body}</main></body></html>"
    return Reply(text.encode(), headers={"Content-Type": "text/html", "ETag": f'"{title}"'})


def wire_with(folder: Path, embedder: WordEmbedder) -> Callable[[Worker[MemorySettings]], Wiring]:
    def build(worker: Worker[MemorySettings]) -> Wiring:
        stores = Stores(
            SqliteStore(folder / "memory.sqlite", worker.health),
            SqliteConversations(folder / "conversations.sqlite", worker.health),
            SqliteKnowledge(folder / "knowledge.sqlite", worker.health),
        )
        return wire(worker, stores, embedder)

    return build


@asynccontextmanager
async def living(
    folder: Path, embedder: WordEmbedder | None = None, **settings: Any
) -> AsyncIterator[Home]:
    async with asyncio.timeout(60), House(requests=REQUESTS) as house:
        progress = await house.hear(KNOWLEDGE_PROGRESS)
        build = wire_with(folder, embedder or WordEmbedder())
        async with house.resident("memory", MemorySettings(**settings), build):
            yield Home(house, progress)


@pytest.fixture
async def home(tmp_path: Path) -> AsyncIterator[Home]:
    async with living(tmp_path) as home:
        yield home


@pytest.fixture
async def pages() -> AsyncIterator[Web]:
    made = {
        "/": page("Shop", "<h1>Shop</h1><p>We mend bicycles.</p><a href='/hours'>Hours</a>"),
        "/hours": page("Hours", "<h1>Hours</h1><p>On Saturday we open at nine.</p>"),
    }
    async with web(dict(made), host=HOST) as served:
        yield served


# Adding


async def test_a_document_is_read_and_found_with_its_place(home: Home) -> None:
    end = await home.add(MANUAL)
    assert (end.state, end.title, end.documents) == ("done", "Washing machine", 1)
    assert end.added >= 2
    (hit, *_) = await home.search("lint filter")
    assert "every month" in hit.text
    assert (hit.title, hit.source) == ("Washing machine", "/home/anna/manual.md")
    assert hit.anchor == "#cleaning"
    assert hit.score > 0.3
    assert await home.search("who wrote Hamlet") == []
    (known,) = (await home.known()).documents
    assert (known.chunks, known.embedded) == (end.added, end.added)
    assert known.size_bytes == len(MANUAL)


async def test_a_long_document_comes_in_parts_and_any_may_come_twice(home: Home) -> None:
    lines = "".join(f"Shelf {n} of the cellar holds jar number {n * 7}.\n\n" for n in range(7_000))
    orders = parts_of(lines.encode(), "cellar.txt", job_id="cellar")
    assert len(orders) > 1
    answers = [await home.ask(KNOWLEDGE_ADD, order) for order in (*orders[:1], *orders)]
    done = answers[-1]
    assert (done.received, done.accepted) == (len(orders), True)
    again = await home.ask(KNOWLEDGE_ADD, orders[0])
    assert again.accepted
    await home.ask(KNOWLEDGE_CANCEL, KnowledgeCancel(job_id="cellar"))


async def test_pdf_pages_are_named(home: Home) -> None:
    await home.add(pdf(["The whale surfaced.", "The harpoon was lost."], title="Sea"), "sea.pdf")
    (hit, *_) = await home.search("lost harpoon")
    assert (hit.title, hit.anchor) == ("Sea", "page 2")


async def test_the_same_order_again_changes_nothing(home: Home) -> None:
    first = await home.send(MANUAL, job_id="once")
    await home.ended(first)
    assert (await home.send(MANUAL, job_id="once")).accepted
    assert len((await home.known()).documents) == 1
    assert [job.job_id for job in (await home.known()).jobs] == ["once"]


async def test_adding_it_again_changes_only_what_changed(tmp_path: Path) -> None:
    embedder = WordEmbedder()
    async with living(tmp_path, embedder) as home:
        first = await home.add(MANUAL)
        ids = {hit.id for hit in await home.search("filter bolts machine", top_k=9)}
        embedder.seen.clear()
        same = await home.add(MANUAL)
        assert (same.unchanged, same.added, same.kept) == (1, 0, first.added)
        copied = await home.add(MANUAL, "copy.md")
        assert copied.unchanged == 1
        changed = await home.add(MANUAL.replace(b"every month", b"every week"))
        assert (changed.added, changed.kept, changed.removed) == (1, first.added - 1, 1)
        assert len(embedder.seen) == 1
        after = {hit.id for hit in await home.search("filter bolts machine", top_k=9)}
        assert len(after & ids) == len(ids) - 1
        assert len((await home.known()).documents) == 1


async def test_a_title_of_ones_own_stays(home: Home) -> None:
    await home.add(MANUAL, title="The old machine")
    named = await home.add(MANUAL, title="The new machine")
    assert (named.added, named.unchanged) == (0, 0)
    assert [one.title for one in (await home.known()).documents] == ["The new machine"]


@pytest.mark.parametrize(
    ("body", "name", "words"),
    [
        (b"   \n ", "empty.txt", "empty"),
        (b"\x00\x01\x02" * 50, "noise.bin", "no document that can be read"),
        (pdf([""]), "scan.pdf", ""),
    ],
)
async def test_what_has_no_text_is_refused_with_the_reason(
    home: Home, body: bytes, name: str, words: str
) -> None:
    end = await home.add(body, name)
    assert end.state == "failed"
    assert end.error
    assert words in end.error
    assert (await home.known()).documents == ()


async def test_what_is_too_long_or_damaged_is_refused_at_once(tmp_path: Path) -> None:
    async with living(tmp_path, document_bytes=1000) as home:
        done = await home.send(b"x" * 1001)
        assert "document_bytes" in (done.error or "")
        (order,) = parts_of(MANUAL, "manual.md", job_id="j")
        assert order.part is not None
        short = order.part.model_copy(update={"data": base64.b64encode(b"short").decode()})
        odd = order.part.model_copy(update={"data": "§"})
        other = base64.b64encode(b"?" * len(MANUAL)).decode()
        false = order.part.model_copy(update={"data": other})
        for part, words in ((short, "damaged"), (odd, "damaged"), (false, "on its way")):
            done = await home.ask(KNOWLEDGE_ADD, order.model_copy(update={"part": part}))
            assert words in done.error
        path = KnowledgeAdd(job_id="p", source="/etc/passwd")
        assert "http://" in (await home.ask(KNOWLEDGE_ADD, path)).error
        assert (await home.known()).documents == ()


async def test_too_much_at_once_is_told_so(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(knowledge, "UPLOADS_AT_ONCE", 1)
    body = b"x" * (PART_BYTES + 1)
    await home.ask(KNOWLEDGE_ADD, parts_of(body, "a.txt", job_id="a")[0])
    with pytest.raises(Busy, match="try again"):
        await home.ask(KNOWLEDGE_ADD, parts_of(body, "b.txt", job_id="b")[0])
    await home.ask(KNOWLEDGE_CANCEL, KnowledgeCancel(job_id="a"))
    await home.ask(KNOWLEDGE_ADD, parts_of(body, "b.txt", job_id="b")[0])


async def test_what_was_not_finished_is_read_after_a_restart(tmp_path: Path) -> None:
    embedder = WordEmbedder()
    embedder.failing = True
    async with living(tmp_path, embedder) as home:
        await home.add(MANUAL)
        (known,) = (await home.known()).documents
        assert known.embedded == 0
        assert (await home.search("lint filter"))[0].score == 0.0
    async with living(tmp_path) as home:
        while (await home.known()).documents[0].embedded < known.chunks:
            pass  # each question gives the background its time
        assert (await home.search("lint filter"))[0].score > 0.3


async def test_a_missing_library_is_named_with_what_mends_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*_args: object, **_more: object) -> None:
        raise ModuleNotFoundError("No module named 'pypdf'", name="pypdf")

    monkeypatch.setattr(reading, "extract", lacking)
    end = await home.add(MANUAL)
    assert end.error is not None
    assert "pypdf is missing" in end.error
    assert "documents]" in end.error


# Pages


async def test_a_private_page_is_refused_and_the_setting_named(home: Home, pages: Web) -> None:
    end = await home.fetch(pages.root)
    assert end.state == "failed"
    assert "`fetch_allow` in [memory]" in (end.error or "")
    assert pages.heard == []


async def test_pages_are_followed_and_refreshed(tmp_path: Path, pages: Web) -> None:
    async with living(tmp_path, fetch_allow=(HOST,)) as home:
        alone = await home.fetch(pages.root)
        assert (alone.state, alone.documents) == ("done", 1)
        both = await home.fetch(pages.root, depth=1)
        assert (both.documents, both.unchanged) == (2, 1)
        (hit, *_) = await home.search("Saturday open")
        assert hit.source == f"{pages.root}/hours"
        pages.pages["/hours"] = page("Hours", "<h1>Hours</h1><p>On Saturday we open at ten.</p>")
        pages.pages["/"] = Reply(status=304)
        end = await home.ended(await home.ask(KNOWLEDGE_REFRESH, KnowledgeRefresh()))
        assert (end.error, end.documents, end.unchanged) == (None, 2, 1)
        assert pages.heard[-2][1]["if-none-match"] == '"shop"'
        assert "at ten" in (await home.search("Saturday open"))[0].text
        pages.pages.clear()
        gone = await home.ended(await home.ask(KNOWLEDGE_REFRESH, KnowledgeRefresh()))
        assert (gone.state, gone.failures) == ("failed", 2)
        assert "404" in (gone.error or "")
        assert len((await home.known()).documents) == 2


# Asking


async def test_memory_finds_documents_too_and_names_them(home: Home) -> None:
    await home.add(MANUAL)
    await home.ask(MEMORY_REMEMBER, MemoryRemember(text="my lint filter is blue"))
    told, read, *_ = await home.query("lint filter month")
    assert {told.kind, read.kind} == {"memory", "document"}
    document = read if read.kind == "document" else told
    assert document.source == "Washing machine, Cleaning"
    assert document.link == "/home/anna/manual.md#cleaning"
    assert [one.kind for one in await home.query("", strategy="recent")] == ["memory"]
    assert await home.query("who wrote Hamlet") == []
    done = await home.ask(MEMORY_FORGET, MemoryForget(query="transport bolts before you move"))
    assert done.ids == ()
    assert await home.search("transport bolts")


async def test_words_alone_find_no_noise_in_long_texts(tmp_path: Path) -> None:
    async with living(tmp_path, WordEmbedder(missing=True)) as home:
        await home.add(MANUAL)
        assert (await home.query("how do I rinse the lint filter"))[0].kind == "document"
        assert await home.query("what water does a goldfish want in winter") == []


async def test_neighbours_are_joined_on_request(home: Home) -> None:
    sentences = [f"Step {n} of the recipe wants {n * 3} grams of flour." for n in range(200)]
    await home.add(" ".join(sentences).encode(), "cake.txt")
    (alone,) = await home.search("step 100 recipe flour", top_k=1)
    (wide,) = await home.search("step 100 recipe flour", top_k=1, context=1)
    assert len(wide.text) > 1.5 * len(alone.text)
    assert all(wide.text.count(sentence) <= 1 for sentence in sentences)
    assert sum(sentence in wide.text for sentence in sentences) > 20
    found = await home.query("step 100 recipe flour", top_k=1, context=1, max_tokens=250)
    assert len(found[0].text) <= 1000


# Ending


async def test_removed_documents_are_found_no_more(home: Home) -> None:
    await home.add(MANUAL)
    (known,) = (await home.known()).documents
    order = KnowledgeRemove(ids=(known.id, "nobody"))
    done = await home.ask(KNOWLEDGE_REMOVE, order, "rm")
    assert (done.ids, done.titles) == ((known.id,), ("Washing machine",))
    await home.add(MANUAL)
    assert await home.ask(KNOWLEDGE_REMOVE, order, "rm") == done
    assert len(await home.search("lint filter")) == 1


async def test_a_text_that_the_model_refuses_holds_nothing_up(tmp_path: Path) -> None:
    class Narrow(WordEmbedder):
        def embed(self, texts: Any, kind: Any = "document") -> Any:
            if any(len(text) > 400 for text in texts):
                raise TextRefused("too long")
            return super().embed(texts, kind)

    sentences = " ".join(f"Step {n} wants {n * 3} grams of flour." for n in range(40))
    async with living(tmp_path, Narrow()) as home:
        await home.add(f"{sentences}\n\n# Tea\n\nOolong wants ninety degrees.".encode())
        (known,) = (await home.known()).documents
        assert known.embedded == known.chunks > 1
        assert (await home.search("oolong degrees"))[0].score > 0.5


async def test_cancelled_work_ends_and_says_so(tmp_path: Path) -> None:
    asked = asyncio.Event()

    class Slow(WordEmbedder):
        async def embed(self, texts: Any, kind: Any = "document") -> Any:  # type: ignore[override]
            asked.set()
            await asyncio.sleep(0.01)
            return super().embed(texts, kind)

    body = "\n\n".join(f"# Room {n}\n\nThe lamp of room {n} is red." for n in range(300)).encode()
    async with living(tmp_path, Slow()) as home:
        done = await home.send(body)
        await asked.wait()
        assert (await home.ask(KNOWLEDGE_CANCEL, KnowledgeCancel(job_id=done.job_id))).accepted
        end = await home.ended(done)
        assert end.state == "cancelled"
        (job,) = (await home.known()).jobs
        assert job.state == "cancelled"
        unknown = await home.ask(KNOWLEDGE_CANCEL, KnowledgeCancel(job_id="nobody"))
        assert unknown.error


async def test_progress_is_told_while_it_lasts(home: Home) -> None:
    end = await home.add(MANUAL)
    states = [message.data.state for message in home.progress]
    assert states == ["reading", "embedding", "done"]
    assert home.progress[1].data.total == end.added
