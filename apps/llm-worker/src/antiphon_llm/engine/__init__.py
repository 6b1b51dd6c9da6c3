"""Language models behind the `ChatModel` port; the only place that knows openai and xllamacpp."""

from __future__ import annotations

from antiphon_llm.engine.choice import open_brains

__all__ = ["open_brains"]
