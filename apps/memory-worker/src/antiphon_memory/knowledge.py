"""The knowledge base, whatever keeps it: add, list, search, remove and refresh documents."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from antiphon_contracts import (
    PART_BYTES,
    Busy,
    DocumentPart,
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

from antiphon_memory.knowledge_store import Job, KnowledgeStore, KnownDocument, Order, Tally
from antiphon_memory.passages import places_around, widen
from antiphon_memory.ranking import within_budget
from antiphon_memory.searching import Passage, Search
from antiphon_memory.service import Candidate, Where

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

UPLOADS_AT_ONCE = 4
WAITING_JOBS = 32
UPLOAD_TTL_S = 3_600.0
OUTCOMES_KEPT_S = 86_400.0

MEGABYTE = 1_000_000


class Knowledge:
    """Handles requests about documents; the library that memory's questions are asked of, too.

    What it accepts is kept before it is answered; the work itself is `antiphon_memory.ingesting`'s.

    Args:
        store: keeps it all.
        search: finds passages on the store's shelf alone.
        max_bytes: how long a document may be.
        on_order: called when there is work.
        on_cancel: called with the id of work that is not wanted any more.
        now: the clock, in seconds since the epoch.
    """

    def __init__(
        self,
        store: KnowledgeStore,
        search: Search,
        *,
        max_bytes: int,
        on_order: Callable[[], None],
        on_cancel: Callable[[str], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._jobs = store.jobs
        self._search = search
        self._max_bytes = max_bytes
        self._on_order = on_order
        self._on_cancel = on_cancel
        self._now = now

    # Adding

    async def on_add(self, message: Message[KnowledgeAdd]) -> KnowledgeDone:
        """Keep a part of an upload, or the order to fetch a page.

        Raises:
            Busy: too much waits already.
        """
        asked = message.data
        if asked.part is not None:
            return await self._take_part(asked, asked.part)
        if not asked.source.lower().startswith(("http://", "https://")):
            return _refused("add", "An address begins with http:// or https://.")
        job = await self._jobs.find(asked.job_id)
        if job is None:
            await self._check_room()
            await self._jobs.begin(_page_order(asked), "queued")
            self._on_order()
        return KnowledgeDone(action="add", job_id=asked.job_id, accepted=True)

    async def _take_part(self, asked: KnowledgeAdd, part: DocumentPart) -> KnowledgeDone:
        order = _upload_order(asked, part)
        body = _decoded(part)
        refusal = self._why_not(order, part, body)
        if refusal or body is None:
            return _refused("add", refusal or "A part of the document is damaged.")
        job = await self._jobs.find(order.job_id)
        if job is None:
            await self._check_room()
            await self._jobs.begin(order, "receiving")
        elif job.order != order:
            return _refused("add", "Another document is uploaded under that id.")
        elif job.state != "receiving":
            return _accepted(job)
        received = await self._jobs.put_part(order.job_id, part.number, body)
        if received < order.parts:
            return KnowledgeDone(action="add", job_id=order.job_id, received=received)
        return await self._complete(order)

    async def _complete(self, order: Order) -> KnowledgeDone:
        body = await self._jobs.body(order.job_id)
        digest = await asyncio.to_thread(lambda: hashlib.sha256(body).hexdigest())
        if digest != order.sha256:
            error = "The document was damaged on its way; send it again."
            await self._jobs.end(order.job_id, "failed", Tally(error=error))
            return _refused("add", error)
        await self._jobs.queue(order.job_id)
        self._on_order()
        return KnowledgeDone(action="add", job_id=order.job_id, received=order.parts, accepted=True)

    def _why_not(self, order: Order, part: DocumentPart, body: bytes | None) -> str | None:
        if order.size_bytes > self._max_bytes:
            size, most = order.size_bytes / MEGABYTE, self._max_bytes / MEGABYTE
            return (
                f"The document has {size:.1f} MB, and at most {most:g} MB are taken: raise "
                "`document_bytes` in [memory], or split it."
            )
        is_last = part.number == order.parts - 1
        expected = order.size_bytes - part.number * PART_BYTES if is_last else PART_BYTES
        if part.number >= order.parts or body is None or len(body) != expected:
            return "A part of the document is damaged, or not 256 KiB long."
        return None

    async def _check_room(self) -> None:
        await self._jobs.drop(
            unfinished_before=self._now() - UPLOAD_TTL_S,
            ended_before=self._now() - OUTCOMES_KEPT_S,
        )
        jobs = await self._jobs.all()
        uploads = sum(job.state == "receiving" for job in jobs)
        waiting = sum(job.state == "queued" for job in jobs)
        if uploads >= UPLOADS_AT_ONCE or waiting >= WAITING_JOBS:
            msg = (
                f"{waiting} documents wait to be read and {uploads} are being sent; "
                "try again when some are done"
            )
            raise Busy(msg)

    # The other orders

    async def on_refresh(self, message: Message[KnowledgeRefresh]) -> KnowledgeDone:
        """Keep the order to fetch documents anew.

        Raises:
            Busy: too much waits already.
        """
        job_id = message.id
        if await self._jobs.find(job_id) is None:
            await self._check_room()
            order = Order(job_id, "refresh", ids=message.data.ids)
            await self._jobs.begin(order, "queued")
            self._on_order()
        return KnowledgeDone(action="refresh", job_id=job_id, accepted=True)

    async def on_cancel(self, message: Message[KnowledgeCancel]) -> KnowledgeDone:
        """End work; what was read already stays."""
        job_id = message.data.job_id
        job = await self._jobs.find(job_id)
        if job is None:
            return _refused("cancel", "There is no such work.")
        await self._jobs.end(job_id, "cancelled", job.tally)
        self._on_cancel(job_id)
        return KnowledgeDone(action="cancel", job_id=job_id, accepted=True)

    async def on_remove(self, message: Message[KnowledgeRemove]) -> KnowledgeDone:
        """Delete documents."""
        outcome = await self._store.remove(message.id, message.data.ids)
        return KnowledgeDone(action="remove", accepted=True, ids=outcome.ids, titles=outcome.texts)

    # Asking

    async def on_list(self, message: Message[KnowledgeList]) -> KnowledgeDocuments:
        """Return documents and the work on them."""
        asked = message.data
        if asked.job_id is not None:
            job = await self._jobs.find(asked.job_id)
            return KnowledgeDocuments(jobs=(progress_of(job),) if job else ())
        found = await self._store.documents(limit=asked.limit + 1, after=asked.after)
        jobs = await self._jobs.all()
        return KnowledgeDocuments(
            documents=tuple(map(_listed, found[: asked.limit])),
            more=len(found) > asked.limit,
            jobs=tuple(progress_of(job) for job in jobs),
        )

    async def on_search(self, message: Message[KnowledgeSearch]) -> KnowledgeResults:
        """Return passages that have to do with the question, best first."""
        asked = message.data
        where = Where(() if asked.scope is None else (asked.scope,))
        found = await self._search.find(asked.text, where, by_words=True, limit=asked.top_k)
        kept = within_budget(found[: asked.top_k], lambda one: one.memory.text, asked.max_tokens)
        if asked.context:
            kept = await self.widened(kept, context=asked.context, max_tokens=asked.max_tokens)
        return KnowledgeResults(results=tuple(_hit(one) for one in kept))

    async def similar(
        self, vector: NDArray[np.float32], *, limit: int, where: Where
    ) -> list[Candidate]:
        """See `Shelf`."""
        return await self._store.similar(vector, limit=limit, where=where)

    async def matching(
        self,
        words: Sequence[str],
        *,
        limit: int,
        where: Where,
        vector: NDArray[np.float32] | None,
    ) -> list[Candidate]:
        """See `Shelf`."""
        return await self._store.matching(words, limit=limit, where=where, vector=vector)

    async def widened(
        self, found: Sequence[Candidate], *, context: int, max_tokens: int | None
    ) -> list[Candidate]:
        """See `Library`."""
        texts = await self._store.texts_at(places_around(found, context))
        return widen(found, texts, context=context, max_tokens=max_tokens)

    async def prune(self) -> None:
        """Delete half-sent uploads, and outcomes after a day."""
        now = self._now()
        await self._jobs.drop(
            unfinished_before=now - UPLOAD_TTL_S, ended_before=now - OUTCOMES_KEPT_S
        )
        await self._store.prune(outcomes_before=now - OUTCOMES_KEPT_S)


def progress_of(job: Job) -> KnowledgeProgress:
    """Return how far a job is, as the bus is told."""
    tally = job.tally
    return KnowledgeProgress(
        job_id=job.order.job_id,
        state="queued" if job.state == "receiving" else job.state,
        title=tally.title or job.order.title or job.order.name or job.order.source,
        done=job.received,
        total=job.order.parts,
        documents=tally.documents,
        unchanged=tally.unchanged,
        added=tally.added,
        kept=tally.kept,
        removed=tally.removed,
        failures=tally.failures,
        error=tally.error,
    )


def _page_order(asked: KnowledgeAdd) -> Order:
    return Order(
        asked.job_id,
        "page",
        source=asked.source,
        title=asked.title,
        scope=asked.scope,
        depth=asked.crawl.depth,
        same_site=asked.crawl.same_site,
        max_pages=asked.crawl.max_pages,
    )


def _upload_order(asked: KnowledgeAdd, part: DocumentPart) -> Order:
    return Order(
        asked.job_id,
        "upload",
        source=asked.source,
        title=asked.title,
        scope=asked.scope,
        name=part.name,
        content_type=part.content_type,
        sha256=part.sha256,
        size_bytes=part.size_bytes,
        parts=-(-part.size_bytes // PART_BYTES),
    )


def _decoded(part: DocumentPart) -> bytes | None:
    try:
        return base64.b64decode(part.data, validate=True)
    except ValueError:  # binascii.Error is one
        return None


def _accepted(job: Job) -> KnowledgeDone:
    if job.state in {"failed", "cancelled"}:
        return _refused("add", job.tally.error or "That upload was cancelled.")
    return KnowledgeDone(
        action="add", job_id=job.order.job_id, received=job.order.parts, accepted=True
    )


def _refused(action: str, error: str) -> KnowledgeDone:
    return KnowledgeDone.model_validate({"action": action, "error": error})


def _listed(document: KnownDocument) -> KnowledgeDocument:
    return KnowledgeDocument(
        id=document.id,
        title=document.title,
        source=document.source,
        scope=document.scope,
        chunks=document.chunks,
        embedded=document.embedded,
        size_bytes=document.size_bytes,
        ts=document.ts,
    )


def _hit(found: Candidate) -> KnowledgeHit:
    passage = found.memory
    assert isinstance(passage, Passage)  # noqa: S101  (the search has no other shelf)
    return KnowledgeHit(
        id=passage.id,
        document_id=passage.document_id,
        text=passage.text,
        title=passage.title,
        source=passage.address,
        anchor=passage.anchor,
        score=found.cosine or 0.0,
    )
