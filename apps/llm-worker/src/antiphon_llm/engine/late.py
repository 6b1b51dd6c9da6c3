"""The embedded model as a `ChatModel`: loaded when it is first needed, let go when it is not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

import structlog
from antiphon_contracts import ConfigError, EngineError
from antiphon_runtime.tasks import running

from antiphon_llm.engine.chat_server import ChatServer, ChatServerOptions, open_chat_server
from antiphon_llm.engine.embedded import EmbeddedOptions, embedded_server
from antiphon_llm.service.model import Delta, Prompt

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_embedded_model(
    options: EmbeddedOptions, *, stall_timeout_s: float
) -> AsyncIterator[EmbeddedModel]:
    """Hold an embedded model that is not loaded yet; it is let go at the end of the block."""
    async with running() as group:
        model = EmbeddedModel(options, group, stall_timeout_s=stall_timeout_s)
        try:
            yield model
        finally:
            await model.unload()


class EmbeddedModel:
    """See `ChatModel`; made by `open_embedded_model`.

    Args:
        options: what is run.
        group: loads it, also for one who asked and went.
        stall_timeout_s: longest silence.
    """

    def __init__(
        self, options: EmbeddedOptions, group: asyncio.TaskGroup, *, stall_timeout_s: float
    ) -> None:
        self._options = options
        self._group = group
        self._stall_timeout_s = stall_timeout_s
        self._stack = AsyncExitStack()
        self._server: ChatServer | None = None
        self._loading: asyncio.Task[None] | None = None
        self._failure: ConfigError | None = None
        self._users = 0
        self._used_at = time.monotonic()

    @property
    def name(self) -> str:
        """See `ChatModel`."""
        return f"{self._options.weights.stem} (embedded llama.cpp)"

    @property
    def server(self) -> str:
        """See `Remote`."""
        return f"The language model {self.name}"

    @property
    def is_loaded(self) -> bool:
        """Whether it takes memory."""
        return self._server is not None

    async def probe(self) -> None:
        """See `Remote`; one that is not loaded may be tried."""
        if self._server is not None:
            await self._server.probe()

    async def load(self) -> None:
        """Load it now; one that cannot be loaded is tried again the next time.

        Raises:
            ConfigError: it cannot be loaded.
        """
        if self._server is not None:
            return
        if self._loading is None:
            self._loading = self._group.create_task(self._load(), name="llama.cpp:load")
        # The load goes on when the one who waits for it leaves.
        await asyncio.shield(self._loading)
        if self._failure is not None:
            raise self._failure

    async def _load(self) -> None:
        begun = time.monotonic()
        self._failure = None
        try:
            address = await self._stack.enter_async_context(embedded_server(self._options))
            options = ChatServerOptions(
                address.base_url,
                address.api_key,
                self._options.weights.stem,
                self._stall_timeout_s,
                keep_alive=False,
                label=self.name,
                kind="embedded",
            )
            self._server = await self._stack.enter_async_context(open_chat_server(options))
        except ConfigError as error:
            self._failure = error
            await self._stack.aclose()
        finally:
            self._loading = None
        log.info("embedded.loaded", ok=self.is_loaded, seconds=round(time.monotonic() - begun, 1))

    async def unload(self) -> None:
        """Give its memory back."""
        self._server = None
        await self._stack.aclose()

    async def release_idle(self, idle_s: float) -> None:
        """Give its memory back if it was not used for so long."""
        if self.is_loaded and not self._users and time.monotonic() - self._used_at > idle_s:
            await self.unload()

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        """See `ChatModel`."""
        try:
            await self.load()
        except ConfigError as error:
            raise EngineError(str(error)) from error
        server = self._server
        if server is None:
            msg = f"The language model {self.name} is being put away."
            raise EngineError(msg, retryable=True)
        self._users += 1
        try:
            async with aclosing(server.stream(prompt)) as deltas:
                async for delta in deltas:
                    yield delta
        finally:
            self._users -= 1
            self._used_at = time.monotonic()
