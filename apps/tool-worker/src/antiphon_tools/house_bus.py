"""What tools may do on the broker."""

from __future__ import annotations

import asyncio
from typing import Protocol, TypeVar

from antiphon_contracts import Payload, RequestTopic

P = TypeVar("P", bound=Payload)
R = TypeVar("R", bound=Payload)


class HouseBus(Protocol):
    """What tools may do on the broker: `antiphon_runtime.Bus`."""

    async def request(
        self,
        topic: RequestTopic[P, R],
        data: P,
        *,
        timeout_s: float,
        turn_id: str | None = None,
        site_id: str = "default",
        message_id: str | None = None,
    ) -> R:
        """Ask another worker, and return its reply; see `Bus.request`."""

    def publish_elsewhere(self, topic: str, payload: bytes) -> asyncio.Future[None]:
        """Start to send to a device's topic; see `Bus.publish_elsewhere`."""
