"""What is to be sent: a bounded queue before the broker's window, and what waits for its PUBACK.

The window is ours, not paho's: paho would queue without bound and in its own order.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from antiphon_contracts import BusError

from antiphon_runtime.transport import PublishOptions


@dataclass(frozen=True, slots=True)
class Item:
    """A message to be sent.

    Attributes:
        deadline: on the loop's clock; later nobody wants it any more.
        done: for the one who published it.
    """

    topic: str
    payload: bytes
    options: PublishOptions
    deadline: float | None
    done: asyncio.Future[None]


@dataclass(frozen=True, slots=True)
class _Sent:
    at: float  # on the loop's clock
    item: Item


class Outbox:
    """Messages that wait for the broker, and those that it has not acknowledged."""

    def __init__(self, *, max_waiting: int, window: int) -> None:
        self.window = window
        self._max_waiting = max_waiting
        self._waiting: deque[Item] = deque()
        self._unacknowledged: dict[int, _Sent] = {}

    @property
    def waiting(self) -> int:
        """How many wait to be sent."""
        return len(self._waiting)

    @property
    def in_flight(self) -> int:
        """How many were sent and not acknowledged."""
        return len(self._unacknowledged)

    def open_futures(self) -> list[asyncio.Future[None]]:
        """The futures of everything that is not done."""
        sent = [sent.item.done for sent in self._unacknowledged.values()]
        return [item.done for item in self._waiting] + sent

    def oldest_sent_at(self) -> float | None:
        """When the oldest message that waits for its acknowledgement was sent; None without one."""
        return next((sent.at for sent in self._unacknowledged.values()), None)

    def may_pass(self, options: PublishOptions) -> bool:
        """Whether the broker's window lets one more through."""
        return options.qos == 0 or len(self._unacknowledged) < self.window

    def add(self, item: Item) -> None:
        """Queue a message; its future fails with BusError if too many wait."""
        if len(self._waiting) >= self._max_waiting:
            self._waiting = deque(item for item in self._waiting if not item.done.done())
        if len(self._waiting) >= self._max_waiting:
            fail(item.done, BusError("too many messages wait for the broker"))
        else:
            self._waiting.append(item)

    def next_due(self, now: float) -> Item | None:
        """Take the next message that may be sent; what came too late or was given up is passed."""
        while self._waiting and self.may_pass(self._waiting[0].options):
            item = self._waiting.popleft()
            if item.deadline is not None and now > item.deadline:
                fail(item.done, BusError("the message expired before the broker could take it"))
            elif not item.done.done():
                return item
        return None

    def sent(self, mid: int, item: Item, now: float) -> None:
        """Await the acknowledgement of packet `mid`."""
        self._unacknowledged[mid] = _Sent(now, item)

    def acknowledged(self, mid: int, error: BusError | None) -> Item | None:
        """The broker answered packet `mid`; returns what it was, None if that is not known."""
        sent = self._unacknowledged.pop(mid, None)
        if sent is None:
            return None
        if error is not None:
            fail(sent.item.done, error)
        elif not sent.item.done.done():
            sent.item.done.set_result(None)
        return sent.item

    def fail_in_flight(self, error: BusError) -> None:
        """Give up what was sent and not acknowledged."""
        for sent in self._unacknowledged.values():
            fail(sent.item.done, error)
        self._unacknowledged.clear()

    def fail_all(self, error: BusError) -> None:
        """Give up everything."""
        self.fail_in_flight(error)
        for item in self._waiting:
            fail(item.done, error)
        self._waiting.clear()


def fail(future: asyncio.Future[None], error: BusError) -> None:
    """Set the error unless the future is done, marked as seen: not everyone waits for it."""
    if not future.done():
        future.set_exception(error)
        future.exception()
