"""Servers that the `openai` client asks: the client, and what goes wrong as our own errors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from antiphon_contracts import ConfigError, EngineError
from antiphon_runtime.extras import install_command

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI

TEXT_AT_FAULT = frozenset({400, 413, 422})
"""What servers answer to a text that they do not take: OpenAI 400, TEI 413 and 422."""


def client_of(base_url: str, api_key: str, timeout_s: float) -> AsyncOpenAI:
    """Return a client; nothing is sent yet. Blocks: the library takes its time to load.

    Raises:
        ConfigError: the `openai` package is not installed.
    """
    try:
        from openai import AsyncOpenAI
    except ImportError as error:
        msg = f"the openai package is not installed: {install_command('memory')}"
        raise ConfigError(msg) from error
    # The client refuses an empty key, servers without keys ignore any.
    return AsyncOpenAI(
        api_key=api_key or "none", base_url=base_url, timeout=timeout_s, max_retries=0
    )


@dataclass(frozen=True)
class AskedServer:
    """A server, and what people are told of it.

    Attributes:
        name: what and where it is; begins the sentences.
        timeout_s: how long it may take.
        key: the setting with its key.
        unknown: what to look at where it does not know the model or the path.
        unable: what mends a server that says that it cannot do this at all.
        text_refused: the kind of error where it does not take a text.
    """

    name: str
    timeout_s: float
    key: str
    unknown: str
    unable: str
    text_refused: Callable[[str], EngineError] = EngineError


@contextmanager
def translated(server: AskedServer) -> Iterator[None]:
    """Turn the client's exceptions into ours; none of them quotes a text.

    Raises:
        EngineError: no connection, refused or too slow; `retryable` if it may go well later.
    """
    from openai import APIConnectionError, APIStatusError, OpenAIError

    try:
        yield
    except TimeoutError as error:
        msg = f"{server.name} took longer than {server.timeout_s:g} s."
        raise EngineError(msg, retryable=True) from error
    except APIConnectionError as error:
        raise EngineError(f"{server.name} cannot be reached.", retryable=True) from error
    except APIStatusError as error:
        raise _from_status(server, error) from error
    except OpenAIError as error:
        raise EngineError(f"{server.name} could not be asked.") from error


def _from_status(server: AskedServer, error: APIStatusError) -> EngineError:
    from openai import (
        AuthenticationError,
        InternalServerError,
        NotFoundError,
        PermissionDeniedError,
        RateLimitError,
    )

    if error.status_code == HTTPStatus.NOT_IMPLEMENTED:
        return EngineError(f"{server.name} cannot do this: {server.unable}.")
    if isinstance(error, RateLimitError | InternalServerError):
        return EngineError(f"{server.name} has trouble or too much to do.", retryable=True)
    if isinstance(error, AuthenticationError | PermissionDeniedError):
        return EngineError(f"{server.name} refused the key: set {server.key}.")
    if isinstance(error, NotFoundError):
        return EngineError(f"{server.name} does not know {server.unknown}.")
    if error.status_code in TEXT_AT_FAULT:
        return server.text_refused(f"{server.name} refused a text (HTTP {error.status_code}).")
    return EngineError(f"{server.name} refused the texts (HTTP {error.status_code}).")
