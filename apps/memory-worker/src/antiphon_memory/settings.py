"""Settings of the memory worker."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from antiphon_runtime.settings import Settings
from pydantic import Field
from pydantic_settings import SettingsConfigDict


class MemorySettings(Settings):
    """Section `[memory]`, or `ANTIPHON_MEMORY_…` in the environment.

    The three floors were measured with all-MiniLM-L6-v2 (see `antiphon_memory.ranking`); another
    embedding model may want others.
    """

    model_config = SettingsConfigDict(env_prefix="ANTIPHON_MEMORY_")
    section: ClassVar[str] = "memory"

    store: str = Field(default="sqlite", description="Where memories are kept.")
    path: Path | None = Field(
        default=None, description="SQLite file; empty is memory.sqlite in the data folder."
    )
    history_store: str = Field(default="sqlite", description="Where conversations are kept.")
    engine: str = Field(
        default="auto",
        description="Embedding engine: onnx, sentence-transformers, or auto (the latter if there).",
    )
    model: str = Field(
        default="", description="Embedding model, a name or a folder; empty is the engine's own."
    )
    threads: int = Field(default=1, ge=1, le=64, description="Compute threads of the embedder.")
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
    history_days: float = Field(
        default=30.0, gt=0, description="How long conversations are kept, in days."
    )
