"""The wire, pinned: every topic's message, byte for byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from antiphon_contracts import (
    ContractError,
    Message,
    Payload,
    PlainAnswer,
    PlainAsk,
    decode,
    encode,
)
from antiphon_contracts.documentation import example_message, example_payload, golden_files
from antiphon_contracts.documentation.examples import example_refusal, typed_topics
from antiphon_contracts.documentation.schemas import payload_models
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/contract/golden"
MAKE = "run: .venv/bin/python -m antiphon_contracts.documentation golden"

EXAMPLES: dict[str, Message[Payload]] = {
    message.type: message
    for message in (*map(example_message, typed_topics().values()), example_refusal())
}


def _golden(message_type: str) -> bytes:
    path = GOLDEN / f"{message_type.replace('/', '.')}.json"
    if not path.is_file():
        pytest.fail(f"{message_type} has no golden file; {MAKE}")
    return path.read_bytes()


def _raw(message_type: str) -> dict[str, Any]:
    raw: dict[str, Any] = orjson.loads(_golden(message_type))
    return raw


def _read(raw: dict[str, Any]) -> Message[Payload]:
    model = type(EXAMPLES[raw["type"]].data)
    return decode(orjson.dumps(raw), model, raw["type"])


def test_types_are_unique() -> None:
    topics = typed_topics().values()
    assert len({topic.type for topic in topics}) == len(topics)
    assert len(EXAMPLES) == len(topics) + 1


@pytest.mark.parametrize("message_type", EXAMPLES)
def test_a_message_is_written_as_ever(message_type: str) -> None:
    assert encode(EXAMPLES[message_type]) + b"\n" == _golden(message_type), (
        f"the wire form of {message_type} has changed; for a new optional field delete its golden "
        f"file and {MAKE}; anything else is a new major version of the type"
    )


@pytest.mark.parametrize("message_type", EXAMPLES)
def test_a_message_is_read_as_ever(message_type: str) -> None:
    example = EXAMPLES[message_type]
    assert decode(_golden(message_type), type(example.data), message_type) == example


@pytest.mark.parametrize("model", [PlainAsk, PlainAnswer])
def test_the_plain_door_speaks_as_ever(model: type[Payload]) -> None:
    name = {PlainAsk: "plain.ask", PlainAnswer: "plain.answer"}[model]
    golden = _golden(name)
    assert model.model_validate_json(golden) == example_payload(model)
    assert example_payload(model).model_dump_json().encode() + b"\n" == golden


def test_no_golden_file_is_left_over() -> None:
    expected = {Path(name).name for name in golden_files()}
    assert {path.name for path in GOLDEN.iterdir()} == expected


@pytest.mark.parametrize("message_type", EXAMPLES)
def test_a_golden_file_sets_every_field_to_something_of_its_own(message_type: str) -> None:
    _assert_full(EXAMPLES[message_type].data)


def _assert_full(value: BaseModel) -> None:
    for name, field in type(value).model_fields.items():
        content = getattr(value, name)
        assert name in value.model_fields_set, (
            f"{type(value).__name__}.{name} is not in its example"
        )
        if not field.is_required():
            default = field.get_default(call_default_factory=True)
            assert content != default, (
                f"{type(value).__name__}.{name} is its default in its example"
            )
        for inner in content if isinstance(content, tuple) else (content,):
            if isinstance(inner, BaseModel):
                _assert_full(inner)


@pytest.mark.parametrize("message_type", EXAMPLES)
def test_fields_of_the_future_are_ignored(message_type: str) -> None:
    raw = _raw(message_type)
    expected = _read(raw)
    later = {**_grown(raw), "data": _grown(raw["data"])}
    assert _read(later) == expected


def _grown(node: dict[str, Any]) -> dict[str, Any]:
    return {"a_field_of_the_future": {"x": [1, None]}, **node, "and_another": "text"}


@pytest.mark.parametrize("message_type", EXAMPLES)
def test_fields_that_an_older_sender_leaves_out_take_their_defaults(message_type: str) -> None:
    raw = _raw(message_type)
    full = _read(raw).data
    for name, field in type(full).model_fields.items():
        shorter = {**raw, "data": {k: v for k, v in raw["data"].items() if k != name}}
        if field.is_required():
            with pytest.raises(ContractError, match=f"{name}: missing"):
                _read(shorter)
            continue
        default = field.get_default(call_default_factory=True)
        assert _read(shorter).data == full.model_copy(update={name: default})


def test_a_name_of_the_sender_is_enough_of_an_envelope() -> None:
    raw = _raw("llm.stream/1")
    bare = _read({key: raw[key] for key in ("id", "type", "data")})
    assert (bare.ts, bare.source, bare.site_id, bare.ttl_s) == (0.0, "", "default", None)


@pytest.mark.parametrize("model", payload_models(), ids=lambda model: model.__name__)
def test_any_payload_survives_the_wire(model: type[Payload]) -> None:
    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(_payloads(model))
    def check(payload: Payload) -> None:
        sent = Message(data=payload, type="test/1")
        assert decode(encode(sent), model, "test/1") == sent

    check()


def _payloads(model: type[Payload]) -> st.SearchStrategy[Payload]:
    """Return payloads as their own JSON Schema allows them."""
    schema = model.model_json_schema()
    return _values(schema, schema.get("$defs", {})).map(model.model_validate)


def _values(node: dict[str, Any], parts: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "$ref" in node:
        return _values(parts[node["$ref"].rpartition("/")[2]], parts)
    if "anyOf" in node:
        return st.one_of(*(_values(choice, parts) for choice in node["anyOf"]))
    if "enum" in node:
        return st.sampled_from(node["enum"])
    containers = _containers(node, parts)
    return _scalars(node) if containers is None else containers


def _containers(node: dict[str, Any], parts: dict[str, Any]) -> st.SearchStrategy[Any] | None:
    kind = node.get("type")
    if kind == "object" and "properties" in node:
        fields = {name: _values(each, parts) for name, each in node["properties"].items()}
        required = node.get("required", [])
        return st.fixed_dictionaries(
            {name: fields[name] for name in required},
            optional={name: each for name, each in fields.items() if name not in required},
        )
    if kind == "object":
        inner = node.get("additionalProperties")
        values = _values(inner, parts) if isinstance(inner, dict) else _ANYTHING
        return st.dictionaries(st.text(max_size=5), values, max_size=3)
    if kind == "array":
        return st.lists(_values(node["items"], parts), max_size=3)
    return None


def _scalars(node: dict[str, Any]) -> st.SearchStrategy[Any]:
    kind = node.get("type")
    low = node.get("minimum", node.get("exclusiveMinimum"))
    high = node.get("maximum", node.get("exclusiveMaximum"))
    if kind == "string" and "pattern" in node:
        return st.from_regex(node["pattern"].replace("$", r"\Z")).filter(
            lambda text: len(text) <= node.get("maxLength", 2_000)
        )
    if kind == "string":
        return st.text(min_size=node.get("minLength", 0), max_size=20)
    if kind == "integer":
        return st.integers(-(2**53) if low is None else low, 2**53 if high is None else high)
    if kind == "number":
        return st.floats(
            low,
            high,
            exclude_min="exclusiveMinimum" in node,
            exclude_max="exclusiveMaximum" in node,
            allow_nan=False,
            allow_infinity=False,
        )
    return {"boolean": st.booleans(), "null": st.none()}.get(str(kind), _ANYTHING)


_ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
