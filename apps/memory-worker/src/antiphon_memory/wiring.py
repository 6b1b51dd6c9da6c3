"""How the memory worker is put together."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from importlib.util import find_spec

from antiphon_contracts import (
    HISTORY_APPEND,
    HISTORY_DELETE,
    HISTORY_LIST,
    HISTORY_QUERY,
    HISTORY_SEARCH,
    HISTORY_SHOW,
    HISTORY_SUMMARISE,
    KNOWLEDGE_ADD,
    KNOWLEDGE_CANCEL,
    KNOWLEDGE_LIST,
    KNOWLEDGE_PROGRESS,
    KNOWLEDGE_REFRESH,
    KNOWLEDGE_REMOVE,
    KNOWLEDGE_SEARCH,
    MEMORY_FORGET,
    MEMORY_IMPORT,
    MEMORY_LIST,
    MEMORY_QUERY,
    MEMORY_REMEMBER,
    HistoryAppend,
    HistoryDone,
    KnowledgeProgress,
    Message,
)
from antiphon_documents import FetchRules
from antiphon_models import ModelStore, default_root
from antiphon_runtime import Handler, Remote, Upstream, Wiring, Worker, load_engine, serve
from antiphon_runtime.tasks import running

from antiphon_memory.conversations import ConversationStore
from antiphon_memory.embedder import Embedder
from antiphon_memory.embedding import RETRY_S, Embedding
from antiphon_memory.exporting import Exporter
from antiphon_memory.history import DAY_S, History, Retention
from antiphon_memory.ingesting import Ingester
from antiphon_memory.knowledge import Knowledge
from antiphon_memory.knowledge_store import KnowledgeStore
from antiphon_memory.pruning import prune_daily
from antiphon_memory.ranking import Floors
from antiphon_memory.reading import DocumentReader, PublicWeb
from antiphon_memory.reindexing import Reindexer
from antiphon_memory.remembering import Remembering
from antiphon_memory.reranking import Reranker, Reranking
from antiphon_memory.searching import Search
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
    documents: KnowledgeStore = load_engine("antiphon.knowledge_stores", settings.knowledge_store)(
        settings, worker.runtime.data_dir, worker.health
    )
    reranker: Reranker | None = None
    if settings.reranker:
        reranker = load_engine("antiphon.rerankers", settings.reranker)(settings, models)
    return wire(worker, Stores(store, conversations, documents), embedder, reranker)


@dataclass(frozen=True)
class Stores:
    """Where everything is kept."""

    memories: MemoryStore
    conversations: ConversationStore
    knowledge: KnowledgeStore


def wire(
    worker: Worker[MemorySettings],
    stores: Stores,
    embedder: Embedder,
    reranker: Reranker | None = None,
) -> Wiring:
    """Build the worker around given stores and engines.

    Raises:
        ConfigError: what may be fetched cannot be read.
    """
    settings = worker.settings
    embedding = Embedding(
        embedder,
        worker.health,
        upstream=_upstream(worker, embedder, "embedding_server"),
        retry_s=min(RETRY_S, worker.runtime.server_retry_s),
    )
    store = stores.memories
    reindexer = Reindexer(store, embedding, worker.health)
    reranking = _reranking(worker, reranker)
    documents = _documents(worker, stores.knowledge, embedding, reranking)
    service = _service(settings, store, embedding, documents.knowledge, reranking)
    remembering = Remembering(store, embedding, on_unembedded=reindexer.wake)

    exporter = Exporter(store, on_unembedded=reindexer.wake)
    history = History(
        stores.conversations,
        Retention(idle_s=settings.session_idle_min * 60, kept_s=settings.history_days * DAY_S),
    )

    async def adopt_model() -> None:
        await store.adopt_model(embedding.name, embedding.dimension)
        await stores.knowledge.adopt_model(embedding.name, embedding.dimension)
        worker.health.engine = f"{settings.store}, {embedding.description}"
        reindexer.wake()
        documents.ingester.wake()

    async def on_append(message: Message[HistoryAppend]) -> HistoryDone:
        if settings.keep == "facts":
            await remembering.consider(message)
        return await history.on_append(message)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        worker.health.engine = f"{settings.store}, words only"
        async with AsyncExitStack() as stack:
            stack.callback(documents.reader.close)
            for part in (store, stores.conversations, stores.knowledge, documents.web):
                await stack.enter_async_context(part.open())
            await stack.enter_async_context(reranking.open() if reranking else nullcontext())
            await stack.enter_async_context(embedding.open(adopt_model))
            prunes = (service.prune, history.prune, documents.knowledge.prune)
            async with running(
                reindex=reindexer.run(),
                ingest=documents.ingester.run(),
                prune=prune_daily(prunes, worker.health),
            ):
                yield

    return Wiring(
        [
            serve(MEMORY_QUERY, service.on_query, concurrency=QUERIES_AT_ONCE),
            serve(MEMORY_REMEMBER, remembering.on_remember),
            serve(MEMORY_FORGET, service.on_forget),
            serve(MEMORY_LIST, exporter.on_list),
            serve(MEMORY_IMPORT, exporter.on_import),
            serve(HISTORY_APPEND, on_append),
            serve(HISTORY_QUERY, history.on_query, concurrency=QUERIES_AT_ONCE),
            serve(HISTORY_SUMMARISE, history.on_summarise),
            serve(HISTORY_LIST, history.on_list),
            serve(HISTORY_SHOW, history.on_show),
            serve(HISTORY_SEARCH, history.on_search),
            serve(HISTORY_DELETE, history.on_delete),
            *documents.handlers,
        ],
        lifespan=lifespan,
    )


def _service(
    settings: MemorySettings,
    store: MemoryStore,
    embedding: Embedding,
    knowledge: Knowledge,
    reranking: Reranking | None,
) -> MemoryService:
    floors = _floors(settings)
    return MemoryService(
        store,
        memories=Search([store], embedding, floors),
        everything=Search(
            [store, knowledge],
            embedding,
            floors,
            knowledge,
            half_life_days=settings.half_life_days,
            reranking=reranking,
        ),
        floors=floors,
    )


@dataclass(frozen=True)
class _Documents:
    """What the knowledge base is made of."""

    knowledge: Knowledge
    ingester: Ingester
    reader: DocumentReader
    web: PublicWeb

    @property
    def handlers(self) -> list[Handler]:
        knowledge = self.knowledge
        return [
            serve(KNOWLEDGE_ADD, knowledge.on_add),
            serve(KNOWLEDGE_REMOVE, knowledge.on_remove),
            serve(KNOWLEDGE_REFRESH, knowledge.on_refresh),
            serve(KNOWLEDGE_CANCEL, knowledge.on_cancel),
            serve(KNOWLEDGE_LIST, knowledge.on_list),
            serve(KNOWLEDGE_SEARCH, knowledge.on_search),
        ]


def _documents(
    worker: Worker[MemorySettings],
    store: KnowledgeStore,
    embedding: Embedding,
    reranking: Reranking | None,
) -> _Documents:
    settings = worker.settings
    rules = FetchRules(max_bytes=settings.document_bytes, allow_private=settings.fetch_allow)
    web, reader = PublicWeb(rules), DocumentReader()

    def say(progress: KnowledgeProgress) -> None:
        worker.bus.publish(KNOWLEDGE_PROGRESS, progress)

    ingester = Ingester(store, embedding, reader, web, say=say, notes=worker.health)
    knowledge = Knowledge(
        store,
        Search([store], embedding, _floors(settings), reranking=reranking),
        max_bytes=settings.document_bytes,
        on_order=ingester.wake,
        on_cancel=ingester.cancel,
    )
    return _Documents(knowledge, ingester, reader, web)


def _floors(settings: MemorySettings) -> Floors:
    return Floors(settings.relevance_floor, settings.keyword_floor, settings.forget_floor)


def _reranking(worker: Worker[MemorySettings], reranker: Reranker | None) -> Reranking | None:
    if reranker is None:
        return None
    settings = worker.settings
    return Reranking(
        reranker,
        worker.health,
        upstream=_upstream(worker, reranker, "reranking_server"),
        candidates=settings.reranker_candidates,
        timeout_s=settings.reranker_timeout_s,
        retry_s=min(RETRY_S, worker.runtime.server_retry_s),
    )


def _upstream(
    worker: Worker[MemorySettings], engine: Embedder | Reranker, name: str
) -> Upstream | None:
    if not isinstance(engine, Remote):
        return None
    return Upstream.before(engine, name, worker.health, retry_s=worker.runtime.server_retry_s)
