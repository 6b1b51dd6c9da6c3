"""Memories on a PostgreSQL server, with pgvector where the server has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon_contracts import ConfigError
from antiphon_runtime import install_command

if TYPE_CHECKING:
    from pathlib import Path

    from antiphon_memory.embedding import Notes
    from antiphon_memory.postgres.memories import PostgresMemories
    from antiphon_memory.settings import MemorySettings

HERE = "postgresql://127.0.0.1:5432/antiphon"


def memory_store(
    settings: MemorySettings,
    data_dir: Path,  # noqa: ARG001  (the server has a place of its own)
    notes: Notes,
) -> PostgresMemories:
    """Return the store in the database at `settings.postgres_url`.

    Raises:
        ConfigError: the library is missing.
    """
    try:
        from antiphon_memory.postgres.memories import PostgresMemories  # noqa: PLC0415  (an extra)
    except ImportError as error:
        msg = f"Memories on PostgreSQL need its client: {install_command('postgres')}"
        raise ConfigError(msg) from error
    url = settings.postgres_url.get_secret_value() or HERE
    return PostgresMemories(url, notes, language=settings.postgres_language)
