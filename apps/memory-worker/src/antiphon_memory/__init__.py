"""The memory worker: long-term memory and conversation history.

A store, an embedder and a reranker of your own keep the ports `MemoryStore`, `ConversationStore`,
`Embedder` and `Reranker`; entry points (`antiphon.stores`, `antiphon.conversation_stores`,
`antiphon.embedders`, `antiphon.rerankers`) make them known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon_runtime.late_imports import late_imports

if TYPE_CHECKING:
    from antiphon_memory.conversations import (
        ConversationStore,
        Found,
        Recent,
        Session,
        Turn,
    )
    from antiphon_memory.embedder import Embedder
    from antiphon_memory.embedding import Notes
    from antiphon_memory.reranking import Reranker
    from antiphon_memory.service import Candidate, Memory, MemoryStore, Outcome
    from antiphon_memory.settings import MemorySettings
else:
    __getattr__ = late_imports(
        __name__,
        Embedder="embedder",
        Notes="embedding",
        Reranker="reranking",
        Candidate="service",
        Memory="service",
        MemoryStore="service",
        Outcome="service",
        ConversationStore="conversations",
        Found="conversations",
        Recent="conversations",
        Session="conversations",
        Turn="conversations",
        MemorySettings="settings",
    )

__all__ = [
    "Candidate",
    "ConversationStore",
    "Embedder",
    "Found",
    "Memory",
    "MemorySettings",
    "MemoryStore",
    "Notes",
    "Outcome",
    "Recent",
    "Reranker",
    "Session",
    "Turn",
]
