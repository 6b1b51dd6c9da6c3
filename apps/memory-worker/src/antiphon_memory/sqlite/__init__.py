"""The embedded stores: SQLite files, and vectors beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon_memory.sqlite.conversations import SqliteConversations
from antiphon_memory.sqlite.knowledge import SqliteKnowledge
from antiphon_memory.sqlite.memories import SqliteStore

if TYPE_CHECKING:
    from pathlib import Path

    from antiphon_memory.embedding import Notes
    from antiphon_memory.settings import MemorySettings

MEMORIES = "memory.sqlite"
CONVERSATIONS = "conversations.sqlite"
KNOWLEDGE = "knowledge.sqlite"


def memory_store(settings: MemorySettings, data_dir: Path, notes: Notes) -> SqliteStore:
    """Return the store in `settings.path`, or in `memory.sqlite` of the data folder."""
    return SqliteStore(_memory_path(settings, data_dir), notes)


def conversation_store(
    settings: MemorySettings, data_dir: Path, notes: Notes
) -> SqliteConversations:
    """Return the store in `conversations.sqlite`, in the folder of the memory file.

    Conversations that are still in the memory file are moved when it is opened.
    """
    memory = _memory_path(settings, data_dir)
    return SqliteConversations(memory.with_name(CONVERSATIONS), notes, old_path=memory)


def _memory_path(settings: MemorySettings, data_dir: Path) -> Path:
    path = settings.path.expanduser() if settings.path else data_dir / MEMORIES
    return path.absolute()


def knowledge_store(settings: MemorySettings, data_dir: Path, notes: Notes) -> SqliteKnowledge:
    """Return the store in `knowledge.sqlite`, in the folder of the memory file."""
    return SqliteKnowledge(_memory_path(settings, data_dir).with_name(KNOWLEDGE), notes)
