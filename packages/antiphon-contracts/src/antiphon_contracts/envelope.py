"""The envelope that carries every typed message."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, Generic, TypeVar

import orjson
import uuid_utils
from pydantic import BaseModel, ConfigDict, FailFast, ValidationError
from pydantic_core import PydanticSerializationError

from antiphon_contracts.errors import ContractError
from antiphon_contracts.level import LEVEL_RULE, is_level

MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Larger messages are refused before they are decoded (20 MB stalls a loop for 150-200 ms)."""

DEFAULT_SITE = "default"
MAX_ID_CHARS = 256
MAX_ERRORS_NAMED = 10


def new_id() -> str:
    """Return a fresh UUIDv7: unique, and sorted by time."""
    return str(uuid_utils.uuid7())


class Payload(BaseModel):
    """Base of all payloads: immutable, unknown fields ignored on read."""

    model_config = ConfigDict(frozen=True, extra="ignore")


T = TypeVar("T")
Several = Annotated[tuple[T, ...], FailFast()]
"""Any number of `T`; reading stops at the first that is wrong.

Without that, two million wrong items in 4 MB keep the loop busy for 8 s with naming them all.
"""

P = TypeVar("P", bound=Payload)
P_co = TypeVar("P_co", bound=Payload, covariant=True)


@dataclass(frozen=True, slots=True)
class Message(Generic[P_co]):
    """One typed message.

    Attributes:
        data: the payload.
        type: payload name and major version, e.g. `stt.final/1`.
        id: unique message id; a resent message keeps it.
        ts: seconds since the epoch at the sender, for people and logs only.
        source: the sending worker, e.g. `stt-1`.
        correlation_id: in a reply, the id of the request that it answers.
        turn_id: everything that one utterance caused shares it.
        site_id: room or satellite; one level of a topic.
        ttl_s: how long the sender still wants it, in seconds from receipt; None is for ever.
    """

    data: P_co
    type: str
    id: str = field(default_factory=new_id)
    ts: float = field(default_factory=time.time)
    source: str = ""
    correlation_id: str | None = None
    turn_id: str | None = None
    site_id: str = DEFAULT_SITE
    ttl_s: float | None = None


def encode(message: Message[Payload]) -> bytes:
    """Return the wire form: JSON in UTF-8.

    Raises:
        ContractError: the data cannot be written as JSON: an integer of more than 64 bits, half a
            surrogate pair, nesting beyond some 250 levels, or an object that JSON does not know.
    """
    try:
        return orjson.dumps(
            {
                "id": message.id,
                "type": message.type,
                "ts": message.ts,
                "source": message.source,
                "correlation_id": message.correlation_id,
                "turn_id": message.turn_id,
                "site_id": message.site_id,
                "ttl_s": message.ttl_s,
                "data": message.data.__pydantic_serializer__.to_python(message.data, mode="json"),
            }
        )
    except (orjson.JSONEncodeError, PydanticSerializationError, ValueError) as error:
        msg = f"{message.type} holds a value that JSON cannot carry"
        raise ContractError(msg) from error


def _text(raw: dict[str, Any], key: str) -> str | None:
    value = raw.get(key)
    if value is None or (isinstance(value, str) and len(value) <= MAX_ID_CHARS):
        return value
    msg = f"envelope field {key!r} is not a short text"
    raise ContractError(msg)


def parse(payload: bytes) -> dict[str, Any]:
    """Return the raw envelope of a wire message.

    Raises:
        ContractError: not JSON, too large, or not an object.
    """
    if len(payload) > MAX_MESSAGE_BYTES:
        msg = f"message of {len(payload)} bytes exceeds {MAX_MESSAGE_BYTES}"
        raise ContractError(msg)
    try:
        raw = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        msg = "message is not JSON in UTF-8"
        raise ContractError(msg) from error
    if not isinstance(raw, dict):
        msg = "message is not a JSON object"
        raise ContractError(msg)
    return raw


def decode(payload: bytes, model: type[P], expected_type: str) -> Message[P]:
    """Return the message in `payload`, validated against `model`.

    Errors name fields and never quote what people said.

    Raises:
        ContractError: not JSON, too large, another type, or data that does not fit.
    """
    return validate(parse(payload), model, expected_type)


def validate(raw: dict[str, Any], model: type[P], expected_type: str) -> Message[P]:
    """Return the message in the raw envelope `raw`, validated against `model`.

    Raises:
        ContractError: another type, or data that does not fit.
    """
    if raw.get("type") != expected_type:
        msg = f"message type is not {expected_type!r}"
        raise ContractError(msg)
    if not isinstance(raw.get("data"), dict):
        msg = "envelope has no object 'data'"
        raise ContractError(msg)
    message_id = _text(raw, "id")
    if not message_id:
        msg = "envelope has no 'id'"
        raise ContractError(msg)
    ts, ttl_s = raw.get("ts", 0.0), raw.get("ttl_s")
    if not _is_number(ts) or not (ttl_s is None or _is_number(ttl_s)):
        msg = "envelope times are not numbers"
        raise ContractError(msg)
    site_id = _text(raw, "site_id") or DEFAULT_SITE
    if not is_level(site_id):
        msg = f"envelope field 'site_id' must be {LEVEL_RULE}"
        raise ContractError(msg)
    try:
        data = model.__pydantic_validator__.validate_python(raw["data"])
    except ValidationError as error:
        fields = ", ".join(
            f"{_place(model, e['loc'])}: {e['type']}"
            for e in error.errors(include_input=False, include_context=False, include_url=False)[
                :MAX_ERRORS_NAMED
            ]
        )
        msg = f"data of {expected_type} does not fit: {fields}"
        raise ContractError(msg) from None
    return Message(
        data=data,
        type=expected_type,
        id=message_id,
        ts=float(ts),
        source=_text(raw, "source") or "",
        correlation_id=_text(raw, "correlation_id"),
        turn_id=_text(raw, "turn_id"),
        site_id=site_id,
        ttl_s=None if ttl_s is None else float(ttl_s),
    )


def _place(model: type[Payload], loc: tuple[int | str, ...]) -> str:
    """Return where the error is; keys of free-form objects were written by the sender: `*`."""
    known = _field_names(model)
    return (
        ".".join(str(part) if isinstance(part, int) or part in known else "*" for part in loc)
        or "data"
    )


@cache
def _field_names(model: type[Payload]) -> frozenset[str]:
    schema = model.model_json_schema()
    models = [schema, *schema.get("$defs", {}).values()]
    return frozenset(name for each in models for name in each.get("properties", {}))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
