"""Settings of the memory worker."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from antiphon_contracts import MAX_PARTS, PART_BYTES
from antiphon_runtime.settings import Settings
from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict


class MemorySettings(Settings):
    """Section `[memory]`, or `ANTIPHON_MEMORY_…` in the environment.

    The three floors were measured with all-MiniLM-L6-v2 (see `antiphon_memory.ranking`); another
    embedding model may want others.
    """

    model_config = SettingsConfigDict(env_prefix="ANTIPHON_MEMORY_")
    section: ClassVar[str] = "memory"

    store: str = Field(
        default="sqlite", description="Where memories are kept: sqlite, postgresql or milvus."
    )
    path: Path | None = Field(
        default=None, description="SQLite file; empty is memory.sqlite in the data folder."
    )
    keep: Literal["asked", "facts"] = Field(
        default="asked",
        description="What is remembered: only what somebody asks for, or also facts and "
        "preferences said in passing (English rules).",
    )
    history_store: str = Field(
        default="sqlite", description="Where conversations are kept: sqlite or redis."
    )
    postgres_url: SecretStr = Field(
        default=SecretStr(""),
        description="Database of memories, postgresql://USER:PASSWORD@HOST:PORT/NAME; empty is "
        "postgresql://127.0.0.1:5432/antiphon.",
    )
    postgres_language: str = Field(
        default="english",
        description="How PostgreSQL finds words: a name of its text searches; simple fits all "
        "languages and knows no endings of words.",
    )
    milvus_url: SecretStr = Field(
        default=SecretStr(""),
        description="Milvus server of memories, http://HOST:PORT/DATABASE, or a path that ends in "
        ".db for Milvus Lite; empty is http://127.0.0.1:19530.",
    )
    milvus_token: SecretStr = Field(
        default=SecretStr(""), description="USER:PASSWORD, or an API key, for Milvus."
    )
    redis_url: SecretStr = Field(
        default=SecretStr(""),
        description="Redis server of conversations, redis://USER:PASSWORD@HOST:PORT/0; empty is "
        "redis://127.0.0.1:6379/0.",
    )
    redis_ttl_h: float = Field(
        default=12.0,
        gt=0,
        description="How long Redis keeps a session of a conversation after its last message, in "
        "hours.",
    )
    knowledge_store: str = Field(default="sqlite", description="Where documents are kept.")
    document_bytes: int = Field(
        default=20_000_000,
        ge=1,
        le=PART_BYTES * MAX_PARTS,
        description="How long a document may be that is uploaded or fetched, in bytes.",
    )
    fetch_allow: tuple[str, ...] = Field(
        default=(),
        description=(
            "Private places that documents may be fetched from all the same: host names, addresses "
            "or networks, e.g. nas.lan or 192.168.1.0/24."
        ),
    )
    engine: str = Field(
        default="auto",
        description="Embedding engine: onnx, sentence-transformers, openai (any server with "
        "/embeddings), voyage, one you installed, or auto: sentence-transformers if it is there, "
        "else onnx.",
    )
    model: str = Field(
        default="",
        description="Model of onnx or sentence-transformers, a name or a folder; empty is the "
        "engine's own.",
    )
    threads: int = Field(
        default=2,
        ge=1,
        le=64,
        description="Cores of the onnx engine for questions that come together; one alone uses "
        "one.",
    )
    document_threads: int = Field(
        default=1,
        ge=1,
        le=64,
        description="Cores for reading documents; more is faster, and slows speech where it runs "
        "beside.",
    )
    query_prefix: str | None = Field(
        default=None,
        max_length=500,
        description="What the embedding model wants before a question; by default what is known "
        "of it (e5, bge, nomic, mxbai).",
    )
    document_prefix: str | None = Field(
        default=None, max_length=500, description="The same before what is kept."
    )
    openai_base_url: str = Field(
        default="https://api.openai.com/v1",
        pattern=r"^https?://\S+$",
        description="Server of the openai engine: any with /embeddings below this URL, such as "
        "Infinity, TEI or Ollama.",
    )
    openai_api_key: SecretStr = Field(
        default=SecretStr(""), description="Key for that server; empty if it wants none."
    )
    openai_model: str = Field(
        default="text-embedding-3-small",
        min_length=1,
        description="Embedding model to ask that server for.",
    )
    openai_dimensions: int = Field(
        default=0,
        ge=0,
        le=16_384,
        description="Length of the vectors to ask that server for; 0 is its model's own.",
    )
    openai_timeout_s: float = Field(
        default=10.0, gt=0, le=600, description="How long that server may take for one batch."
    )
    voyage_base_url: str = Field(
        default="",
        pattern=r"^(https?://\S+)?$",
        description="Address of the voyage engine; empty is Voyage's own.",
    )
    voyage_api_key: SecretStr = Field(default=SecretStr(""), description="Key for Voyage.")
    voyage_model: str = Field(
        default="voyage-3.5", min_length=1, description="Embedding model to ask Voyage for."
    )
    voyage_dimensions: int = Field(
        default=0,
        ge=0,
        le=16_384,
        description="Length of the vectors to ask Voyage for; 0 is its model's own.",
    )
    voyage_timeout_s: float = Field(
        default=10.0, gt=0, le=600, description="How long Voyage may be silent."
    )
    relevance_floor: float = Field(
        default=0.3, ge=-1, le=1, description="Cosine from which a memory is relevant by meaning."
    )
    keyword_floor: float = Field(
        default=0.25,
        ge=-1,
        le=1,
        description="The same for a memory that shares a word with the question.",
    )
    forget_floor: float = Field(
        default=0.5, ge=-1, le=1, description="Cosine from which the best match may be forgotten."
    )
    half_life_days: float = Field(
        default=0.0,
        ge=0,
        le=36_500,
        description="A memory counts half as much when it is this many days older; documents do "
        "not age. 0 is off.",
    )
    reranker: str = Field(
        default="",
        description="Engine that reads what was found once more and puts the best first: onnx (a "
        "cross-encoder on this machine), server (any with /rerank, such as Infinity, vLLM, "
        "llama.cpp, Jina or Cohere), tei (Text Embeddings Inference), or one you installed; empty "
        "is none.",
    )
    reranker_base_url: str = Field(
        default="http://127.0.0.1:8080/v1",
        pattern=r"^https?://\S+$",
        description="What /rerank is below; TEI has it without the /v1.",
    )
    reranker_api_key: SecretStr = Field(
        default=SecretStr(""), description="Key for that server; empty if it wants none."
    )
    reranker_model: str = Field(
        default="",
        description="Model to ask that server for, empty is the one it has; with onnx, a "
        "folder with model.onnx and tokenizer.json.",
    )
    reranker_candidates: int = Field(
        default=20, ge=2, le=100, description="How many of what was found it reads, the best first."
    )
    reranker_timeout_s: float = Field(
        default=1.0,
        gt=0,
        le=3.0,
        description="How long it may take; then the answer keeps its first order.",
    )
    history_days: float = Field(
        default=30.0, gt=0, description="How long conversations are kept, in days."
    )
    session_idle_min: float = Field(
        default=30.0,
        gt=0,
        description="A conversation begins anew after a silence of this many minutes.",
    )
