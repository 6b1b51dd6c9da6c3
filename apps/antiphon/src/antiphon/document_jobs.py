"""Work on documents as the command line follows it: sent in parts, watched to its end."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import mimetypes
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

from antiphon_contracts import (
    KNOWLEDGE_ADD,
    KNOWLEDGE_CANCEL,
    KNOWLEDGE_LIST,
    KNOWLEDGE_REFRESH,
    PART_BYTES,
    BusError,
    Busy,
    DocumentPart,
    EngineError,
    KnowledgeAdd,
    KnowledgeCancel,
    KnowledgeDone,
    KnowledgeList,
    KnowledgeProgress,
    KnowledgeRefresh,
    Message,
    RequestTimeout,
    WorkerGone,
    new_id,
)
from antiphon_runtime import Bus
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

PART_TIMEOUT_S = 30.0
BUSY_WAIT_S = 1.0
ASK_AGAIN_S = 3.0
GONE_S = 60.0
"""How long the worker may be away while it has something to do, until that is given up."""

FINAL = frozenset({"done", "failed", "cancelled"})
_WORDS = {
    "sending": "sending",
    "queued": "waiting",
    "fetching": "fetching",
    "reading": "reading",
    "embedding": "learning",
}


def is_address(source: str) -> bool:
    """Whether a source is the address of a page."""
    return source.lower().startswith(("http://", "https://"))


@dataclass(frozen=True, slots=True)
class Upload:
    """A document to be sent.

    Attributes:
        source: what it is known by.
        name: the file's.
        body: its bytes.
        title: instead of its own.
        scope: whose knowledge it is.
    """

    source: str
    name: str
    body: bytes
    title: str | None
    scope: str


class Jobs:
    """Orders work on documents, and follows it.

    Args:
        bus: the requests of the knowledge base must be declared to it, and `on_progress` listen.
    """

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._heard: dict[str, KnowledgeProgress] = {}
        self._news = asyncio.Event()

    async def on_progress(self, message: Message[KnowledgeProgress]) -> None:
        """Take in how far work is; what nobody here waits for is passed over."""
        if message.data.job_id in self._heard:
            self._heard[message.data.job_id] = message.data
            self._news.set()

    async def send(self, upload: Upload) -> KnowledgeProgress:
        """Send a document and return how its reading ended.

        Raises:
            EngineError: it was refused.
            BusError: the worker does not answer.
        """
        digest = await asyncio.to_thread(lambda: hashlib.sha256(upload.body).hexdigest())
        kind = mimetypes.guess_type(upload.name)[0] or ""
        starts = range(0, len(upload.body), PART_BYTES)
        with _bar(upload.title or upload.name) as show:
            async with self._watched(new_id()) as job_id:
                for number, start in enumerate(starts):
                    show("sending", number, len(starts))
                    part = DocumentPart(
                        name=upload.name,
                        content_type=kind,
                        sha256=digest,
                        size_bytes=len(upload.body),
                        number=number,
                        data=base64.b64encode(upload.body[start : start + PART_BYTES]).decode(),
                    )
                    order = KnowledgeAdd(
                        job_id=job_id,
                        source=upload.source,
                        title=upload.title,
                        scope=upload.scope,
                        part=part,
                    )
                    await self._ask(order)
                return await self._ended(job_id, show)

    async def order(self, order: KnowledgeAdd) -> KnowledgeProgress:
        """Have pages fetched and return how that ended.

        Raises:
            EngineError: it was refused.
            BusError: the worker does not answer.
        """
        with _bar(order.title or order.source) as show:
            async with self._watched(order.job_id) as job_id:
                await self._ask(order)
                return await self._ended(job_id, show)

    async def refresh(self, order: KnowledgeRefresh) -> KnowledgeProgress:
        """Have documents fetched anew and return how that ended.

        Raises:
            EngineError: it was refused.
            BusError: the worker does not answer.
        """
        with _bar("") as show:
            async with self._watched(new_id()) as job_id:
                _checked(
                    await self._bus.request(
                        KNOWLEDGE_REFRESH, order, timeout_s=PART_TIMEOUT_S, message_id=job_id
                    )
                )
                return await self._ended(job_id, show)

    @asynccontextmanager
    async def _watched(self, job_id: str) -> AsyncIterator[str]:
        """Take note of a job's progress; if the block is cancelled, so is the job."""
        self._heard[job_id] = KnowledgeProgress(job_id=job_id)
        try:
            yield job_id
        except asyncio.CancelledError:
            with suppress(BusError, TimeoutError):
                async with asyncio.timeout(2.0):
                    await self._bus.publish(KNOWLEDGE_CANCEL, KnowledgeCancel(job_id=job_id))
            raise
        finally:
            del self._heard[job_id]

    async def _ask(self, order: KnowledgeAdd) -> None:
        """Send an order; while too much waits there, wait as well."""
        message_id = new_id()
        while True:
            try:
                done = await self._bus.request(
                    KNOWLEDGE_ADD, order, timeout_s=PART_TIMEOUT_S, message_id=message_id
                )
            except Busy:
                await asyncio.sleep(BUSY_WAIT_S)
                continue
            _checked(done)
            return

    async def _ended(self, job_id: str, show: _Show) -> KnowledgeProgress:
        """Follow a job to its end; what was not heard is asked for."""
        loop = asyncio.get_running_loop()
        silent_since = loop.time()
        while (now := self._heard[job_id]).state not in FINAL:
            show(now.state, now.done, now.total, now.title)
            try:
                async with asyncio.timeout(ASK_AGAIN_S):
                    await self._news.wait()
                silent_since = loop.time()
            except TimeoutError:
                if await self._catch_up(job_id):
                    silent_since = loop.time()
                elif loop.time() - silent_since > GONE_S:
                    msg = (
                        "the memory worker went away; it goes on with the document when it is back"
                    )
                    raise WorkerGone(msg) from None
            self._news.clear()
        return now

    async def _catch_up(self, job_id: str) -> bool:
        """Ask how far a job is; returns whether there was an answer."""
        try:
            answer = await self._bus.request(
                KNOWLEDGE_LIST, KnowledgeList(job_id=job_id), timeout_s=ASK_AGAIN_S
            )
        except (WorkerGone, RequestTimeout, Busy):
            return False
        if not answer.jobs:
            raise EngineError("the memory worker knows nothing of the document; add it again")
        if answer.jobs[0].state in FINAL:
            self._heard[job_id] = answer.jobs[0]
        return True


def _checked(done: KnowledgeDone) -> None:
    if done.error is not None:
        raise EngineError(done.error)


class _Show:
    """Shows one job's progress as a bar."""

    def __init__(self, progress: Progress, title: str) -> None:
        self._progress = progress
        self._title = title
        self._task = progress.add_task(title, total=None)

    def __call__(self, state: str, done: int, total: int, title: str = "") -> None:
        text = f"{_WORDS.get(state, state)} {title or self._title}"
        self._progress.update(self._task, description=text, completed=done, total=total or None)


@contextmanager
def _bar(title: str) -> Iterator[_Show]:
    """Show a bar while the block runs; in a file or a pipe nothing."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as progress:
        yield _Show(progress, title)
