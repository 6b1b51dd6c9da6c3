"""Who waits for which reply, and what was answered already."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, Literal, TypeVar

from antiphon_contracts import (
    BusError,
    Busy,
    ContractError,
    Payload,
    Refusal,
    RemoteError,
    RequestTimeout,
    RequestTopic,
    WorkerGone,
)

R = TypeVar("R", bound=Payload)
P = TypeVar("P", bound=Payload)

RESEND_AFTER_S = 1.0
RESEND_AT_MOST_EVERY_S = 2.0
# A lost reply is asked for again within 2.4 s and must still be here, or the request is carried
# out twice: these are several times what a worker can answer in that time.
STORED_REPLIES = 8192
STORED_REPLY_BYTES = 8 * 1024 * 1024


def offline(kind: str) -> WorkerGone:
    """Return what is said when no worker of a kind is there."""
    return WorkerGone(f"the {kind} worker is offline")


class Pending(Generic[R]):
    """One awaited reply."""

    def __init__(self, topic: RequestTopic[Any, R]) -> None:
        self.topic = topic
        self.send: Callable[[], None] = lambda: None
        self.future: asyncio.Future[R] = asyncio.get_running_loop().create_future()

    def resolve(self, data: R) -> None:
        """The reply is there."""
        if not self.future.done():
            self.future.set_result(data)

    def fail(self, error: Exception) -> None:
        """The request came to nothing."""
        if not self.future.done():
            self.future.set_exception(error)

    def refuse(self, refusal: Refusal) -> None:
        """The worker did not carry it out."""
        if refusal.code == "busy":
            self.fail(Busy(refusal.detail))
        else:
            self.fail(RemoteError(refusal.detail, code=refusal.code))


class PendingReplies:
    """All awaited replies, by correlation id; an entry leaves with its waiter.

    Args:
        counters: counts resent requests and replies that nobody awaits.
        is_absent: whether no worker of a kind is there to answer.
    """

    def __init__(self, counters: Counter[str], is_absent: Callable[[str], bool]) -> None:
        self._entries: dict[str, Pending[Any]] = {}
        self._counters = counters
        self._is_absent = is_absent

    def __len__(self) -> int:
        return len(self._entries)

    @contextmanager
    def expect(self, message_id: str, topic: RequestTopic[P, R]) -> Iterator[Pending[R]]:
        """Await a reply while the block runs.

        Raises:
            ContractError: a reply to that id is awaited already.
        """
        if message_id in self._entries:
            msg = f"{topic.pattern}: a request of that id is under way"
            raise ContractError(msg)
        pending = Pending(topic)
        self._entries[message_id] = pending
        try:
            yield pending
        finally:
            del self._entries[message_id]
            pending.future.cancel()

    def find(self, correlation_id: object) -> Pending[Any] | None:
        """Return the waiter; late and foreign replies are counted and have none."""
        pending = self._entries.get(correlation_id) if isinstance(correlation_id, str) else None
        if pending is None or pending.future.done():
            self._counters["replies_unclaimed"] += 1
            return None
        return pending

    async def wait(self, pending: Pending[R], send: Callable[[], None], timeout_s: float) -> R:
        """Send until the reply is there.

        Raises:
            RequestTimeout: not within `timeout_s`.
            WorkerGone: by the time to send again it is clear that nobody is there.
        """
        pending.send = send
        timer = _ResendTimer(pending, timeout_s, self._counters, self._is_absent)
        try:
            return await pending.future
        finally:
            timer.cancel()

    def resend_all(self) -> None:
        """Send every open request again: the connection is new."""
        for pending in list(self._entries.values()):
            pending.send()

    def resend_to(self, kind: str) -> None:
        """Send every open request to a kind of worker again: one of them is there anew."""
        for pending in list(self._entries.values()):
            if pending.topic.receiver == kind:
                pending.send()

    def close(self) -> None:
        """Fail every open request: the bus is closed."""
        for pending in self._entries.values():
            pending.fail(BusError("the bus was closed before the reply came"))


class _ResendTimer:
    """Sends at once, and again ever less often until cancelled or out of time."""

    def __init__(
        self,
        pending: Pending[Any],
        timeout_s: float,
        counters: Counter[str],
        is_absent: Callable[[str], bool],
    ) -> None:
        self._pending = pending
        self._timeout_s = timeout_s
        self._counters = counters
        self._is_absent = is_absent
        self._interval_s = RESEND_AFTER_S
        self._loop = asyncio.get_running_loop()
        self._deadline = self._loop.time() + timeout_s
        pending.send()
        self._handle = self._call_later()

    def cancel(self) -> None:
        self._handle.cancel()

    def _call_later(self) -> asyncio.TimerHandle:
        # Jitter: requests of one moment must not meet the same absent member of a group again.
        pause_s = self._interval_s * random.uniform(0.8, 1.2)  # noqa: S311  (jitter)
        due = self._loop.time() + pause_s
        if due < self._deadline:
            return self._loop.call_at(due, self._again)
        return self._loop.call_at(self._deadline, self._give_up)

    def _again(self) -> None:
        if self._is_absent(kind := self._pending.topic.receiver):
            self._pending.fail(offline(kind))
            return
        self._counters["requests_resent"] += 1
        self._pending.send()
        self._interval_s = min(self._interval_s * 2, RESEND_AT_MOST_EVERY_S)
        self._handle = self._call_later()

    def _give_up(self) -> None:
        topic = self._pending.topic.pattern
        self._pending.fail(RequestTimeout(f"{topic} was not answered within {self._timeout_s:g} s"))


class ReplyStore:
    """What was answered to which request, so that a repeated one is not carried out again.

    Bounded by count and bytes; the oldest answers go first.
    """

    def __init__(self) -> None:
        self._running: set[str] = set()
        self._answers: OrderedDict[str, bytes] = OrderedDict()
        self._bytes = 0

    def begin(self, message_id: str) -> Literal["new", "running"] | bytes:
        """Note that a request came in; returns the reply if it was answered before."""
        if message_id in self._running:
            return "running"
        known = self._answers.get(message_id)
        if known is not None:
            return known
        self._running.add(message_id)
        return "new"

    def finish(self, message_id: str, payload: bytes) -> None:
        """Keep the reply for repeated requests."""
        self._running.discard(message_id)
        # A copy: what orjson returns keeps the 4 KB of the buffer it was written in.
        self._answers[message_id] = bytes(memoryview(payload))
        self._bytes += len(payload)
        while len(self._answers) > STORED_REPLIES or self._bytes > STORED_REPLY_BYTES:
            _, oldest = self._answers.popitem(last=False)
            self._bytes -= len(oldest)

    def abandon(self, message_id: str) -> None:
        """The request was not carried out; a repeated one starts anew."""
        self._running.discard(message_id)


class SeenIds:
    """Ids of events that were handled, so that a doubled one is dropped; bounded."""

    def __init__(self, limit: int = 4096) -> None:
        self._ids: OrderedDict[str, None] = OrderedDict()
        self._limit = limit

    def is_new(self, message_id: str) -> bool:
        """Note the id; false if it was seen before."""
        if message_id in self._ids:
            return False
        self._ids[message_id] = None
        if len(self._ids) > self._limit:
            self._ids.popitem(last=False)
        return True

    def forget(self, message_id: str) -> None:
        """The next of that id is new."""
        self._ids.pop(message_id, None)
