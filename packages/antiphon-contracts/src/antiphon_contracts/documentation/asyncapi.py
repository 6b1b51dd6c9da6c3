"""The AsyncAPI 3.0 document of the whole house."""

from __future__ import annotations

from typing import Any, TypeAlias

import orjson

from antiphon_contracts.documentation.examples import (
    example_message,
    example_payload,
    example_refusal,
    reply_topics,
    typed_topics,
)
from antiphon_contracts.documentation.schemas import envelope_schema, schema_of
from antiphon_contracts.envelope import Payload, encode
from antiphon_contracts.topic import RawTopic, RequestTopic, Topic
from antiphon_contracts.topics import REFUSAL_MODEL, REFUSAL_TYPE, all_topics

Node: TypeAlias = dict[str, Any]

_SLOT_TEXTS = {
    "site": "Room or satellite.",
    "utterance": "Id of the utterance or of the answer.",
    "worker": "Id of the worker, e.g. `stt-1`.",
    "letter": "Id of the dead letter.",
}


def asyncapi_document(version: str) -> Node:
    """Return the document: a channel per topic; operations for who sends and who receives."""
    topics = all_topics()
    operations: Node = {}
    for name, topic in topics.items():
        operations |= _operations(name.lower(), topic)
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Antiphon",
            "version": version,
            "description": "What passes between the parts of Antiphon. All topics lie under a "
            "base, `antiphon` unless configured otherwise.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "house": {
                "host": "127.0.0.1:1883",
                "protocol": "mqtt",
                "protocolVersion": "5",
                "description": "MQTT 5, or 3.1.1.",
            }
        },
        "channels": {name.lower(): _channel(topic) for name, topic in topics.items()},
        "operations": operations,
        "components": {"messages": _messages(), "schemas": _schemas()},
    }


def _channel(topic: RawTopic) -> Node:
    channel: Node = {
        "address": f"antiphon/{topic.pattern}",
        "summary": topic.summary,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in _carried(topic)},
    }
    if topic.slots:
        channel["parameters"] = {slot: {"description": _SLOT_TEXTS[slot]} for slot in topic.slots}
    if topic.reserved:
        channel["description"] = "Reserved: no part of the house serves it yet."
    return channel


def _carried(topic: RawTopic) -> list[str]:
    """Return the names of the messages that the topic carries."""
    if not isinstance(topic, Topic):
        return [topic.pattern.replace("/", ".").replace("{", "").replace("}", "")]
    refusal = [message_name(REFUSAL_TYPE)] if topic.pattern in reply_topics() else []
    return [message_name(topic.type), *refusal]


def message_name(message_type: str) -> str:
    """Return the name of a message in files and references: `stt.final/1` is `stt.final.1`."""
    return message_type.replace("/", ".")


def _operations(name: str, topic: RawTopic) -> Node:
    common: Node = {
        "channel": {"$ref": f"#/channels/{name}"},
        "summary": topic.summary,
        "bindings": {"mqtt": {"qos": topic.qos, "retain": topic.retain}},
    }
    send: Node = {"action": "send", "title": f"{topic.flow.senders.words} sends", **common}
    if isinstance(topic, RequestTopic):
        reply = next(key for key, each in all_topics().items() if each == topic.reply).lower()
        send["reply"] = {"channel": {"$ref": f"#/channels/{reply}"}}
    receive: Node = {
        "action": "receive",
        "title": f"{topic.flow.receivers.words} receives",
        **common,
    }
    return {f"send_{name}": send, f"receive_{name}": receive}


def _messages() -> Node:
    messages: Node = {}
    for topic in all_topics().values():
        if not isinstance(topic, Topic):
            messages[_carried(topic)[0]] = _raw_message(topic)
            continue
        messages[message_name(topic.type)] = _message(
            topic.type, topic.model, topic.summary, encode(example_message(topic))
        ) | {"correlationId": {"location": _correlation(topic)}}
    messages[message_name(REFUSAL_TYPE)] = _message(
        REFUSAL_TYPE, REFUSAL_MODEL, "A request was not carried out.", encode(example_refusal())
    ) | {"correlationId": {"location": "$message.payload#/correlation_id"}}
    return messages


def _correlation(topic: Topic[Payload]) -> str:
    field = "id" if isinstance(topic, RequestTopic) else "correlation_id"
    return f"$message.payload#/{field}"


def _message(message_type: str, model: type[Payload], text: str, example: bytes) -> Node:
    return {
        "name": message_type,
        "title": model.__name__,
        "summary": text,
        "contentType": "application/json",
        "payload": {
            "allOf": [
                {"$ref": "#/components/schemas/Envelope"},
                {
                    "type": "object",
                    "properties": {
                        "type": {"const": message_type},
                        "data": {"$ref": f"#/components/schemas/{model.__name__}"},
                    },
                },
            ]
        },
        "examples": [{"payload": orjson.loads(example)}],
    }


def _raw_message(topic: RawTopic) -> Node:
    message: Node = {"title": topic.pattern, "summary": topic.summary}
    if topic.plain is None:
        payload: Node = {"type": "string", "format": "binary"}
        return message | {"contentType": topic.content_type.split(",")[0], "payload": payload}
    reference: Node = {"$ref": f"#/components/schemas/{topic.plain.__name__}"}
    is_text_too = topic.content_type.startswith("text/plain")
    return message | {
        "contentType": "application/json",
        "payload": {"anyOf": [{"type": "string"}, reference]} if is_text_too else reference,
        "examples": [{"payload": example_payload(topic.plain).model_dump(mode="json")}],
    }


def _schemas() -> Node:
    schemas: Node = {"Envelope": envelope_schema()}
    models: list[type[Payload]] = [REFUSAL_MODEL]
    models += [topic.plain for topic in all_topics().values() if topic.plain is not None]
    models += [topic.model for topic in typed_topics().values()]
    for model in models:
        schema, parts = schema_of(model)
        schemas |= {model.__name__: schema, **parts}
    return _with_local_references(dict(sorted(schemas.items())))


def _with_local_references(schemas: Node) -> Node:
    text = orjson.dumps(schemas).replace(b'"#/$defs/', b'"#/components/schemas/')
    local: Node = orjson.loads(text)
    return local
