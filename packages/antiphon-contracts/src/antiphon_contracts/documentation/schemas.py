"""JSON Schema of payloads and of the envelope."""

from __future__ import annotations

from typing import Any, TypeAlias

from antiphon_contracts.documentation.docstrings import field_texts, summary
from antiphon_contracts.envelope import MAX_ID_CHARS, Payload
from antiphon_contracts.level import MAX_LEVEL_CHARS

Schema: TypeAlias = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(model: type[Payload]) -> tuple[Schema, dict[str, Schema]]:
    """Return the schema of `model` as readers take it, and those of the models within it."""
    schema = model.model_json_schema()
    parts = schema.pop("$defs", {})
    models = {each.__name__: each for each in payload_models()}
    return _described(schema, model), {
        name: _described(part, models[name]) for name, part in sorted(parts.items())
    }


def payload_models() -> list[type[Payload]]:
    """Return every payload model of the contract, those within others too."""
    return sorted(
        (m for m in Payload.__subclasses__() if m.__module__.startswith("antiphon_contracts.")),
        key=lambda model: model.__name__,
    )


def schema_document(model: type[Payload]) -> Schema:
    """Return a JSON Schema document that stands alone."""
    schema, parts = schema_of(model)
    document: Schema = {"$schema": DIALECT, **schema}
    if parts:
        document["$defs"] = parts
    return document


def envelope_schema() -> Schema:
    """Return the schema of the envelope around any payload."""
    text: Schema = {"type": "string", "maxLength": MAX_ID_CHARS}
    optional: Schema = {"anyOf": [text, {"type": "null"}], "default": None}
    site: Schema = {
        "type": "string",
        "maxLength": MAX_LEVEL_CHARS,
        "pattern": r"^[^/+#{}\x00-\x1f\x7f-\x9f]*$",
    }
    time_left: Schema = {"anyOf": [{"type": "number"}, {"type": "null"}], "default": None}
    return {
        "title": "Envelope",
        "description": "What every typed message is wrapped in. Unknown fields are ignored.",
        "type": "object",
        "properties": {
            "id": {
                **text,
                "minLength": 1,
                "description": "Unique message id (UUIDv7); a resent message keeps it.",
            },
            "type": {"type": "string", "description": "Payload's name and major version."},
            "ts": {
                "type": "number",
                "default": 0.0,
                "description": "Seconds since the epoch at the sender, for people and logs only.",
            },
            "source": {**optional, "description": "The sending worker, e.g. `stt-1`."},
            "correlation_id": {
                **optional,
                "description": "In a reply: the id of the request that it answers.",
            },
            "turn_id": {**optional, "description": "Everything that one utterance caused."},
            "site_id": {
                "anyOf": [site, {"type": "null"}],
                "default": "default",
                "description": "Room or satellite; one level of a topic.",
            },
            "ttl_s": {
                **time_left,
                "description": "How long the sender still wants it, in seconds from receipt.",
            },
            "data": {"type": "object", "description": "The payload."},
        },
        "required": ["id", "type", "data"],
    }


def _described(schema: Schema, model: type[Payload]) -> Schema:
    texts = field_texts(model)
    properties: dict[str, Schema] = {}
    for name, described in schema.get("properties", {}).items():
        plain = {key: value for key, value in described.items() if key != "title"}
        properties[name] = plain | ({"description": texts[name]} if name in texts else {})
    return schema | {"description": summary(model), "properties": properties}
