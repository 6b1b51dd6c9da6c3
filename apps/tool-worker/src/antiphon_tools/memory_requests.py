"""Long-term memory by requests over the bus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal

from antiphon_contracts import (
    MEMORY_QUERY,
    MEMORY_REMEMBER,
    BusError,
    Busy,
    MemoryQuery,
    MemoryRemember,
    Message,
    RequestTimeout,
    ToolCall,
    WorkerGone,
)
from antiphon_runtime import Bus

from antiphon_tools.tool import Origin, ToolError

_TOP_K = 5
_MAX_TOKENS = 1_000


class BusMemory:
    """See `antiphon_tools.tool.Memory`; made for one call of a tool.

    Args:
        bus: both memory requests must be declared to it.
        call: the call; its id goes into the request's, so that a call that is repeated after a
            crash is stored once.
        origin: told when pieces of web pages are among what was found.
        timeout_s: how long memory is waited for.
    """

    def __init__(
        self, bus: Bus, call: Message[ToolCall], origin: Origin, *, timeout_s: float
    ) -> None:
        self._bus = bus
        self._call = call
        self._origin = origin
        self._timeout_s = timeout_s

    async def remember(self, text: str) -> Sequence[str]:
        """See the port."""
        with _translated("It is not known whether my memory stored it.", "unknown_outcome"):
            done = await self._bus.request(
                MEMORY_REMEMBER,
                MemoryRemember(text=text),
                timeout_s=self._timeout_s,
                turn_id=self._call.turn_id,
                site_id=self._call.site_id,
                message_id=f"{self._call.id[:200]}.remember",
            )
        if done.error is not None:
            raise ToolError(done.error)
        return done.replaced

    async def query(self, text: str) -> Sequence[str]:
        """See the port."""
        with _translated("My memory does not answer.", "failed"):
            found = await self._bus.request(
                MEMORY_QUERY,
                MemoryQuery(text=text, top_k=_TOP_K, max_tokens=_MAX_TOKENS),
                timeout_s=self._timeout_s,
                turn_id=self._call.turn_id,
                site_id=self._call.site_id,
            )
        if found.error is not None:
            raise ToolError(found.error)
        if any(result.is_from_outside for result in found.results):
            self._origin.is_outside = True
        return [result.text for result in found.results]


@contextmanager
def _translated(late: str, late_code: Literal["failed", "unknown_outcome"]) -> Iterator[None]:
    """Turn the bus's errors into sentences for people."""
    try:
        yield
    except WorkerGone:
        msg = "My memory is offline."
        raise ToolError(msg) from None
    except Busy:
        msg = "My memory is busy; try again in a moment."
        raise ToolError(msg) from None
    except RequestTimeout:
        raise ToolError(late, code=late_code) from None
    except BusError as error:
        msg = f"My memory failed: {error}."
        raise ToolError(msg) from error
