"""SUBSCRIBEs that wait for the broker's answer."""

from __future__ import annotations

import asyncio
from typing import Any

from antiphon_contracts import BusError
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from antiphon_runtime.paho_transport.outbox import fail
from antiphon_runtime.paho_transport.refusals import LostError
from antiphon_runtime.paho_transport.wire import CONNECT_TIMEOUT_S, Wire


class Subscribing:
    """The answers awaited, by packet id."""

    def __init__(self) -> None:
        self._awaited: dict[int, asyncio.Future[None]] = {}

    def __len__(self) -> int:
        return len(self._awaited)

    async def ask(self, wire: Wire, filters: dict[str, int], lost: asyncio.Event) -> None:
        """Subscribe to `filters`, which give the QoS by topic filter.

        `lost` is set when the connection goes, which sending itself may find out.

        Raises:
            LostError: the connection went meanwhile.
            BusError: the broker refused, or said nothing.
        """
        wanted: list[Any] = [
            (name, SubscribeOptions(qos=qos) if wire.v5 else qos) for name, qos in filters.items()
        ]
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        mid = wire.subscribe(wanted)
        if mid is None or lost.is_set():
            msg = "the connection was lost while subscribing"
            raise LostError(msg)
        self._awaited[mid] = done
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await done
        except TimeoutError:
            msg = "the broker did not answer a SUBSCRIBE"
            raise BusError(msg) from None
        finally:
            self._awaited.pop(mid, None)

    def answered(self, mid: int, reasons: list[ReasonCode]) -> None:
        """The broker answered packet `mid`."""
        done = self._awaited.get(mid)
        if done is None or done.done():
            return
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            fail(done, BusError(f"the broker refused a subscription: {refused[0]}"))
        else:
            done.set_result(None)

    def fail_all(self, error: BusError) -> None:
        """No answer will come."""
        for future in self._awaited.values():
            fail(future, error)
