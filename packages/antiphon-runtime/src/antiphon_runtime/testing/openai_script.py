"""What a scripted OpenAI-compatible server is asked, and what it may answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request that came in.

    Attributes:
        method: e.g. `POST`.
        path: with `/v1`, without host.
        headers: names in lower case.
        body: as it came.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The body, which must be a JSON object."""
        value = json.loads(self.body)
        assert isinstance(value, dict)  # noqa: S101  (a test double)
        return value


@dataclass(frozen=True, slots=True)
class Text:
    """A chat answer in pieces; streamed as SSE if the request asks for it, else whole.

    Attributes:
        deltas: the pieces.
        finish_reason: how it ends.
        hold: waited for before the second piece; None does not wait.
        prompt_tokens: reported as usage.
        cached_tokens: of those, reported as known before.
        thoughts: streamed before the pieces, in a field of their own.
        delay_s: waited for before all of it.
    """

    deltas: Sequence[str]
    finish_reason: str = "stop"
    hold: asyncio.Event | None = None
    prompt_tokens: int = 10
    cached_tokens: int = 0
    thoughts: Sequence[str] = ()
    delay_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Calls:
    """An answer that calls tools.

    Attributes:
        calls: name and arguments (JSON text, sent in two fragments) of each.
        text: said before them.
    """

    calls: Sequence[tuple[str, str]]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Body:
    """Any other answer, as it is: transcriptions, speech, broken JSON."""

    content: bytes
    content_type: str = "application/json"
    status: int = 200


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as OpenAI reports it."""

    status: int
    message: str = "scripted failure"
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Hang:
    """Streams pieces and then says nothing more; without pieces it does not answer at all."""

    deltas: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Drop:
    """Streams pieces and then breaks the connection; without pieces before any answer."""

    deltas: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Ponder:
    """Streams thoughts and never an answer, until the client goes.

    Attributes:
        every_s: time between two.
    """

    every_s: float = 0.01


Reply = Text | Calls | Body | Failure | Hang | Drop | Ponder
Script = Sequence[Reply] | Callable[[Recorded], Reply]
