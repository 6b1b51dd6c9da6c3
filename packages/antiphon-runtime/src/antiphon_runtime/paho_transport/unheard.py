"""Messages that the broker took while nobody was subscribed to them.

When a broker dies, each client comes back in its own time, and a broker that lost its sessions
drops what is published for those that are not back yet. MQTT 5 (section 3.4.2.1) lets it say so:
a PUBACK with reason 0x10, "No matching subscribers". Such a message is sent again for as long as
others may take to come back. A broker that does not say so, one that speaks 3.1.1, or one where
somebody else listens to the same topic, leaves nothing to be done here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

from antiphon_contracts import BusError

from antiphon_runtime.paho_transport.outbox import Item, fail

NO_MATCHING_SUBSCRIBERS = 0x10
GRACE_S = 6.0
"""The longest pause between two attempts to connect is 5 s (`BrokerOptions.backoff_s`)."""
AGAIN_S = 0.2
MAX_KEPT = 1_000


class Unheard:
    """Keeps what nobody heard after a reconnect, in the order in which the broker refused it.

    What was on its way when somebody came back may be heard before what is kept: who needs an
    order must number its messages, as clauses and pieces of answers are.
    """

    def __init__(self, send: Callable[[Item], None]) -> None:
        self._send = send
        self._kept: list[Item] = []
        self._topics: set[str] = set()
        self._until = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def reconnected(self) -> None:
        """Others may need `GRACE_S` from now to come back."""
        self._until = asyncio.get_running_loop().time() + GRACE_S

    def keep(self, item: Item) -> bool:
        """Send a message some time later.

        Returns:
            False if the publisher did not ask for it, if it is too late or if too many are kept.
        """
        too_late = asyncio.get_running_loop().time() > self._until
        if not item.options.until_heard or too_late or len(self._kept) >= MAX_KEPT:
            return False
        self._hold(item)
        return True

    def keep_behind(self, item: Item) -> bool:
        """Keep a message that was not sent yet, if an earlier one of its topic is kept."""
        if item.topic not in self._topics or not item.options.until_heard:
            return False
        self._hold(item)
        return True

    def send_all(self) -> None:
        """Send what is kept now, but for what is too old."""
        for item in self._taken():
            self._send(item)

    def fail_all(self, error: BusError) -> None:
        """Give up everything."""
        for item in self._taken():
            fail(item.done, error)

    def _hold(self, item: Item) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(AGAIN_S, self.send_all)
        self._kept.append(item)
        self._topics.add(item.topic)

    def _taken(self) -> list[Item]:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        kept, self._kept = self._kept, []
        self._topics.clear()
        now = asyncio.get_running_loop().time()
        return [_again(item, now) for item in kept if _is_wanted(item, now)]


def _is_wanted(item: Item, now: float) -> bool:
    """Whether nobody took it back; of one that was sent already, whether it is not too old.

    Of one that was not, the outbox tells its publisher that it is.
    """
    is_old = item.deadline is not None and now > item.deadline
    return not item.done.cancelled() and not (item.done.done() and is_old)


def _again(item: Item, now: float) -> Item:
    """Return the message as it is sent now, to live no longer than at first.

    Of one that was sent already the publisher was told; nobody waits for it any more.
    """
    left_s = None if item.deadline is None else max(0.0, item.deadline - now)
    options = replace(item.options, expiry_s=left_s)
    done = asyncio.get_running_loop().create_future() if item.done.done() else item.done
    return replace(item, options=options, done=done)
