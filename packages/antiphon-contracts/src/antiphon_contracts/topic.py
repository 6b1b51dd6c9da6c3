"""Typed topics: a topic is a value that knows its payload, quality of service and direction."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Generic, Self, TypeVar

from antiphon_contracts.envelope import Message, Payload
from antiphon_contracts.errors import ContractError

P = TypeVar("P", bound=Payload)
R = TypeVar("R", bound=Payload)

_SLOT = re.compile(r"\{(\w+)\}")
_LEVEL = re.compile(r"[^/+#\x00]{1,128}")


@dataclass(frozen=True)
class RawTopic:
    """A topic whose payload is bytes as they are: audio frames, recordings, plain text.

    Attributes:
        pattern: path below the base, with slots: `audio/{site}/in`.
        qos: MQTT quality of service, 0 or 1.
        retain: whether the broker keeps the last message.
        content_type: what the bytes are.
        flow: who speaks to whom, for the documentation: `satellite -> stt, wake`.
        summary: one line for the documentation.
    """

    pattern: str
    qos: int
    flow: str
    summary: str
    retain: bool = False
    content_type: str = "application/json"

    @cached_property
    def slots(self) -> tuple[str, ...]:
        """Names of the variable levels, in order."""
        return tuple(_SLOT.findall(self.pattern))

    @cached_property
    def filter(self) -> str:
        """MQTT subscription filter that matches every instance of this topic."""
        return _SLOT.sub("+", self.pattern)

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        parts = _SLOT.split(self.pattern)
        body = "".join(
            f"(?P<{part}>[^/]+)" if index % 2 else re.escape(part)
            for index, part in enumerate(parts)
        )
        return re.compile(body)

    def at(self, **slots: str) -> str:
        """Return the path with its slots filled.

        Raises:
            ContractError: a slot is missing, or its value is no single topic level.
        """
        if not self.slots:
            return self.pattern
        for name in self.slots:
            value = slots.get(name)
            if value is None or not _LEVEL.fullmatch(value):
                msg = f"{self.pattern}: {name} must be one topic level without '/', '+' or '#'"
                raise ContractError(msg)
        return self.pattern.format(**slots)

    def narrowed(self, **slots: str) -> Self:
        """Return this topic with some slots fixed, e.g. to one site: subscribes to less.

        Raises:
            ContractError: a value is no single topic level.
        """
        pattern = self.pattern
        for name, value in slots.items():
            if not _LEVEL.fullmatch(value):
                msg = f"{self.pattern}: {name} must be one topic level without '/', '+' or '#'"
                raise ContractError(msg)
            pattern = pattern.replace(f"{{{name}}}", value)
        return replace(self, pattern=pattern)

    def match(self, path: str) -> dict[str, str] | None:
        """Return the slots' values if `path` is an instance of this topic, else None."""
        found = self._regex.fullmatch(path)
        return None if found is None else found.groupdict()


@dataclass(frozen=True)
class Topic(RawTopic, Generic[P]):
    """A topic that carries `model` in an envelope.

    Attributes:
        model: the payload's class.
        type: the envelope's `type`: name and major version, e.g. `stt.final/1`.
    """

    model: type[P] = field(kw_only=True)
    type: str = field(kw_only=True)

    def message(
        self,
        data: P,
        *,
        source: str = "",
        correlation_id: str | None = None,
        turn_id: str | None = None,
        site_id: str = "default",
        ttl_s: float | None = None,
    ) -> Message[P]:
        """Return a fresh message of this topic's type."""
        return Message(
            data=data,
            type=self.type,
            source=source,
            correlation_id=correlation_id,
            turn_id=turn_id,
            site_id=site_id,
            ttl_s=ttl_s,
        )


@dataclass(frozen=True)
class RequestTopic(Topic[P], Generic[P, R]):
    """A topic whose messages are answered on the fixed topic `reply`."""

    reply: Topic[R] = field(kw_only=True)

    @cached_property
    def receiver(self) -> str:
        """Kind of the worker that answers, e.g. `memory`."""
        return self.flow.rpartition("->")[2].strip()
