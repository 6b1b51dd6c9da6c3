"""llama.cpp's own server inside this process, on a random loopback port."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

from antiphon_contracts import ConfigError
from antiphon_runtime.extras import install_command
from antiphon_runtime.offload import ModelThread


@dataclass(frozen=True, slots=True)
class EmbeddedOptions:
    """What is run, and with how much.

    Attributes:
        weights: a .gguf file.
        threads: compute threads.
        context_tokens: context window.
    """

    weights: Path
    threads: int = 1
    context_tokens: int = 2048


@dataclass(frozen=True, slots=True)
class Address:
    """Where the embedded server listens; the key keeps others on this machine out."""

    base_url: str
    api_key: str


class _Server(Protocol):
    listening_address: str


@asynccontextmanager
async def embedded_server(options: EmbeddedOptions) -> AsyncIterator[Address]:
    """Run the server while the block runs; loading SmolLM2-135M takes about a second.

    Starting and stopping block, so both happen in a thread; generation runs in llama.cpp's own
    threads, without the GIL.

    Raises:
        ConfigError: xllamacpp is not installed, or it cannot load the weights.
    """
    key = secrets.token_urlsafe(16)
    with ModelThread("llama.cpp") as thread:
        # The list is the server's only owner: emptying it in the thread stops the server there.
        owner: list[_Server] = []
        address = await thread.call(_start, options, key, owner)
        try:
            yield Address(f"{address}/v1", key)
        finally:
            await thread.call(owner.clear)


def _start(options: EmbeddedOptions, key: str, owner: list[_Server]) -> str:
    try:
        import xllamacpp
    except ModuleNotFoundError as error:
        msg = f"The embedded language model needs llama.cpp: {install_command('llm')}"
        raise ConfigError(msg) from error
    except ImportError as error:
        # A system library is missing; the error names it.
        msg = f"llama.cpp does not load ({error}): on Debian and Ubuntu, sudo apt install libgomp1"
        raise ConfigError(msg) from error
    params = xllamacpp.CommonParams()
    params.model.path = str(options.weights)
    params.n_ctx = options.context_tokens
    params.n_parallel = 1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = options.threads
    params.hostnames = ["127.0.0.1"]
    params.port = 0
    params.api_keys = [key]
    params.ui = False
    params.use_jinja = True
    params.verbosity = 0
    # One slot keeps its own prefix; the default would let a second cache grow to 8 GB.
    params.cache_ram_mib = 0
    try:
        server = xllamacpp.Server(params)
    except RuntimeError as error:
        msg = (
            f"llama.cpp cannot load {options.weights.name}: is it a whole GGUF file, and is there "
            "memory enough? `antiphon models verify` checks known weights."
        )
        raise ConfigError(msg) from error
    owner.append(cast("_Server", server))
    return str(server.listening_address)
