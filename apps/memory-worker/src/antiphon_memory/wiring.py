"""How the memory worker is put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec

from antiphon_contracts import (
    HISTORY_APPEND,
    HISTORY_DELETE,
    HISTORY_LIST,
    HISTORY_QUERY,
    HISTORY_SEARCH,
    HISTORY_SHOW,
    HISTORY_SUMMARISE,
    MEMORY_FORGET,
    MEMORY_IMPORT,
    MEMORY_INGEST,
    MEMORY_LIST,
    MEMORY_QUERY,
    MEMORY_REMEMBER,
    HistoryAppend,
    HistoryDone,
    Message,
)
from antiphon_models import ModelStore, default_root
from antiphon_runtime import Remote, Upstream, Wiring, Worker, load_engine, serve
from antiphon_runtime.tasks import running

from antiphon_memory.conversations import ConversationStore
from antiphon_memory.embedder import Embedder
from antiphon_memory.embedding import RETRY_S, Embedding
from antiphon_memory.exporting import Exporter
from antiphon_memory.history import DAY_S, History, Retention
from antiphon_memory.pruning import prune_daily
from antiphon_memory.ranking import Floors
from antiphon_memory.reindexing import Reindexer
from antiphon_memory.remembering import Remembering
from antiphon_memory.service import MemoryService, MemoryStore
from antiphon_memory.settings import MemorySettings

QUERIES_AT_ONCE = 32
"""As many as one batch of the embedder: with 4, 64 questions at once took 1.5 times as long."""


def build(worker: Worker[MemorySettings]) -> Wiring:
    """Build the worker with the store and the embedder that its settings name.

    Raises:
        ConfigError: there is no such store or embedder.
    """
    settings = worker.settings
    models = ModelStore(default_root(worker.runtime.models_dir))
    engine = settings.engine
    if engine == "auto":
        engine = "sentence-transformers" if find_spec("sentence_transformers") else "onnx"
    embedder: Embedder = load_engine("antiphon.embedders", engine)(settings, models)
    store: MemoryStore = load_engine("antiphon.stores", settings.store)(
        settings, worker.runtime.data_dir, worker.health
    )
    conversations: ConversationStore = load_engine(
        "antiphon.conversation_stores", settings.history_store
    )(settings, worker.runtime.data_dir, worker.health)
    return wire(worker, store, conversations, embedder)


def wire(
    worker: Worker[MemorySettings],
    store: MemoryStore,
    conversation_store: ConversationStore,
    embedder: Embedder,
) -> Wiring:
    """Build the worker around given stores and a given embedder."""
    settings = worker.settings
    embedding = Embedding(
        embedder,
        worker.health,
        upstream=_upstream(worker, embedder),
        retry_s=min(RETRY_S, worker.runtime.server_retry_s),
    )
    reindexer = Reindexer(store, embedding, worker.health)
    service = MemoryService(
        store,
        embedding,
        floors=Floors(settings.relevance_floor, settings.keyword_floor, settings.forget_floor),
    )
    remembering = Remembering(store, embedding, on_unembedded=reindexer.wake)

    exporter = Exporter(store, on_unembedded=reindexer.wake)
    history = History(
        conversation_store,
        Retention(idle_s=settings.session_idle_min * 60, kept_s=settings.history_days * DAY_S),
    )

    async def adopt_model() -> None:
        await store.adopt_model(embedding.name, embedding.dimension)
        worker.health.engine = f"{settings.store}, {embedding.description}"
        reindexer.wake()

    async def on_append(message: Message[HistoryAppend]) -> HistoryDone:
        if settings.keep == "facts":
            await remembering.consider(message)
        return await history.on_append(message)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        worker.health.engine = f"{settings.store}, words only"
        async with store.open(), conversation_store.open(), embedding.open(adopt_model):
            prune = prune_daily((service.prune, history.prune), worker.health)
            async with running(reindex=reindexer.run(), prune=prune):
                yield

    return Wiring(
        [
            serve(MEMORY_QUERY, service.on_query, concurrency=QUERIES_AT_ONCE),
            serve(MEMORY_REMEMBER, remembering.on_remember),
            serve(MEMORY_FORGET, service.on_forget),
            serve(MEMORY_INGEST, service.on_ingest),
            serve(MEMORY_LIST, exporter.on_list),
            serve(MEMORY_IMPORT, exporter.on_import),
            serve(HISTORY_APPEND, on_append),
            serve(HISTORY_QUERY, history.on_query, concurrency=QUERIES_AT_ONCE),
            serve(HISTORY_SUMMARISE, history.on_summarise),
            serve(HISTORY_LIST, history.on_list),
            serve(HISTORY_SHOW, history.on_show),
            serve(HISTORY_SEARCH, history.on_search),
            serve(HISTORY_DELETE, history.on_delete),
        ],
        lifespan=lifespan,
    )


def _upstream(worker: Worker[MemorySettings], embedder: Embedder) -> Upstream | None:
    if not isinstance(embedder, Remote):
        return None
    return Upstream.before(
        embedder, "embedding_server", worker.health, retry_s=worker.runtime.server_retry_s
    )
