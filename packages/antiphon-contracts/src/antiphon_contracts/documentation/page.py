"""The contract as a page for people."""

from __future__ import annotations

import orjson

from antiphon_contracts.documentation.asyncapi import message_name
from antiphon_contracts.documentation.docstrings import summary
from antiphon_contracts.documentation.examples import (
    example_message,
    example_payload,
    example_refusal,
    reply_topics,
)
from antiphon_contracts.documentation.schemas import (
    Schema,
    envelope_schema,
    payload_models,
    schema_of,
)
from antiphon_contracts.envelope import Message, Payload, encode
from antiphon_contracts.roles import Flow
from antiphon_contracts.topic import RawTopic, RequestTopic, Topic
from antiphon_contracts.topics import REFUSAL_MODEL, REFUSAL_TYPE, all_topics

_HEAD = """\
<!-- Made by `python -m antiphon_contracts.documentation`; do not edit. -->

# The contract

Everything that passes between the parts of Antiphon, from the code that checks it
(`packages/antiphon-contracts`). Also as [AsyncAPI 3.0](asyncapi.json) and as JSON Schema, one file
per payload, in [schemas](schemas).

All topics lie under a base, `antiphon` unless configured otherwise: the full path of `ask` is
`antiphon/ask`. What stands in braces is one topic level: 1 to 128 printable characters without
`/ + # { }`. Messages of more than 4 MB are refused. A retained message on a topic that is not
marked retained is ignored. The site named in a topic, and the worker named in a health topic, are
those of the message; else it is dropped. **Reserved** topics are agreed on, but no part of the
house serves them yet.

Who takes part: the workers (`satellite`, `wake`, `stt`, `llm`, `tools`, `router`, `memory`, `tts`),
the `operator` (the command line), each `client` that the household lets in by name, and the
exporter of `metrics`, which listens only. "Who to whom" is what a secured broker enforces. There a
satellite reaches the topics of its own site alone. A worker publishes its own health alone, and
takes `control` under its own id and `all`.

A new optional field is a compatible change; unknown fields are ignored on read. Anything else is a
new major version in `type`. `tests/contract/golden` pins the bytes.
"""

_DOOR = """\
The plain door (`say`, `ask`, `answer`) and audio have no envelope.

The examples below set every field there is, also those that seldom come together, such as a result
and an error.
"""

_REFUSAL = """\
A request that is not carried out is answered, on its reply topic, with this instead of the reply.
"""


def contract_page() -> str:
    """Return the page, in Markdown."""
    topics = all_topics()
    blocks = [_HEAD, "## All topics\n", _overview(topics), "## The envelope\n"]
    blocks += [
        "JSON in UTF-8, around the payload of every topic that has a `type`.\n",
        _fields(envelope_schema()),
        _DOOR,
        "## Topics, one by one\n",
    ]
    blocks += [_topic(name, topic) for name, topic in topics.items()]
    blocks += [f"## Refusals: `{REFUSAL_TYPE}`\n", _REFUSAL, _payload(REFUSAL_MODEL)]
    blocks += [_example(_pretty(example_refusal())), "## Parts of payloads\n"]
    blocks += [_part(model) for model in _inner_models()]
    return "\n".join(blocks)


def _overview(topics: dict[str, RawTopic]) -> str:
    rows = ["| topic | who to whom | QoS | kept | what |", "|---|---|---|---|---|"]
    rows += [
        f"| [`{topic.pattern}`](#{_anchor(topic.pattern)}) | {_arrow(topic.flow)} "
        f"| {topic.qos} | {'retained' if topic.retain else ''} "
        f"| {'**Reserved.** ' if topic.reserved else ''}{topic.summary} |"
        for topic in topics.values()
    ]
    return "\n".join(rows) + "\n"


def _topic(name: str, topic: RawTopic) -> str:
    reserved = "**Reserved: no part of the house serves this topic yet.** "
    lines = [
        f"### `{topic.pattern}`",
        "",
        f"{reserved if topic.reserved else ''}{topic.summary}",
        "",
        f"- Who to whom: {_arrow(topic.flow)}",
        f"- QoS {topic.qos}, {'retained' if topic.retain else 'not retained'}",
        f"- In Python: `antiphon_contracts.{name}`",
    ]
    if isinstance(topic, RequestTopic):
        lines.append(f"- Answered on [`{topic.reply.pattern}`](#{_anchor(topic.reply.pattern)})")
    if isinstance(topic, Topic):
        stem = message_name(topic.type)
        lines.append(f"- Type: `{topic.type}` ([JSON Schema](schemas/{stem}.json))")
        if topic.pattern in reply_topics():
            lines.append(
                f"- May carry a [refusal](#{_anchor(f'Refusals: {REFUSAL_TYPE}')}) instead"
            )
        lines += ["", _payload(topic.model), _example(_pretty(example_message(topic)))]
    else:
        lines += [f"- Content: {topic.content_type}", ""]
        if topic.plain is not None:
            text = orjson.dumps(
                example_payload(topic.plain).model_dump(mode="json"), option=orjson.OPT_INDENT_2
            )
            lines += [_payload(topic.plain), _example(text.decode())]
    return "\n".join(lines)


def _part(model: type[Payload]) -> str:
    return f"### {model.__name__}\n\n{_payload(model)}"


def _payload(model: type[Payload]) -> str:
    return f"{summary(model)}\n\n{_fields(schema_of(model)[0])}"


def _inner_models() -> list[type[Payload]]:
    names = {name for model in payload_models() for name in schema_of(model)[1]}
    return [model for model in payload_models() if model.__name__ in names]


def _fields(schema: Schema) -> str:
    required = schema.get("required", [])
    rows = ["| field | type | default | meaning |", "|---|---|---|---|"]
    for name, field in schema["properties"].items():
        default = "required" if name in required else f"`{_default(field)}`"
        text = field.get("description", "").replace("|", r"\|")
        rows.append(f"| `{name}` | {_type(field)} | {default} | {text} |")
    return "\n".join(rows) + "\n"


def _default(field: Schema) -> str:
    # A default factory leaves no default in the schema; all of ours make an empty object.
    return orjson.dumps(field["default"]).decode() if "default" in field else "{}"


def _type(field: Schema) -> str:
    """Return a field's type in words, as JSON has it."""
    if "$ref" in field:
        name = str(field["$ref"]).rpartition("/")[2]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in field:
        return " or ".join(_type(choice) for choice in field["anyOf"])
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if field.get("type") == "array":
        return f"array of {_type(field['items'])}"
    inner = field.get("additionalProperties")
    if isinstance(inner, dict):
        return f"object of {_type(inner)}"
    return f"{field.get('type', 'any JSON value')}{_limits(field)}"


def _limits(field: Schema) -> str:
    words = {
        "minimum": "≥ {}",
        "exclusiveMinimum": "> {}",
        "maximum": "≤ {}",
        "exclusiveMaximum": "< {}",
        "minLength": "at least {} long",
        "maxLength": "at most {} long",
        "pattern": "matching `{}`",
    }
    found = [text.format(field[key]) for key, text in words.items() if key in field]
    return f" ({', '.join(found)})".replace("|", r"\|") if found else ""


def _pretty(message: Message[Payload]) -> str:
    return orjson.dumps(orjson.loads(encode(message)), option=orjson.OPT_INDENT_2).decode()


def _example(text: str) -> str:
    return f"```json\n{text}\n```\n"


def _arrow(flow: Flow) -> str:
    return str(flow).replace("->", "→")


def _anchor(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    kept = "".join(c for c in heading.lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")
