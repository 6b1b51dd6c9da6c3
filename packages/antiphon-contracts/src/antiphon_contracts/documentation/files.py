"""Which documents there are, and what stands in them."""

from __future__ import annotations

import orjson

from antiphon_contracts.documentation.asyncapi import Node, asyncapi_document, message_name
from antiphon_contracts.documentation.examples import (
    example_message,
    example_payload,
    example_refusal,
    typed_topics,
)
from antiphon_contracts.documentation.page import contract_page
from antiphon_contracts.documentation.schemas import DIALECT, envelope_schema, schema_document
from antiphon_contracts.envelope import Payload, encode
from antiphon_contracts.payloads.house import PlainAnswer, PlainAsk
from antiphon_contracts.topics import REFUSAL_MODEL, REFUSAL_TYPE

FOLDER = "docs/contract"
GOLDEN_FOLDER = "tests/contract/golden"

_PLAIN: dict[str, type[Payload]] = {"plain.ask": PlainAsk, "plain.answer": PlainAnswer}


def documents(version: str) -> dict[str, str]:
    """Return every generated document, by its path below the checkout."""
    models = {message_name(topic.type): topic.model for topic in typed_topics().values()}
    models |= {message_name(REFUSAL_TYPE): REFUSAL_MODEL, **_PLAIN}
    texts = {
        f"schemas/{stem}.json": _json(schema_document(model))
        for stem, model in sorted(models.items())
    }
    texts["schemas/envelope.json"] = _json({"$schema": DIALECT, **envelope_schema()})
    texts["asyncapi.json"] = _json(asyncapi_document(version))
    texts["README.md"] = contract_page()
    return {f"{FOLDER}/{name}": text for name, text in texts.items()}


def golden_files() -> dict[str, bytes]:
    """Return the wire form of every example, by its path below the checkout.

    Each file is one message and a line feed.
    """
    wires = {
        message_name(topic.type): encode(example_message(topic))
        for topic in typed_topics().values()
    }
    wires[message_name(REFUSAL_TYPE)] = encode(example_refusal())
    for stem, model in _PLAIN.items():
        wires[stem] = example_payload(model).model_dump_json().encode()
    return {f"{GOLDEN_FOLDER}/{stem}.json": wire + b"\n" for stem, wire in sorted(wires.items())}


def _json(node: Node) -> str:
    return orjson.dumps(node, option=orjson.OPT_INDENT_2).decode() + "\n"
