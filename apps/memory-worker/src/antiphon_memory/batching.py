"""Batches formed of what many callers want at the same time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass
from functools import partial

import structlog
from antiphon_contracts import EngineError
from antiphon_runtime.tasks import running

from antiphon_memory.embedder import Kind, TextRefused, Vectors

QUERIES_IN_A_ROW = 8
"""So many batches of queries at most go before a batch of documents that waits."""

Compute = Callable[[Sequence[str], Kind], Awaitable[Vectors]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How large batches are, and how many texts may wait.

    A text that is longer than a batch may be is a batch of its own.

    Attributes:
        queries: texts of one batch. Nobody waits for a batch to fill.
        query_chars: characters of one batch.
        documents: texts of one batch; a query waits behind one of these at most.
        document_chars: characters of one batch.
        waiting: texts of one kind that may wait; more are refused.
        parallel: batches computed at once. With more than one, one is kept free for queries.
    """

    queries: int = 32
    query_chars: int = 16_000
    documents: int = 8
    document_chars: int = 1_500
    waiting: int = 256
    parallel: int = 1

    def allow(self, kind: Kind, count: int, chars: int) -> bool:
        """Return whether so much may be in one batch."""
        if kind == "query":
            return count <= self.queries and chars <= self.query_chars
        return count <= self.documents and chars <= self.document_chars


@dataclass(eq=False, slots=True)
class _Job:
    """What one caller wants: a few texts of one kind."""

    texts: Sequence[str]
    vectors: asyncio.Future[Vectors]
    chars: int

    def fail(self, error: EngineError) -> None:
        if not self.vectors.done():
            self.vectors.set_exception(error)


class Batcher:
    """Computes at once when there is nothing to do; what comes meanwhile is the next batch.

    Queries go before documents. A caller that is cancelled leaves the queue, and what is computed
    for it already is dropped. A text that is at fault fails only its own caller.

    Args:
        compute: returns one vector per text of a batch, in their order.
        limits: of batches and queues.
    """

    def __init__(self, compute: Compute, limits: BatchLimits) -> None:
        self._compute = compute
        self._limits = limits
        self._waiting: dict[Kind, deque[_Job]] = {"query": deque(), "document": deque()}
        self._group: asyncio.TaskGroup | None = None
        self._context: Context | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._documents_running = 0
        self._queries_in_a_row = 0
        self._is_due = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Compute as long as the block runs; at its end all who wait are told."""
        async with running() as group:
            self._group, self._context = group, copy_context()
            try:
                yield
            finally:
                self._group = None
                for jobs in self._waiting.values():
                    _fail_all(jobs, _closed())
                    jobs.clear()
                for task in self._tasks:
                    task.cancel()

    def lots(self, texts: Sequence[str], kind: Kind) -> Iterator[range]:
        """Yield the rows of as many texts as one call of `vectors` may bring, till all are."""
        first, chars = 0, 0
        for row, text in enumerate(texts):
            chars += len(text)
            if row > first and not self._limits.allow(kind, row - first + 1, chars):
                yield range(first, row)
                first, chars = row, len(text)
        if first < len(texts):
            yield range(first, len(texts))

    async def vectors(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """Return one vector per text; no more texts than one of `lots`.

        Raises:
            EngineError: too many wait, it is closed, or the computation failed.
        """
        if self._group is None:
            raise _closed()
        jobs = self._waiting[kind]
        if sum(len(job.texts) for job in jobs) + len(texts) > self._limits.waiting:
            msg = "too many texts wait to be embedded"
            raise EngineError(msg, retryable=True)
        future: asyncio.Future[Vectors] = asyncio.get_running_loop().create_future()
        job = _Job(texts, future, sum(map(len, texts)))
        jobs.append(job)
        self._soon()
        try:
            return await job.vectors
        finally:
            if job in jobs:
                jobs.remove(job)

    def _soon(self) -> None:
        """Begin a batch once all who are running now had their say: that takes no time."""
        if not self._is_due:
            self._is_due = True
            # Not in the caller's context: the batch is not the caller's alone.
            asyncio.get_running_loop().call_soon(self._begin, context=self._context)

    def _begin(self) -> None:
        """Begin as many batches as may be computed at once."""
        self._is_due = False
        while self._group is not None and (kind := self._next_kind()) is not None:
            jobs = self._take(kind)
            self._documents_running += kind == "document"
            task = self._group.create_task(self._answer(jobs, kind), name="embedding-batch")
            self._tasks.add(task)
            task.add_done_callback(partial(self._end, jobs, kind))

    def _next_kind(self) -> Kind | None:
        free = self._limits.parallel - len(self._tasks)
        for_documents = max(1, self._limits.parallel - 1) - self._documents_running
        documents = bool(self._waiting["document"]) and min(free, for_documents) > 0
        if free <= 0 or not (documents or self._waiting["query"]):
            return None
        is_their_turn = self._queries_in_a_row >= QUERIES_IN_A_ROW
        if documents and (is_their_turn or not self._waiting["query"]):
            self._queries_in_a_row = 0
            return "document"
        self._queries_in_a_row += documents
        return "query"

    def _take(self, kind: Kind) -> list[_Job]:
        """Return who is first, and as many more as fit into one batch."""
        jobs = self._waiting[kind]
        taken = [jobs.popleft()]
        count, chars = len(taken[0].texts), taken[0].chars
        while jobs:
            count, chars = count + len(jobs[0].texts), chars + jobs[0].chars
            if not self._limits.allow(kind, count, chars):
                break
            taken.append(jobs.popleft())
        return taken

    def _end(self, jobs: list[_Job], kind: Kind, task: asyncio.Task[None]) -> None:
        """Make room for the next batch; a callback, for a cancelled task may never have run."""
        _fail_all(jobs, _closed())
        self._tasks.discard(task)
        self._documents_running -= kind == "document"
        self._soon()

    async def _answer(self, jobs: list[_Job], kind: Kind) -> None:
        """Give each caller its vectors, or an error."""
        jobs = [job for job in jobs if not job.vectors.done()]
        if not jobs:
            return
        texts = [text for job in jobs for text in job.texts]
        try:
            vectors = await self._compute(texts, kind)
        except TextRefused as error:
            if len(jobs) == 1:
                jobs[0].fail(error)
                return
            middle = len(jobs) // 2
            await self._answer(jobs[:middle], kind)
            await self._answer(jobs[middle:], kind)
        except EngineError as error:
            _fail_all(jobs, error)
        except Exception as error:  # noqa: BLE001  (it goes to all who wait)
            # Its text and its trace may quote what people said.
            name = type(error).__name__
            log.error("memory.embedder_crashed", error=name)  # noqa: TRY400  (see above)
            _fail_all(jobs, EngineError(f"the embedder failed with {name}"))
        else:
            row = 0
            for job in jobs:
                if not job.vectors.done():
                    job.vectors.set_result(vectors[row : row + len(job.texts)])
                row += len(job.texts)


def _fail_all(jobs: Iterable[_Job], error: EngineError) -> None:
    for job in jobs:
        job.fail(error)


def _closed() -> EngineError:
    return EngineError("the embedder is closed", retryable=True)
