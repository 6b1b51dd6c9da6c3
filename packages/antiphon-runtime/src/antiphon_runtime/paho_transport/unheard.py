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

from antiphon_runtime.paho_transport.outbox import Item

NO_MATCHING_SUBSCRIBERS = 0x10
GRACE_S = 6.0
"""The longest pause between two attempts to connect is 5 s (`BrokerOptions.backoff_s`)."""
AGAIN_S = 0.2
MAX_KEPT = 1_000


class Unheard:
    """Keeps what nobody heard after a reconnect, in the order in which it was sent."""

    def __init__(self, send: Callable[[Item], None]) -> None:
        self._send = send
        self._kept: list[Item] = []
        self._topics: set[str] = set()
        self._until = 0.0

    def reconnected(self) -> None:
        """Others may need `GRACE_S` from now to come back."""
        self._until = asyncio.get_running_loop().time() + GRACE_S

    def keep(self, item: Item) -> bool:
        """Send a message some time later.

        Returns:
            False if the publisher did not ask for it, if it is too late or if too many are kept.
        """
        loop = asyncio.get_running_loop()
        if not item.options.until_heard or loop.time() > self._until or len(self._kept) >= MAX_KEPT:
            return False
        if not self._kept:
            loop.call_later(AGAIN_S, self.send_all)
        self._kept.append(item)
        self._topics.add(item.topic)
        return True

    def keep_behind(self, item: Item) -> bool:
        """Keep a message that was not sent yet, if an earlier one of its topic is kept."""
        return item.topic in self._topics and self.keep(item)

    def send_all(self) -> None:
        """Send what is kept now."""
        kept, self._kept = self._kept, []
        self._topics.clear()
        for item in kept:
            self._send(_copy(item) if item.done.done() else item)


def _copy(item: Item) -> Item:
    """The publisher was told that it was sent; nobody waits for the copy."""
    return replace(item, done=asyncio.get_running_loop().create_future())
