"""The examples of the knowledge base."""

from __future__ import annotations

from antiphon_contracts.envelope import Payload
from antiphon_contracts.payloads.knowledge import (
    CrawlOptions,
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
)

_DOCUMENT = "019b76da-a800-7000-8000-000000000008"
_CHUNK = "019b76da-a800-7000-8000-000000000009"
_JOB = "019b76da-a800-7000-8000-000000000007"
_TS = 1767225600.25

KNOWING: tuple[Payload, ...] = (
    KnowledgeAdd(
        job_id=_JOB,
        source="https://example.org/manual.txt",
        title="Manual of the washing machine",
        scope="anna",
        part=DocumentPart(
            name="manual.txt",
            content_type="text/plain",
            sha256="2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881",
            size_bytes=1,
            number=1,
            data="eA==",
        ),
        crawl=CrawlOptions(depth=2, same_site=False, max_pages=20),
    ),
    KnowledgeRemove(ids=(_DOCUMENT,)),
    KnowledgeRefresh(ids=(_DOCUMENT,)),
    KnowledgeCancel(job_id=_JOB),
    KnowledgeDone(
        action="add",
        job_id=_JOB,
        received=1,
        accepted=True,
        ids=(_DOCUMENT,),
        titles=("Manual of the washing machine",),
        error="The disk is full.",
    ),
    KnowledgeList(limit=10, after=_DOCUMENT, job_id=_JOB),
    KnowledgeDocuments(
        documents=(
            KnowledgeDocument(
                id=_DOCUMENT,
                title="Manual of the washing machine",
                source="https://example.org/manual.txt",
                scope="anna",
                chunks=12,
                embedded=7,
                size_bytes=9_000,
                ts=_TS,
            ),
        ),
        more=True,
        jobs=(
            KnowledgeProgress(
                job_id=_JOB,
                state="failed",
                title="Manual of the washing machine",
                done=7,
                total=12,
                documents=2,
                unchanged=1,
                added=9,
                kept=3,
                removed=4,
                failures=5,
                error="The page did not arrive within 30 seconds.",
            ),
        ),
        error="The disk cannot be read.",
    ),
    KnowledgeProgress(
        job_id=_JOB,
        state="embedding",
        title="Manual of the washing machine",
        done=7,
        total=12,
        documents=2,
        unchanged=1,
        added=9,
        kept=3,
        removed=4,
        failures=5,
        error="One page did not arrive within 30 seconds.",
    ),
    KnowledgeSearch(
        text="How often is the filter cleaned?", top_k=3, max_tokens=400, scope="anna", context=1
    ),
    KnowledgeResults(
        results=(
            KnowledgeHit(
                id=_CHUNK,
                document_id=_DOCUMENT,
                text="Clean the filter every month.",
                title="Manual of the washing machine",
                source="https://example.org/manual.txt",
                anchor="#cleaning",
                score=0.71,
            ),
        ),
        error="The embedding model is missing; only words were compared.",
    ),
)
