from __future__ import annotations

import pytest
from antiphon_memory.engine import Prefixes, onnx, openai
from antiphon_memory.settings import MemorySettings
from antiphon_models import ModelStore, default_root

pytestmark = pytest.mark.unit

SEARCH = "Represent this sentence for searching relevant passages: "


@pytest.mark.parametrize(
    ("model", "query", "document"),
    [
        ("intfloat/e5-small-v2", "query: ", "passage: "),
        ("/models/multilingual-E5-base", "query: ", "passage: "),
        ("intfloat/multilingual-e5-large-instruct", "", ""),
        ("BAAI/bge-small-en-v1.5", SEARCH, ""),
        ("BAAI/bge-m3", "", ""),
        ("nomic-embed-text:v1.5", "search_query: ", "search_document: "),
        ("mxbai-embed-large", SEARCH, ""),
        ("minilm-l6-v2-int8", "", ""),
        ("text-embedding-3-small", "", ""),
        ("some5-small", "", ""),
        ("", "", ""),
    ],
)
def test_known_models_get_what_they_were_trained_with(
    model: str, query: str, document: str
) -> None:
    prefixes = Prefixes.of(model)
    assert prefixes.applied(["where is it"], "query") == [f"{query}where is it"]
    assert prefixes.applied(["here", "there"], "document") == [
        f"{document}here",
        f"{document}there",
    ]


def test_what_the_settings_say_goes_before_that() -> None:
    assert Prefixes.of("e5-small", query="q: ", document="") == Prefixes("q: ", "")
    assert Prefixes.of("e5-small", query="") == Prefixes("", "passage: ")
    assert Prefixes.of("unknown", document="d: ") == Prefixes("", "d: ")


def test_vectors_of_documents_with_another_prefix_are_of_another_model() -> None:
    models = ModelStore(default_root())
    own = MemorySettings(openai_model="e5-small")
    other = MemorySettings(openai_model="e5-small", document_prefix="")
    asked_otherwise = MemorySettings(openai_model="e5-small", query_prefix="")
    assert openai(own, models).name == 'openai e5-small "passage: "'
    assert openai(other, models).name == "openai e5-small"
    assert openai(asked_otherwise, models).name == openai(own, models).name
    assert onnx(MemorySettings(), models).name == "minilm-l6-v2-int8"
