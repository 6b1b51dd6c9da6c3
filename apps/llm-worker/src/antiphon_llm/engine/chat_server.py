"""Any OpenAI-compatible server as a `ChatModel`."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from antiphon_contracts import ConfigError, EngineError
from antiphon_runtime.extras import install_command
from antiphon_runtime.upstream import shown

from antiphon_llm.engine.failures import ParameterRefused, translated
from antiphon_llm.engine.presets import OPENAI_ITSELF, PRESETS, Kind
from antiphon_llm.engine.wire import Assembly, wire_messages, wire_name, wire_tools
from antiphon_llm.service.model import Delta, Prompt

if TYPE_CHECKING:
    from openai import AsyncOpenAI

CONNECT_TIMEOUT_S = 5.0
KEPT_FOR = "10m"


@dataclass(frozen=True, slots=True)
class ChatServerOptions:
    """How to reach a server.

    Attributes:
        base_url: up to and with `/v1`.
        api_key: empty sends a placeholder; local servers want none.
        model: empty is the first that the server lists.
        stall_timeout_s: longest silence on the connection.
        connect_timeout_s: longest time for the connection itself.
        keep_alive: whether connections are used again. llama.cpp's server now and then closes one
            just when it is used (2 of 220 requests); on loopback a new one costs nothing.
        label: name for people instead of model and address.
        kind: what it takes and refuses, see `presets`.
        reasoning_effort: how long a model that thinks may do so, as its server calls it.
    """

    base_url: str
    api_key: str = field(default="", repr=False)
    model: str = ""
    stall_timeout_s: float = 50.0
    connect_timeout_s: float = CONNECT_TIMEOUT_S
    keep_alive: bool = True
    label: str = ""
    kind: Kind = "openai"
    reasoning_effort: str = ""


@asynccontextmanager
async def open_chat_server(options: ChatServerOptions) -> AsyncIterator[ChatServer]:
    """Open a client of the server; nothing is sent yet.

    Raises:
        ConfigError: the `llm` extra is not installed.
    """
    # Importing openai takes over a second.
    client = await asyncio.to_thread(_client, options)
    async with client:
        yield ChatServer(client, options)


def _client(options: ChatServerOptions) -> AsyncOpenAI:
    try:
        import openai
    except ImportError as error:
        msg = f"Language models need the openai client: {install_command('llm')}"
        raise ConfigError(msg) from error
    _require_url(options.base_url)
    return openai.AsyncOpenAI(
        base_url=options.base_url,
        api_key=options.api_key or "none",
        max_retries=0,
        timeout=openai.Timeout(options.stall_timeout_s, connect=options.connect_timeout_s),
        default_headers=None if options.keep_alive else {"Connection": "close"},
        # A proxy from the environment cannot reach this machine's loopback.
        http_client=openai.DefaultAsyncHttpxClient(trust_env=not _is_loopback(options.base_url)),
    )


def _require_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        msg = "The language model's base_url is no address; write e.g. http://127.0.0.1:8080/v1"
        raise ConfigError(msg)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class ChatServer:
    """See `ChatModel`; made by `open_chat_server`."""

    def __init__(self, client: AsyncOpenAI, options: ChatServerOptions) -> None:
        self._client = client
        self._options = options
        self._where = options.label or shown(options.base_url)
        self._model = options.model
        itself = options.kind == "openai" and _is_openai(options.base_url)
        self._preset = OPENAI_ITSELF if itself else PRESETS[options.kind]
        self._refused: set[str] = set()

    @property
    def name(self) -> str:
        """Model and address, without secrets."""
        return self._options.label or f"{self._model or 'its first model'} at {self._where}"

    @property
    def server(self) -> str:
        """See `Remote`."""
        if self._options.label:
            return f"The language model {self._options.label}"
        return f"The language model server at {self._where}"

    async def probe(self) -> None:
        """See `Remote`: asks for the list of models, which computes nothing."""
        with translated(self._where, self._model):
            await self._client.models.with_raw_response.list()

    async def keep_loaded(self) -> None:
        """See `Keepable`: Ollama's own endpoint, for the compatible one does not know of it."""
        if self._options.kind != "ollama":
            return
        url = f"{self._options.base_url.rstrip('/').removesuffix('/v1')}/api/generate"
        order = {"model": await self._model_name(), "keep_alive": KEPT_FOR}
        with translated(self._where, self._model):
            await self._client.post(url, body=order, cast_to=object)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Delta, None]:
        """See `ChatModel`; a parameter that the server refuses by name is left out from then on."""
        model = await self._model_name()
        while True:
            try:
                async with aclosing(self._attempt(prompt, model)) as deltas:
                    async for delta in deltas:
                        yield delta
            except ParameterRefused as error:
                if error.name in self._refused:
                    raise EngineError(str(error)) from error
                self._refused.add(error.name)
            else:
                return

    async def _attempt(self, prompt: Prompt, model: str) -> AsyncGenerator[Delta, None]:
        answer = Assembly({wire_name(tool.name): tool.name for tool in prompt.tools})
        options = self._options_of(prompt)
        with translated(
            self._where, model, answer=answer, with_tools=bool(prompt.tools), sent=options
        ):
            chunks = await self._client.chat.completions.create(
                model=model,
                messages=[],
                stream=True,
                # The client walks through messages and tools for 2 to 3 ms; what is in the extra
                # body is sent as it is.
                extra_body={"messages": wire_messages(prompt), **options},
            )
            try:
                async for chunk in chunks:
                    delta = answer.add(chunk)
                    if delta is not None:
                        yield delta
            finally:
                await chunks.close()
        yield answer.last(self._where)

    def _options_of(self, prompt: Prompt) -> dict[str, Any]:
        preset = self._preset
        options: dict[str, Any] = {
            "stream_options": {"include_usage": True},
            self._limit: prompt.max_tokens,
            "temperature": prompt.temperature,
            "stop": list(prompt.stop) or None,
            "reasoning_effort": self._options.reasoning_effort or None,
        }
        if preset.repeat_penalty:
            options[preset.repeat_penalty] = prompt.repeat_penalty
        if prompt.tools:
            options["tools"] = wire_tools(prompt.tools, preset)
            options["tool_choice"] = "auto" if prompt.may_call else "none"
        if prompt.schema is not None:
            schema = {"name": "call", "schema": preset.schema(prompt.schema)}
            options["response_format"] = {"type": "json_schema", "json_schema": schema}
        return {
            name: value
            for name, value in options.items()
            if value is not None and name not in self._refused
        }

    @property
    def _limit(self) -> str:
        """What the server calls the longest answer; the other name if it refused that."""
        name = self._preset.limit
        other = "max_tokens" if name == "max_completion_tokens" else "max_completion_tokens"
        return other if name in self._refused else name

    async def _model_name(self) -> str:
        if not self._model:
            with translated(self._where, self._model):
                listed = await self._client.models.list()
            if not listed.data:
                msg = f"The language model server at {self._where} has no model; load one."
                raise EngineError(msg, retryable=True)
            self._model = listed.data[0].id
        return self._model


def _is_openai(url: str) -> bool:
    return (urlsplit(url).hostname or "").endswith("openai.com")
