"""Memories on a Milvus server or cluster, or in Milvus Lite's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon_contracts import ConfigError
from antiphon_runtime import install_command

if TYPE_CHECKING:
    from pathlib import Path

    from antiphon_memory.embedding import Notes
    from antiphon_memory.milvus.memories import MilvusMemories
    from antiphon_memory.settings import MemorySettings

HERE = "http://127.0.0.1:19530"


def memory_store(
    settings: MemorySettings,
    data_dir: Path,  # noqa: ARG001  (the server has a place of its own)
    notes: Notes,  # noqa: ARG001
) -> MilvusMemories:
    """Return the store on the server at `settings.milvus_url`.

    Raises:
        ConfigError: the library is missing.
    """
    try:
        from antiphon_memory.milvus.memories import MilvusMemories  # noqa: PLC0415  (an extra)
    except ImportError as error:
        msg = f"Memories on Milvus need its client: {install_command('milvus')}"
        raise ConfigError(msg) from error
    url = settings.milvus_url.get_secret_value() or HERE
    return MilvusMemories(url, token=settings.milvus_token.get_secret_value())
