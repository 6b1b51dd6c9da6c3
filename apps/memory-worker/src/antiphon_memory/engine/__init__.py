"""Engines: text to unit vectors, and texts in the order of how well they answer a question."""

from __future__ import annotations

from antiphon_models import ModelStore

from antiphon_memory.engine.embedding_server import EmbeddingServer
from antiphon_memory.engine.onnx_model import OnnxEmbedder
from antiphon_memory.engine.onnx_reranker import OnnxReranker
from antiphon_memory.engine.prefixes import Prefixes
from antiphon_memory.engine.rerank_server import Form, RerankServer
from antiphon_memory.engine.torch_model import TorchEmbedder
from antiphon_memory.engine.voyage_service import VoyageEmbedder
from antiphon_memory.settings import MemorySettings

__all__ = [
    "EmbeddingServer",
    "OnnxEmbedder",
    "OnnxReranker",
    "Prefixes",
    "RerankServer",
    "TorchEmbedder",
    "VoyageEmbedder",
    "cross_encoder",
    "onnx",
    "openai",
    "reranking_server",
    "sentence_transformers",
    "text_embeddings_inference",
    "voyage",
]

ONNX_MODEL = "minilm-l6-v2-int8"
TORCH_MODEL = "minilm-l6-v2"


def onnx(settings: MemorySettings, models: ModelStore) -> OnnxEmbedder:
    """Return the light embedder; nothing is loaded yet."""
    model = settings.model or ONNX_MODEL
    return OnnxEmbedder(
        models,
        model,
        threads=settings.threads,
        document_threads=settings.document_threads,
        prefixes=_prefixes(settings, model),
    )


def sentence_transformers(settings: MemorySettings, models: ModelStore) -> TorchEmbedder:
    """Return the embedder for any sentence-transformers model; nothing is loaded yet."""
    model = settings.model or TORCH_MODEL
    return TorchEmbedder(
        models, model, threads=settings.document_threads, prefixes=_prefixes(settings, model)
    )


def openai(settings: MemorySettings, models: ModelStore) -> EmbeddingServer:  # noqa: ARG001  (the group's signature)
    """Return the client of any server with OpenAI's `/embeddings`; nothing is sent yet."""
    return EmbeddingServer(
        base_url=settings.openai_base_url,
        api_key=settings.openai_api_key.get_secret_value(),
        model=settings.openai_model,
        dimension=settings.openai_dimensions,
        timeout_s=settings.openai_timeout_s,
        prefixes=_prefixes(settings, settings.openai_model),
    )


def voyage(settings: MemorySettings, models: ModelStore) -> VoyageEmbedder:  # noqa: ARG001
    """Return the client of Voyage; nothing is sent yet."""
    return VoyageEmbedder(
        base_url=settings.voyage_base_url,
        api_key=settings.voyage_api_key.get_secret_value(),
        model=settings.voyage_model,
        dimension=settings.voyage_dimensions,
        timeout_s=settings.voyage_timeout_s,
    )


def cross_encoder(settings: MemorySettings, models: ModelStore) -> OnnxReranker:
    """Return the reranker for any cross-encoder in an ONNX file; nothing is loaded yet."""
    return OnnxReranker(models, settings.reranker_model, threads=settings.threads)


def reranking_server(settings: MemorySettings, models: ModelStore) -> RerankServer:  # noqa: ARG001
    """Return the client of a server with Jina's and Cohere's `/rerank`; nothing is sent yet."""
    return _reranker(settings, "documents")


def text_embeddings_inference(settings: MemorySettings, models: ModelStore) -> RerankServer:  # noqa: ARG001
    """Return the client of TEI's `/rerank`; nothing is sent yet."""
    return _reranker(settings, "texts")


def _reranker(settings: MemorySettings, form: Form) -> RerankServer:
    return RerankServer(
        base_url=settings.reranker_base_url,
        api_key=settings.reranker_api_key.get_secret_value(),
        model=settings.reranker_model,
        timeout_s=settings.reranker_timeout_s,
        form=form,
    )


def _prefixes(settings: MemorySettings, model: str) -> Prefixes:
    return Prefixes.of(model, query=settings.query_prefix, document=settings.document_prefix)
