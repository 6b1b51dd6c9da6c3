"""Reading documents in the background, one after the other, behind people's questions."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import replace
from typing import cast

import numpy as np
import structlog
from antiphon_contracts import ConfigError, EngineError, KnowledgeProgress, new_id
from antiphon_documents import CrawlRules, ExtractionError, FetchFailure, Page
from antiphon_documents.errors import FetchError

from antiphon_memory.embedder import TextRefused, Vectors
from antiphon_memory.embedding import Embedding, Notes
from antiphon_memory.knowledge import progress_of
from antiphon_memory.knowledge_store import Job, KnowledgeStore, KnownDocument, Order, State, Tally
from antiphon_memory.reading import Reader, Web, why

BATCH = 8
"""Chunks read from the store at once; `antiphon_memory.batching` lets questions in between."""

HALVINGS = 3
"""So often a text that the model refuses, mostly as too long, is cut in half."""

ATTEMPTS = 8
"""So often work may end with the whole worker before it is given up."""

SAY_EVERY_S = 1.0
RETRY_S = 30.0
NOTE = "knowledge"

log = structlog.get_logger(__name__)


class _CancelledError(Exception):
    """The work is not wanted any more."""


class Progress:
    """Tells the bus how far one job is: at each change of state, and about every second.

    Args:
        job: the job.
        say: publishes it.
        clock: a monotonic one, in seconds.
    """

    def __init__(
        self,
        job: Job,
        say: Callable[[KnowledgeProgress], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.tally = job.tally
        self._base = progress_of(job).model_copy(update={"done": 0, "total": 0})
        self._say = say
        self._clock = clock
        self._state = ""
        self._said_at = -SAY_EVERY_S

    def tell(self, state: str, *, done: int = 0, total: int = 0) -> None:
        """Say it, unless it was said just now."""
        if state == self._state and self._clock() - self._said_at < SAY_EVERY_S:
            return
        self._state, self._said_at = state, self._clock()
        known = {
            name: getattr(self.tally, name)
            for name in Tally.__dataclass_fields__
            if name != "title"
        }
        title = self.tally.title or self._base.title
        told = known | {"state": state, "done": done, "total": total, "title": title}
        self._say(self._base.model_copy(update=told))

    def note(self, **changes: int) -> None:
        """Count something."""
        now = {name: getattr(self.tally, name) + by for name, by in changes.items()}
        self.tally = replace(self.tally, **now)


class Ingester:
    """Carries out orders about documents, and gives chunks their vectors.

    A document can be found by words from the moment that it is stored, and by meaning as its chunks
    are embedded. What was begun when the worker ended is begun again.

    Args:
        store: keeps orders and documents.
        embedding: gives the vectors, or not: then words alone decide.
        reader: reads bytes.
        web: fetches pages.
        say: publishes progress.
        notes: is told when something does not work.
        now: the clock, in seconds since the epoch.
    """

    def __init__(
        self,
        store: KnowledgeStore,
        embedding: Embedding,
        reader: Reader,
        web: Web,
        *,
        say: Callable[[KnowledgeProgress], None],
        notes: Notes,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._embedding = embedding
        self._reader = reader
        self._web = web
        self._say = say
        self._notes = notes
        self._now = now
        self._wanted = asyncio.Event()
        self._cancelled: set[str] = set()
        self._current: str | None = None

    def wake(self) -> None:
        """There is work."""
        self._wanted.set()

    def cancel(self, job_id: str) -> None:
        """A job is not wanted any more; it ends at its next step."""
        if job_id == self._current:
            self._cancelled.add(job_id)

    async def run(self) -> None:
        """Work for ever."""
        while True:
            self._wanted.clear()
            try:
                await self.catch_up()
            except EngineError as error:
                log.warning("knowledge.failed", detail=str(error))
                self._notes.note(NOTE, f"Some documents are not read yet: {error}")
                with suppress(TimeoutError):
                    async with asyncio.timeout(RETRY_S):
                        await self._wanted.wait()
                continue
            self._notes.clear_note(NOTE)
            await self._wanted.wait()

    async def catch_up(self) -> None:
        """Carry out every order, then embed every chunk that has no vector.

        Raises:
            EngineError: the store or the embedder failed; what is done stays done.
        """
        while True:
            while job := await self._store.jobs.next():
                await self._carry_out(job)
            if not self._embedding.ready or not await self._embed_some(None):
                return

    async def _carry_out(self, job: Job) -> None:
        job_id = job.order.job_id
        progress = Progress(job, self._say)
        self._current = job_id
        state: State = "done"
        try:
            await self._work(job, progress)
        except _CancelledError:
            state = "cancelled"
        except (ExtractionError, FetchError, ConfigError) as error:
            log.info("knowledge.unread", error=type(error).__name__)
            state = "failed"
            progress.tally = replace(progress.tally, error=why(error))
        finally:
            self._current = None
            self._cancelled.discard(job_id)
        await self._store.jobs.end(job_id, state, progress.tally)
        progress.tell(state)

    async def _work(self, job: Job, progress: Progress) -> None:
        if job.attempts > ATTEMPTS:
            msg = f"Nothing came of {ATTEMPTS} attempts to read it; it is left out."
            raise ExtractionError(msg)
        match job.order.kind:
            case "upload":
                await self._read_upload(job, progress)
            case "page":
                await self._read_pages(job.order, progress)
            case "refresh":
                await self._refresh(job.order, progress)

    def _check(self, order: Order) -> None:
        if order.job_id in self._cancelled:
            raise _CancelledError

    # Documents

    async def _read_upload(self, job: Job, progress: Progress) -> None:
        order = job.order
        document_id = job.document_id
        if document_id is None:
            progress.tell("reading")
            body = await self._store.jobs.body(order.job_id)
            wanted = KnownDocument(
                id=new_id(),
                title=order.title or "",
                source=order.source,
                scope=order.scope,
                sha256=order.sha256,
                size_bytes=len(body),
                ts=self._now(),
            )
            document_id = await self._keep(
                order, progress, wanted, body, order.content_type, order.name, job
            )
        await self._embed(order, progress, document_id)

    async def _keep(
        self,
        order: Order,
        progress: Progress,
        wanted: KnownDocument,
        body: bytes,
        content_type: str,
        name: str,
        job: Job | None = None,
    ) -> str:
        """Store a document unless it is known as it is; returns its id."""
        known = await self._store.find_source(wanted.source, wanted.scope)
        if known is None:
            known = await self._store.find_content(wanted.sha256, wanted.scope)
        is_same = known is not None and known.sha256 == wanted.sha256
        if known is not None and is_same and wanted.title in {"", known.title}:
            progress.tally = replace(progress.tally, title=known.title)
            progress.note(documents=1, unchanged=1, kept=known.chunks)
            await self._store.touch(known.id, etag=wanted.etag, last_modified=wanted.last_modified)
            return known.id
        read = await self._reader.read(body, content_type=content_type, name=name)
        self._check(order)
        title = wanted.title or read.title or name
        document = replace(wanted, title=title)
        progress.tally = replace(progress.tally, title=title)
        changes = await self._store.put(document, read.pieces, job)
        progress.note(documents=1, added=changes.added, kept=changes.kept, removed=changes.removed)
        return changes.document_id

    async def _read_pages(self, order: Order, progress: Progress) -> None:
        progress.tell("fetching")
        if not order.depth:
            page = await self._web.fetch(order.source, etag=None, last_modified=None)
            await self._keep_page(order, progress, cast("Page", page), order.title)
            return
        rules = CrawlRules(depth=order.depth, max_pages=order.max_pages, same_site=order.same_site)
        failure: FetchError | ExtractionError | None = None
        done = 0
        async with aclosing(self._web.crawl(order.source, rules)) as pages:
            async for found in pages:
                self._check(order)
                done += 1
                try:
                    if isinstance(found, FetchFailure):
                        raise found.error
                    await self._keep_page(order, progress, found, None)
                except (FetchError, ExtractionError) as error:
                    failure = error
                    progress.note(failures=1)
                progress.tell("fetching", done=done)
        if failure is not None and not progress.tally.documents:
            raise failure

    async def _keep_page(
        self, order: Order, progress: Progress, page: Page, title: str | None
    ) -> None:
        wanted = KnownDocument(
            id=new_id(),
            title=title or "",
            source=page.final_url,
            scope=order.scope,
            sha256=await _digest(page.body),
            size_bytes=len(page.body),
            ts=self._now(),
            etag=page.etag,
            last_modified=page.last_modified,
        )
        progress.tell("reading", done=progress.tally.documents)
        document_id = await self._keep(
            order, progress, wanted, page.body, page.declared_type, page.final_url
        )
        await self._embed(order, progress, document_id)

    async def _refresh(self, order: Order, progress: Progress) -> None:
        ids = order.ids or tuple(await self._store.with_address())
        failure: FetchError | ExtractionError | None = None
        for number, document_id in enumerate(ids):
            self._check(order)
            known = await self._store.find(document_id)
            if known is None or not known.source.startswith(("http://", "https://")):
                progress.note(failures=1)
                failure = failure or ExtractionError(
                    "A file is not fetched anew; add it again when it has changed."
                )
                continue
            progress.tally = replace(progress.tally, title=known.title)
            progress.tell("fetching", done=number, total=len(ids))
            try:
                await self._refresh_one(order, progress, known)
            except (FetchError, ExtractionError) as error:
                progress.note(failures=1)
                failure = error
        if failure is not None:
            progress.tally = replace(progress.tally, error=why(failure))
            if not progress.tally.documents:
                raise failure

    async def _refresh_one(self, order: Order, progress: Progress, known: KnownDocument) -> None:
        page = await self._web.fetch(
            known.source, etag=known.etag, last_modified=known.last_modified
        )
        if page is None:
            progress.note(documents=1, unchanged=1, kept=known.chunks)
            return
        # Under the address that it is known by, wherever that leads today.
        await self._keep_page(
            replace(order, scope=known.scope),
            progress,
            replace(page, final_url=known.source),
            known.title,
        )

    # Vectors

    async def _embed(self, order: Order, progress: Progress, document_id: str) -> None:
        """Embed a document's chunks; without an embedder, or if it fails, that is done later."""
        total = await self._store.count_unembedded(document_id)
        done = 0
        while total and self._embedding.ready:
            self._check(order)
            progress.tell("embedding", done=done, total=total)
            try:
                embedded = await self._embed_some(document_id)
            except EngineError as error:
                log.warning("knowledge.embedding_failed", detail=str(error))
                self._notes.note(NOTE, f"Some documents are found by words only: {error}")
                return
            if not embedded:
                return
            done += embedded

    async def _embed_some(self, document_id: str | None) -> int:
        batch = await self._store.unembedded(BATCH, document_id)
        if not batch:
            return 0
        try:
            vectors = await self._embedding.embed([one.text for one in batch], "document")
        except TextRefused:
            vectors = np.stack([await self._embed_alone(one.text) for one in batch])
        await self._store.set_vectors([one.id for one in batch], vectors)
        return len(batch)

    async def _embed_alone(self, text: str) -> Vectors:
        """Return the vector of as much of a text as the model takes; zeros if it takes none."""
        for _ in range(HALVINGS + 1):
            try:
                vectors = await self._embedding.embed([text], "document")
            except TextRefused:
                text = text[: max(1, len(text) // 2)]
            else:
                vector: Vectors = vectors[0]
                return vector
        return np.zeros(self._embedding.dimension, dtype=np.float32)


async def _digest(body: bytes) -> str:
    return await asyncio.to_thread(lambda: hashlib.sha256(body).hexdigest())
