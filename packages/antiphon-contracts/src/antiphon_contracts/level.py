"""Topic levels: what may stand between two slashes of a topic."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

MAX_LEVEL_CHARS = 128
LEVEL_RULE = (
    f"one topic level: 1 to {MAX_LEVEL_CHARS} printable characters without '/', '+', '#', "
    "'{' or '}'"
)

# Control characters, surrogates and noncharacters: a broker ends the connection of whoever
# publishes to a topic with one of them (mosquitto 2.0: "Malformed packet").
_UNSAFE = r"\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff"
_PLANE_ENDS = "".join(
    f"{chr(p + 0xFFFE)}{chr(p + 0xFFFF)}" for p in range(0x10000, 0x110000, 0x10000)
)
LEVEL_PATTERN = rf"[^/+#{{}}{_UNSAFE}{_PLANE_ENDS}]{{1,{MAX_LEVEL_CHARS}}}"
_LEVEL = re.compile(LEVEL_PATTERN)


def is_level(value: str) -> bool:
    """Return whether `value` can stand as one level of a topic."""
    return _LEVEL.fullmatch(value) is not None


def _checked(value: str) -> str:
    if not is_level(value):
        raise PydanticCustomError("topic_level", "must be one topic level")
    return value


Level = Annotated[
    str,
    AfterValidator(_checked),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_LEVEL_CHARS,
            "pattern": r"^[^/+#{}\x00-\x1f\x7f-\x9f]+$",
        }
    ),
]
"""A text that becomes a level of a topic, such as an utterance's id."""
