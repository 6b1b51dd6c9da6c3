"""The plain door: what `say` and `ask` take, without an envelope."""

from __future__ import annotations

import orjson
from antiphon_contracts import ContractError, PlainAnswer, PlainAsk
from antiphon_contracts.level import LEVEL_RULE, is_level
from pydantic import ValidationError

MAX_BYTES = 64 * 1024
MAX_ID_CHARS = 128


class PlainDoorError(ContractError):
    """A plain message that is none; the sentence is sent back as the answer.

    Attributes:
        ask_id: the id that it carries, if that much can be read.
    """

    def __init__(self, message: str, *, ask_id: str | None = None) -> None:
        super().__init__(message)
        self.ask_id = ask_id


def read(payload: bytes) -> PlainAsk:
    """Return what a plain message says: UTF-8 text, or JSON `{"text", "id", "speak"}`.

    Raises:
        PlainDoorError: the sentence says what is wrong.
    """
    if len(payload) > MAX_BYTES:
        msg = f"the message is longer than {MAX_BYTES} bytes"
        raise PlainDoorError(msg)
    try:
        text = payload.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        msg = "the message is not UTF-8 text"
        raise PlainDoorError(msg) from error
    if not text:
        msg = "the message is empty"
        raise PlainDoorError(msg)
    raw = _json(text) if text.startswith("{") else {"text": text}
    try:
        asked = PlainAsk.model_validate(raw)
    except ValidationError as error:
        wrong = ", ".join(
            f"{'.'.join(map(str, e['loc'])) or 'message'}: {e['msg']}"
            for e in error.errors(include_input=False, include_context=False, include_url=False)
        )
        msg = f"the message does not fit: {wrong}"
        raise PlainDoorError(msg, ask_id=_id_of(raw)) from None
    if not asked.text.strip():
        msg = "the message is empty"
        raise PlainDoorError(msg, ask_id=asked.id)
    return asked


def read_announcement(payload: bytes) -> PlainAsk:
    """Return what a `say` message says; its id becomes the utterance's.

    Raises:
        PlainDoorError: the sentence says what is wrong.
    """
    asked = read(payload)
    if asked.id is not None and not is_level(asked.id):
        msg = f"the message does not fit: id: must be {LEVEL_RULE}"
        raise PlainDoorError(msg, ask_id=asked.id)
    return asked


def turn_of(payload: bytes) -> str | None:
    """Return whose answer it is; None if it is none."""
    try:
        return PlainAnswer.model_validate_json(payload).turn_id
    except ValidationError:
        return None


def _json(text: str) -> object:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        msg = "the message begins like JSON but is not JSON"
        raise PlainDoorError(msg) from error


def _id_of(raw: object) -> str | None:
    found = raw.get("id") if isinstance(raw, dict) else None
    return found if isinstance(found, str) and len(found) <= MAX_ID_CHARS else None
