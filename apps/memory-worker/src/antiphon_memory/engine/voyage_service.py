"""Voyage AI's embeddings, by its own client, in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from antiphon_contracts import ConfigError, EngineError
from antiphon_runtime.extras import install_command
from antiphon_runtime.upstream import shown

from antiphon_memory.embedder import Kind, TextRefused, Vectors
from antiphon_memory.engine.answers import unit_vectors

if TYPE_CHECKING:
    from voyageai.client import Client

ADDRESS = "https://api.voyageai.com/v1"


class VoyageEmbedder:
    """Voyage's models, which are told what is a query and what a document.

    See `antiphon_memory.embedder.Embedder`. Its methods block: they are called in a thread.

    Args:
        base_url: what `/embeddings` is below; empty is Voyage's own.
        api_key: of the account.
        model: e.g. `voyage-3.5`.
        dimension: length of vectors to ask for; 0 is the model's own.
        timeout_s: for the connection, and for each piece of an answer.
    """

    def __init__(
        self, *, base_url: str, api_key: str, model: str, dimension: int, timeout_s: float
    ) -> None:
        self.name = f"voyage {model}"
        self.dimension = 0
        self._base_url = base_url or ADDRESS
        self._api_key = api_key
        self._model = model
        self._wanted_dimension = dimension
        self._timeout_s = timeout_s
        self._client: Client | None = None

    @property
    def server(self) -> str:
        """See `antiphon_runtime.Remote`."""
        return f"Voyage at {shown(self._base_url)}"

    def load(self) -> None:
        """Make the client and embed one word; blocks for seconds, mostly to import.

        Raises:
            ConfigError: the `voyageai` package is not installed, or there is no key.
            EngineError: see `embed`.
        """
        if self._client is None:
            self._client = self._make_client()
        self.dimension = 0
        self.dimension = self._embed(self._client, ["warm-up"], "document").shape[1]

    def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """See the port; texts that are too long are cut by Voyage.

        Raises:
            TextRefused: Voyage does not take one of the texts.
            EngineError: no connection, refused, too slow, or an answer that is none; `retryable`
                if the same texts may be embedded later.
        """
        if self._client is None:
            msg = "Voyage's client is not loaded."
            raise EngineError(msg, retryable=True)
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        return self._embed(self._client, list(texts), kind)

    async def probe(self) -> None:
        """See `antiphon_runtime.Remote`: embeds one word, for Voyage has nothing that is free."""
        if self._client is not None:
            await asyncio.to_thread(self._embed, self._client, ["warm-up"], "document")

    def close(self) -> None:
        """Let go of the client."""
        self._client = None

    def _make_client(self) -> Client:
        if not self._api_key:
            msg = "Voyage wants a key: set ANTIPHON_MEMORY_VOYAGE_API_KEY"
            raise ConfigError(msg)
        try:
            from voyageai.client import Client
        except ImportError as error:
            msg = f"{error.name} is missing: {install_command('voyage')}"
            raise ConfigError(msg) from error
        return Client(
            api_key=self._api_key,
            base_url=self._base_url,
            timeout=self._timeout_s,
            max_retries=0,
        )

    def _embed(self, client: Client, texts: list[str], kind: Kind) -> Vectors:
        with self._translated():
            rows = client.embed(
                texts,
                model=self._model,
                input_type=kind,
                truncation=True,
                output_dimension=self._wanted_dimension or None,
            ).embeddings
        dimension = self.dimension or self._wanted_dimension
        return unit_vectors(rows, self.server, count=len(texts), dimension=dimension)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the client's exceptions into ours; none of them quotes a text."""
        from voyageai import error as voyage

        server = self.server
        try:
            yield
        except voyage.Timeout as error:
            msg = f"{server} took longer than {self._timeout_s:g} s."
            raise EngineError(msg, retryable=True) from error
        except voyage.APIConnectionError as error:
            raise EngineError(f"{server} cannot be reached.", retryable=True) from error
        except (
            voyage.RateLimitError,
            voyage.ServerError,
            voyage.ServiceUnavailableError,
            voyage.TryAgain,
        ) as error:
            raise EngineError(f"{server} has trouble or too much to do.", retryable=True) from error
        except voyage.AuthenticationError as error:
            msg = f"{server} refused the key: set ANTIPHON_MEMORY_VOYAGE_API_KEY."
            raise EngineError(msg) from error
        except (voyage.InvalidRequestError, voyage.MalformedRequestError) as error:
            msg = f"{server} refused a text, or the model {self._model}."
            raise TextRefused(msg) from error
        except Exception as error:
            # The client lets whatever its parser meets in a strange answer pass.
            msg = f"{server} gave an answer without vectors ({type(error).__name__})."
            raise EngineError(msg) from error
