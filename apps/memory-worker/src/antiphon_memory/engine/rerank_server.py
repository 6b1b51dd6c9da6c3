"""A server that scores texts against a question: `/rerank` in either form that servers have.

Most take `documents` and answer `{"results": [{"index", "relevance_score"}]}`: Jina, Cohere,
Infinity, vLLM, llama.cpp (Voyage the same as `data`). Text Embeddings Inference takes `texts` and
answers `[{"index", "score"}]`. Scores are on scales of their own; only their order counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from antiphon_contracts import EngineError
from antiphon_runtime.upstream import shown
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from antiphon_memory.engine.asked_server import AskedServer, client_of, translated

if TYPE_CHECKING:
    from openai import AsyncOpenAI

Form = Literal["documents", "texts"]

EXTRA: Mapping[Form, Mapping[str, bool]] = MappingProxyType(
    # A text that is too long is cut there, not refused.
    {"documents": MappingProxyType({}), "texts": MappingProxyType({"truncate": True})}
)


class _Scored(BaseModel):
    model_config = ConfigDict(extra="ignore")

    index: int
    score: float = Field(validation_alias=AliasChoices("relevance_score", "score"))


class _Results(BaseModel):
    model_config = ConfigDict(extra="ignore")

    results: list[_Scored] = Field(validation_alias=AliasChoices("results", "data"))


_ANSWER: TypeAdapter[_Results | list[_Scored]] = TypeAdapter(_Results | list[_Scored])


class RerankServer:
    """A server with `/rerank`; see `antiphon_memory.reranking.Reranker`.

    Args:
        base_url: what `/rerank` is below, e.g. `http://127.0.0.1:8080/v1`.
        api_key: empty if the server wants none.
        model: name of the server's model; empty is not to name one.
        timeout_s: for one question.
        form: how the server wants the texts.
    """

    def __init__(
        self, *, base_url: str, api_key: str, model: str, timeout_s: float, form: Form
    ) -> None:
        self.name = f"the reranker {model}" if model else "the reranker"
        self._base_url = base_url
        self._api_key = api_key
        self._model = model
        self._timeout_s = timeout_s
        self._form: Form = form
        self._client: AsyncOpenAI | None = None

    @property
    def server(self) -> str:
        """See `antiphon_runtime.Remote`."""
        return f"The reranking server at {shown(self._base_url)}"

    async def load(self) -> None:
        """Make the client and have one word scored.

        Raises:
            ConfigError: the `openai` package is not installed.
            EngineError: see `scores`.
        """
        if self._client is None:
            # The import takes about a second.
            self._client = await asyncio.to_thread(
                client_of, self._base_url, self._api_key, self._timeout_s
            )
        await self.scores("warm-up", ["warm-up"])

    async def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """See the port.

        Raises:
            EngineError: no connection, refused, too slow, or an answer that is none; `retryable`
                if the same may be asked later.
        """
        client = self._client
        if client is None:
            msg = "The reranking server's client is not loaded."
            raise EngineError(msg, retryable=True)
        body = {"query": question, self._form: list(texts), **EXTRA[self._form]}
        if self._model:
            body["model"] = self._model
        return self._scores(await self._asked(client, body), len(texts))

    async def probe(self) -> None:
        """See `antiphon_runtime.Remote`: asks for the list of models; any answer will do."""
        if self._client is not None:
            with translated(self._told):
                await self._client.models.with_raw_response.list()

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    @property
    def _told(self) -> AskedServer:
        return AskedServer(
            self.server,
            self._timeout_s,
            key="ANTIPHON_MEMORY_RERANKER_API_KEY",
            unknown="the model or the path /rerank: see ANTIPHON_MEMORY_RERANKER_MODEL and "
            "ANTIPHON_MEMORY_RERANKER_BASE_URL",
            unable="llama.cpp does it when started with --reranking and a model made for it",
        )

    async def _asked(self, client: AsyncOpenAI, body: Mapping[str, Any]) -> str:
        with translated(self._told):
            async with asyncio.timeout(self._timeout_s):
                # `str` is the body as it came: the client knows no model of this answer.
                answer: str = await client.post("/rerank", body=body, cast_to=str)
                return answer

    def _scores(self, body: str, count: int) -> list[float]:
        try:
            answer = _ANSWER.validate_json(body)
        except ValidationError:
            msg = f"{self.server} gave an answer without scores."
            raise EngineError(msg) from None
        scored = answer.results if isinstance(answer, _Results) else answer
        by_index = {one.index: one.score for one in scored}
        if len(scored) != count or by_index.keys() != set(range(count)):
            msg = f"{self.server} did not score each text once."
            raise EngineError(msg)
        return [by_index[index] for index in range(count)]
