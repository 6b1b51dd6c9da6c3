"""What is put before a text so that a model knows a question from a passage."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from antiphon_memory.embedder import Kind

_SEARCH = "Represent this sentence for searching relevant passages: "


@dataclass(frozen=True, slots=True)
class Prefixes:
    """What is put before questions and before documents."""

    query: str = ""
    document: str = ""

    @classmethod
    def of(cls, model: str, *, query: str | None = None, document: str | None = None) -> Prefixes:
        """Return what a model was trained with, as far as known; what is given goes before that.

        Args:
            model: name or path, e.g. `intfloat/multilingual-e5-small` or `nomic-embed-text:v1.5`.
            query: what to put before questions; None is the model's own.
            document: the same for documents.
        """
        name = PurePosixPath(model.lower()).name
        own = next((known for pattern, known in _KNOWN if re.search(pattern, name)), cls())
        return cls(
            own.query if query is None else query, own.document if document is None else document
        )

    def applied(self, texts: Sequence[str], kind: Kind) -> list[str]:
        """Return the texts as the model wants them."""
        prefix = self.query if kind == "query" else self.document
        return [prefix + text for text in texts] if prefix else list(texts)

    def named(self, model: str) -> str:
        """Return a model's name, and what it puts before documents, which changes their vectors."""
        return f'{model} "{self.document}"' if self.document else model


# From the models' own cards at huggingface.co: intfloat/e5-base-v2 and multilingual-e5-base;
# BAAI/bge-base-en-v1.5 and bge-base-zh-v1.5 (only questions have an instruction);
# nomic-ai/nomic-embed-text-v1.5; mixedbread-ai/mxbai-embed-large-v1. The first match counts.
# Left out on purpose: e5's "instruct" models, whose instruction names the task, and bge-m3, which
# has none.
_KNOWN = (
    (r"\be5-(small|base|large)(?!.*instruct)", Prefixes("query: ", "passage: ")),
    (r"\bbge-(small|base|large)-en", Prefixes(_SEARCH)),
    (r"\bbge-(small|base|large)-zh", Prefixes("为这个句子生成表示以用于检索相关文章：")),
    (r"\bnomic-embed-text", Prefixes("search_query: ", "search_document: ")),
    (r"\bmxbai-embed-(large|xsmall)", Prefixes(_SEARCH)),
)
