"""Sending one request again and again, as long as somebody waits for its reply."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from antiphon_contracts import BusError, Payload

from antiphon_runtime.replies import Pending
from antiphon_runtime.transport import PublishOptions, Transport

R = TypeVar("R", bound=Payload)


class Resend:
    """Sends one request, and again when asked."""

    def __init__(
        self,
        transport: Transport,
        path: str,
        payload: bytes,
        options: PublishOptions,
        pending: Pending[R],
    ) -> None:
        self._transport = transport
        self._path = path
        self._payload = payload
        self._options = options
        self._pending = pending
        self._sent: asyncio.Future[None] | None = None

    def __call__(self) -> None:
        """Send, unless an earlier copy still waits for its acknowledgement."""
        if self._sent is not None and not self._sent.done():
            return
        self._sent = self._transport.publish(self._path, self._payload, self._options)
        self._sent.add_done_callback(self._on_sent)

    def take_back(self) -> None:
        """Nobody waits any more: a copy that still waits for the broker is not sent."""
        if self._sent is not None:
            self._sent.cancel()

    def _on_sent(self, sent: asyncio.Future[None]) -> None:
        if sent.cancelled():
            return
        error = sent.exception()
        if isinstance(error, BusError):
            self._pending.fail(error)
