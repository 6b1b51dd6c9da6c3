"""The plain door: what `say` and `ask` take, without an envelope."""

from __future__ import annotations

import orjson
from antiphon_contracts import ContractError, PlainAsk
from pydantic import ValidationError

MAX_BYTES = 64 * 1024


def read(payload: bytes) -> PlainAsk:
    """Return what a plain message says: UTF-8 text, or JSON `{"text", "id", "speak"}`.

    Raises:
        ContractError: the sentence says what is wrong and is sent back as the answer.
    """
    if len(payload) > MAX_BYTES:
        msg = f"the message is longer than {MAX_BYTES} bytes"
        raise ContractError(msg)
    try:
        text = payload.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        msg = "the message is not UTF-8 text"
        raise ContractError(msg) from error
    if not text:
        msg = "the message is empty"
        raise ContractError(msg)
    try:
        if not text.startswith("{"):
            return PlainAsk(text=text)
        return PlainAsk.model_validate(orjson.loads(text))
    except orjson.JSONDecodeError as error:
        msg = "the message begins like JSON but is not JSON"
        raise ContractError(msg) from error
    except ValidationError as error:
        wrong = ", ".join(
            f"{'.'.join(map(str, e['loc'])) or 'message'}: {e['msg']}"
            for e in error.errors(include_input=False, include_context=False, include_url=False)
        )
        msg = f"the message does not fit: {wrong}"
        raise ContractError(msg) from None
