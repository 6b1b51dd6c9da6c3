"""A whole house with rooms that somebody is in: what the live benchmarks measure."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from antiphon.house import House, broker_settings, client_bus, keep_house
from antiphon.supervisor import PARTS
from antiphon_contracts import PlainAnswer, SttFinal
from antiphon_runtime import RuntimeSettings, load_settings
from children import all_ready
from room import Played, Room
from scenes import Scene, silence
from witness import Seen, Witness

ENGINES = {"ANTIPHON_LLM_PROVIDER": "embedded", "ANTIPHON_MEMORY_ENGINE": "onnx"}
SETTLE_MS = 600
"""Quiet before a scene, as the wake word's model expects after another sound."""
TURN_TIMEOUT_S = 30.0
IDLE_GRACE_S = 0.3


@dataclass(frozen=True)
class LiveHouse:
    """A house that runs.

    Attributes:
        settings: how to reach its broker.
        witness: sees all that passes.
        house: its processes; None if somebody else started them.
    """

    settings: RuntimeSettings
    witness: Witness
    house: House | None = None

    @asynccontextmanager
    async def room(
        self,
        site: str,
        *,
        pace: float = 1.0,
        echo_db: float | None = None,
        echo_cancelled: bool = False,
    ) -> AsyncIterator[Room]:
        """Be in a room while the block runs; see `Room`."""
        bus = client_bus(self.settings)
        room = Room(bus, site, pace=pace, echo_db=echo_db, echo_cancelled=echo_cancelled)
        async with room.open():
            await room.play(silence(SETTLE_MS)).over()
            yield room

    async def final(self, played: Played, site: str) -> Seen[SttFinal]:
        """Return the transcript of what was last said in a scene, or why there is none.

        Raises:
            TimeoutError: there was nothing.
        """
        return await self.witness.first(
            SttFinal, site, since=played.at(0), timeout_s=TURN_TIMEOUT_S
        )

    async def answer(self, site: str, since: float) -> Seen[PlainAnswer]:
        """Return the first answer at a site since a loop time.

        Raises:
            TimeoutError: there was none.
        """
        return await self.witness.first(PlainAnswer, site, since=since, timeout_s=TURN_TIMEOUT_S)

    def state(self, site: str) -> str:
        """Return what goes on at a site, as its router said last."""
        return self.witness.states.get(site, "idle")

    async def idle(
        self, site: str, timeout_s: float = TURN_TIMEOUT_S, *, may_listen: bool = False
    ) -> None:
        """Return when nothing goes on at a site any more.

        Args:
            site: where.
            timeout_s: how long that may take.
            may_listen: whether to listen counts as nothing, as in a room that always does.

        Raises:
            TimeoutError: it goes on.
        """
        calm = {"idle", "listening"} if may_listen else {"idle"}
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                quiet_since = loop.time()
                while loop.time() - quiet_since < IDLE_GRACE_S:
                    if self.state(site) not in calm:
                        quiet_since = loop.time()
                    await asyncio.sleep(0.02)
        except TimeoutError:
            msg = f"{site} is still {self.state(site)} after {timeout_s:g} s"
            raise TimeoutError(msg) from None


async def said(room: Room, scene: Scene) -> Played:
    """Let a room hear a scene and return when it is over."""
    played = room.play(scene)
    await played.over()
    return played


@asynccontextmanager
async def live_house(
    variables: Mapping[str, str] | None = None,
    *,
    kinds: Sequence[str] = (),
    folder: Path | None = None,
) -> AsyncIterator[LiveHouse]:
    """Run a house without satellites on a broker of its own, until it is ready.

    Args:
        variables: environment for its workers.
        kinds: which workers; none is all.
        folder: where their data and logs go; None is a folder that is removed at the end.

    Raises:
        ConfigError: a worker does not get ready.
    """
    parts = [
        part for part in PARTS if part.kind != "satellite" and (not kinds or part.kind in kinds)
    ]
    async with AsyncExitStack() as stack:
        if folder is None:
            name = stack.enter_context(tempfile.TemporaryDirectory(prefix="antiphon-bench-"))
            folder = Path(name)
        models = load_settings(RuntimeSettings).models_dir
        broker, _ = await stack.enter_async_context(broker_settings(folder / "broker", "auto"))
        settings = broker.model_copy(update={"data_dir": folder, "models_dir": models})
        told = {**ENGINES, **(variables or {})}
        house = await stack.enter_async_context(
            keep_house(settings, parts=parts, variables=told, log_dir=folder / "logs")
        )
        await all_ready(house)
        witness = Witness(client_bus(settings))
        await stack.enter_async_context(witness.watching())
        yield LiveHouse(settings, witness, house)
