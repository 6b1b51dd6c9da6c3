"""An embedding server with OpenAI's HTTP interface: OpenAI, Infinity, TEI, Ollama, vLLM."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from antiphon_contracts import EngineError
from antiphon_runtime.upstream import shown
from pydantic import BaseModel, ConfigDict, ValidationError

from antiphon_memory.embedder import Kind, TextRefused, Vectors
from antiphon_memory.engine.answers import unit_vectors
from antiphon_memory.engine.asked_server import AskedServer, client_of, translated
from antiphon_memory.engine.prefixes import Prefixes

if TYPE_CHECKING:
    from openai import AsyncOpenAI

SURELY_TAKEN = 1_000
"""So many characters are under 512 tokens in nearly any language: all models take these."""


class _Item(BaseModel):
    model_config = ConfigDict(extra="ignore")

    embedding: list[float]
    index: int | None = None


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore")

    data: list[_Item]


class EmbeddingServer:
    """A server with OpenAI's `/embeddings`; see `antiphon_memory.embedder.Embedder`.

    Args:
        base_url: what `/embeddings` is below, e.g. `https://api.openai.com/v1`.
        api_key: empty if the server wants none.
        model: name of the server's model.
        dimension: length of vectors to ask for; 0 is the model's own.
        timeout_s: for one batch.
        prefixes: what the model wants before texts; None is nothing.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        model: str,
        dimension: int,
        timeout_s: float,
        prefixes: Prefixes | None = None,
    ) -> None:
        self._prefixes = prefixes or Prefixes()
        self.name = f"openai {self._prefixes.named(model)}"
        self.dimension = 0
        self._base_url = base_url
        self._api_key = api_key
        self._model = model
        self._wanted_dimension = dimension
        self._timeout_s = timeout_s
        self._client: AsyncOpenAI | None = None

    @property
    def server(self) -> str:
        """See `antiphon_runtime.Remote`."""
        return f"The embedding server at {shown(self._base_url)}"

    @property
    def _asked(self) -> AskedServer:
        return AskedServer(
            self.server,
            self._timeout_s,
            key="ANTIPHON_MEMORY_OPENAI_API_KEY",
            unknown=f"the model {self._model} or the path: see ANTIPHON_MEMORY_OPENAI_MODEL and "
            "ANTIPHON_MEMORY_OPENAI_BASE_URL",
            unable="llama.cpp does it when started with --embeddings",
            text_refused=TextRefused,
        )

    async def load(self) -> None:
        """Make the client and embed one word, which tells the dimension.

        Raises:
            ConfigError: the `openai` package is not installed.
            EngineError: see `embed`.
        """
        if self._client is None:
            # The import takes about a second.
            self._client = await asyncio.to_thread(
                client_of, self._base_url, self._api_key, self._timeout_s
            )
        vectors = await self._embed(self._client, ["warm-up"], self._wanted_dimension)
        self.dimension = vectors.shape[1]

    async def embed(self, texts: Sequence[str], kind: Kind) -> Vectors:
        """See the port; a text that the server does not take whole is embedded by its beginning.

        Raises:
            TextRefused: the server does not take one of the texts.
            EngineError: no connection, refused, too slow, or an answer that is none; `retryable`
                if the same texts may be embedded later.
        """
        client = self._client
        if client is None:
            msg = "The embedding server's client is not loaded."
            raise EngineError(msg, retryable=True)
        if not texts:
            return np.empty((0, self.dimension), dtype=np.float32)
        prefixed = self._prefixes.applied(texts, kind)
        try:
            return await self._embed(client, prefixed, self.dimension)
        except TextRefused:
            if len(prefixed) > 1 or len(prefixed[0]) <= SURELY_TAKEN:
                raise
        return await self._embed(client, [prefixed[0][:SURELY_TAKEN]], self.dimension)

    async def probe(self) -> None:
        """See `antiphon_runtime.Remote`: asks for the list of models; any answer will do."""
        if self._client is not None:
            with translated(self._asked):
                await self._client.models.with_raw_response.list()

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _embed(self, client: AsyncOpenAI, texts: list[str], dimension: int) -> Vectors:
        from openai import omit

        with translated(self._asked):
            async with asyncio.timeout(self._timeout_s):
                # Not all servers know base64, which the client would ask for.
                answer = await client.embeddings.with_raw_response.create(
                    input=texts,
                    model=self._model,
                    dimensions=self._wanted_dimension or omit,
                    encoding_format="float",
                )
        rows = self._rows(answer.content)
        return unit_vectors(rows, self.server, count=len(texts), dimension=dimension)

    def _rows(self, body: bytes) -> list[list[float]]:
        try:
            items = _Answer.model_validate_json(body).data
        except ValidationError:
            msg = f"{self.server} gave an answer without vectors."
            raise EngineError(msg) from None
        if any(item.index is None for item in items):
            return [item.embedding for item in items]
        by_index = {item.index: item.embedding for item in items}
        if by_index.keys() != set(range(len(items))):
            msg = f"{self.server} does not say which vector is which text's."
            raise EngineError(msg)
        return [by_index[index] for index in range(len(items))]
