"""The envelope: what is refused, how it is said, and that no sender's word is in it."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from antiphon_contracts import (
    ANNOUNCE,
    HEALTH,
    MAX_MESSAGE_BYTES,
    STT_FINAL,
    TOOLS_REGISTRY,
    TOOLS_RESULT,
    TTS_SAY,
    ContractError,
    LlmStream,
    Message,
    SttFinal,
    ToolResult,
    decode,
    encode,
    new_id,
    parse,
)
from hypothesis import given
from hypothesis import strategies as st

pytestmark = pytest.mark.unit

CANARY = "canary-4711"
GOOD: dict[str, Any] = {
    "id": "1",
    "type": "stt.final/1",
    "data": {"utterance_id": "u1", "text": CANARY},
}


def _changed(**fields: object) -> bytes:
    return orjson.dumps({**GOOD, **fields})


def _without(*names: str) -> bytes:
    return orjson.dumps({key: value for key, value in GOOD.items() if key not in names})


def _nested(depth: int) -> bytes:
    return b'{"id":"1","data":' + b"[" * depth + b"]" * depth + b"}"


NOT_JSON = {
    "empty": b"",
    "text": CANARY.encode(),
    "cut short": b'{"id": "canary-4711',
    "not utf-8": b'{"id": "\xff canary-4711"}',
    "latin-1": "{'id': 'Küche canary-4711'}".encode("latin-1"),
    "byte order mark": b"\xef\xbb\xbf" + _changed(),
    "utf-16": _changed().decode().encode("utf-16"),
    "NaN": b'{"id": "canary-4711", "ts": NaN}',
    "Infinity": b'{"id": "canary-4711", "ts": Infinity}',
    "too big for a double": b'{"id": "canary-4711", "ts": 1e999}',
    "half a surrogate pair": b'{"id": "canary-4711\\ud800"}',
    "two values": _changed() + _changed(),
    "deep nesting": _nested(2_000),
    "very deep nesting": _nested(1_000_000),
    "zeros": b"\x00" * 100,
}

NO_ENVELOPE = {
    "null": b"null",
    "number": b"4711",
    "text": b'"canary-4711"',
    "list": b'["canary-4711"]',
    "empty object": b"{}",
    "no id": _without("id"),
    "empty id": _changed(id=""),
    "id is a number": _changed(id=4711),
    "id is an object": _changed(id={CANARY: CANARY}),
    "id too long": _changed(id=CANARY * 100),
    "no type": _without("type"),
    "other type": _changed(type=CANARY),
    "type is a list": _changed(type=[CANARY]),
    "next major": _changed(type="stt.final/2"),
    "no data": _without("data"),
    "data is null": _changed(data=None),
    "data is a list": _changed(data=[CANARY]),
    "data is text": _changed(data=CANARY),
    "data is empty": _changed(data={}),
    "wrong kind": _changed(data={"utterance_id": "u1", "confidence": CANARY}),
    "wrong choice": _changed(data={"utterance_id": "u1", "rejected": CANARY}),
    "out of range": _changed(data={"utterance_id": "u1", "confidence": 4711.0}),
    "ts is text": _changed(ts=CANARY),
    "ts is null": _changed(ts=None),
    "ts is true": _changed(ts=True),
    "ttl is text": _changed(ttl_s=CANARY),
    "ttl is true": _changed(ttl_s=True),
    "source is a number": _changed(source=4711),
    "source too long": _changed(source=CANARY * 100),
    "correlation id is a list": _changed(correlation_id=[CANARY]),
    "correlation id too long": _changed(correlation_id=CANARY * 100),
    "turn id is a number": _changed(turn_id=4711),
    "turn id too long": _changed(turn_id=CANARY * 100),
    "site is a number": _changed(site_id=4711),
    "site too long": _changed(site_id=CANARY * 100),
    "site of two levels": _changed(site_id=f"a/{CANARY}"),
    "site is a wildcard": _changed(site_id="+"),
    "site is another wildcard": _changed(site_id="#"),
    "site with NUL": _changed(site_id=f"{CANARY}\x00"),
    "site with a line feed": _changed(site_id=f"{CANARY}\n"),
    "site with a noncharacter": _changed(site_id=f"{CANARY}\uffff"),
}


@pytest.mark.parametrize("payload", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_not_json_is_refused(payload: bytes) -> None:
    with pytest.raises(ContractError, match="message is not JSON in UTF-8") as caught:
        parse(payload)
    _assert_silent(caught.value)


@pytest.mark.parametrize("payload", NO_ENVELOPE.values(), ids=NO_ENVELOPE)
def test_what_is_no_such_message_is_refused(payload: bytes) -> None:
    with pytest.raises(ContractError) as caught:
        decode(payload, SttFinal, "stt.final/1")
    _assert_silent(caught.value)


def _assert_silent(error: ContractError) -> None:
    """Assert that the error, logged with its whole trace, quotes nothing of the message."""
    shown = "".join(traceback.format_exception(error))
    # The tests' own source lines stand in the trace too.
    shown = "\n".join(line for line in shown.splitlines() if __file__ not in line)
    assert CANARY not in shown
    assert "4711" not in str(error)
    assert len(str(error)) < 500


@pytest.mark.parametrize(
    ("payload", "text"),
    [
        (_without("id"), "envelope has no 'id'"),
        (_changed(type=CANARY), "message type is not 'stt.final/1'"),
        (_without("data"), "envelope has no object 'data'"),
        (_changed(ts=CANARY), "envelope times are not numbers"),
        (_changed(turn_id=7), "envelope field 'turn_id' is not a short text"),
        (_changed(site_id="a/b"), "envelope field 'site_id' must be one topic level"),
        (b"[]", "message is not a JSON object"),
        (
            _changed(data={"confidence": 2}),
            "data of stt.final/1 does not fit: utterance_id: missing, confidence: less_than_equal",
        ),
    ],
)
def test_an_error_says_which_field_is_wrong(payload: bytes, text: str) -> None:
    with pytest.raises(ContractError) as caught:
        decode(payload, SttFinal, "stt.final/1")
    assert str(caught.value).startswith(text)


def test_keys_of_free_form_objects_are_not_quoted() -> None:
    health = {"worker": "w", "kind": "k", "state": "ready", "breakers": {CANARY: "open!"}}
    with pytest.raises(ContractError) as caught:
        decode(_typed("health/1", health), HEALTH.model, HEALTH.type)
    assert str(caught.value) == "data of health/1 does not fit: breakers.*: literal_error"


def test_places_within_lists_are_named() -> None:
    registry = {"tools": [{"name": "ok", "description": "", "parameters": []}]}
    with pytest.raises(ContractError) as caught:
        decode(_typed("tools.registry/1", registry), TOOLS_REGISTRY.model, TOOLS_REGISTRY.type)
    assert str(caught.value).endswith("tools.0.parameters: dict_type")


def _typed(message_type: str, data: object) -> bytes:
    return orjson.dumps({"id": "1", "type": message_type, "data": data})


def test_a_message_over_the_limit_is_refused_before_it_is_decoded() -> None:
    padding = b" " * (MAX_MESSAGE_BYTES - len(_changed()))
    assert parse(_changed() + padding)["id"] == "1"
    with pytest.raises(ContractError, match=f"{MAX_MESSAGE_BYTES + 1} bytes exceeds"):
        parse(_changed() + padding + b" ")


@pytest.mark.parametrize(
    "data",
    [
        {"tools": [1] * 1_500_000},
        {"tools": [[]] * 1_000_000},
    ],
    ids=["numbers", "lists"],
)
def test_a_million_errors_cost_no_more_than_one(data: object) -> None:
    payload = _typed("tools.registry/1", data)
    began = time.process_time()
    json.loads(payload)
    parsed = time.process_time()
    with pytest.raises(ContractError) as caught:
        decode(payload, TOOLS_REGISTRY.model, TOOLS_REGISTRY.type)
    # Decoding alone takes about as long as the standard library's; naming every one over 7 times.
    assert time.process_time() - parsed < 5 * (parsed - began)
    assert len(str(caught.value)) < 500


def test_health_of_too_many_entries_is_refused_unread() -> None:
    health: dict[str, object] = {"worker": "w", "kind": "k", "state": "ready"}
    health["breakers"] = dict.fromkeys(map(str, range(256)), "closed")
    assert decode(_typed("health/1", health), HEALTH.model, HEALTH.type).data.breakers
    health["breakers"] = {str(number): 1 for number in range(257)}
    with pytest.raises(ContractError, match="breakers: too_long"):
        decode(_typed("health/1", health), HEALTH.model, HEALTH.type)


@pytest.mark.parametrize(("sites", "is_taken"), [(64, True), (65, False), (200_000, False)])
def test_an_announcement_names_few_sites(sites: int, *, is_taken: bool) -> None:
    data = {"text": CANARY, "sites": [f"site-{number}" for number in range(sites)]}
    payload = orjson.dumps({"id": "1", "type": ANNOUNCE.type, "data": data})
    if is_taken:
        assert len(decode(payload, ANNOUNCE.model, ANNOUNCE.type).data.sites) == sites
        return
    begun = time.perf_counter()
    with pytest.raises(ContractError, match="sites"):
        decode(payload, ANNOUNCE.model, ANNOUNCE.type)
    assert time.perf_counter() - begun < 1


def test_unknown_fields_are_ignored() -> None:
    data = {**GOOD["data"], "unknown": {"x": 1}}
    message = decode(_changed(unknown=[1], data=data), SttFinal, "stt.final/1")
    assert message.data == SttFinal(utterance_id="u1", text=CANARY)


def test_missing_optional_fields_take_their_defaults() -> None:
    message = decode(_changed(), SttFinal, "stt.final/1")
    assert message == Message(
        data=SttFinal(utterance_id="u1", text=CANARY), type="stt.final/1", id="1", ts=0.0
    )
    assert (message.site_id, message.source, message.ttl_s) == ("default", "", None)


@pytest.mark.parametrize("field", ["source", "correlation_id", "turn_id", "site_id", "ttl_s"])
def test_null_is_as_good_as_missing(field: str) -> None:
    expected = decode(_changed(), SttFinal, "stt.final/1")
    assert decode(_changed(**{field: None}), SttFinal, "stt.final/1") == expected


def test_a_site_may_have_any_name_that_is_one_level() -> None:
    for site in ("küche", "living room", "台所", "$x", "x" * 128):
        assert decode(_changed(site_id=site), SttFinal, "stt.final/1").site_id == site


def test_a_clause_for_an_answer_without_a_topic_is_refused() -> None:
    for utterance_id in ("", "a/b", "+", "#", "a\x00", "a\n", "x" * 129):
        say = {"utterance_id": utterance_id, "seq": 0, "text": "hello"}
        with pytest.raises(ContractError, match="utterance_id: topic_level"):
            decode(_typed("tts.say/1", say), TTS_SAY.model, TTS_SAY.type)


def _deep(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


UNWRITABLE: dict[str, Callable[[], object]] = {
    "integer of 65 bits": lambda: 2**64,
    "half a surrogate pair": lambda: "\ud800",
    "an object": object,
    "bytes that are no text": lambda: b"\xff",
    "nested deeply": lambda: _deep(300),
    "nested very deeply": lambda: _deep(100_000),
}


@pytest.mark.parametrize("make", UNWRITABLE.values(), ids=UNWRITABLE)
def test_what_json_cannot_carry_is_refused_when_sent(make: Callable[[], object]) -> None:
    message = TOOLS_RESULT.message(ToolResult(name="x", result=make()))
    with pytest.raises(ContractError, match=r"tools\.result/1 holds a value that JSON"):
        encode(message)


def test_what_contains_itself_is_refused_when_sent() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(ContractError, match="holds a value that JSON"):
        encode(TOOLS_RESULT.message(ToolResult(name="x", result=value)))


def test_what_can_be_received_so_deeply_nested_does_not_end_the_process() -> None:
    result = b"[" * 1_000 + b"]" * 1_000
    payload = b'{"id":"1","type":"tools.result/1","data":{"name":"x","result":' + result + b"}}"
    message = decode(payload, ToolResult, "tools.result/1")
    with pytest.raises(ContractError):
        encode(message)


def test_not_a_number_becomes_null() -> None:
    wire = encode(TOOLS_RESULT.message(ToolResult(name="x", result=float("nan"))))
    assert decode(wire, ToolResult, "tools.result/1").data.result is None


def test_payloads_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        LlmStream(seq=0, delta="a").seq = 1  # type: ignore[misc]


def test_ids_are_unique_and_sorted_by_time() -> None:
    ids = [new_id() for _ in range(1_000)]
    assert len(set(ids)) == 1_000
    assert ids == sorted(ids)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_refused(payload: bytes) -> None:
    try:
        message = decode(payload, SttFinal, "stt.final/1")
    except ContractError:
        return
    assert isinstance(message.data, SttFinal)


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(
    st.fixed_dictionaries(
        {"type": st.just("stt.final/1") | _json, "data": st.just(GOOD["data"]) | _json},
        optional=dict.fromkeys(
            ("id", "ts", "source", "correlation_id", "turn_id", "site_id", "ttl_s"), _json
        ),
    )
)
def test_any_object_is_a_message_or_refused(raw: dict[str, object]) -> None:
    try:
        message = decode(orjson.dumps(raw, default=repr), SttFinal, "stt.final/1")
    except ContractError:
        return
    assert decode(encode(message), SttFinal, "stt.final/1") == message


def test_every_message_reads_as_it_was_sent() -> None:
    sent = STT_FINAL.message(
        SttFinal(utterance_id="u", text="ein \N{SNOWMAN} \x00"), site_id="küche", ttl_s=0.5
    )
    assert decode(encode(sent), SttFinal, STT_FINAL.type) == sent
