"""Typed topics: a topic is a value that knows its payload, quality of service and direction."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Generic, Self, TypeVar

from antiphon_contracts.envelope import Message, Payload
from antiphon_contracts.errors import ContractError
from antiphon_contracts.level import LEVEL_PATTERN, LEVEL_RULE, is_level
from antiphon_contracts.roles import Flow

P = TypeVar("P", bound=Payload)
R = TypeVar("R", bound=Payload)

_SLOT = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class RawTopic:
    """A topic whose payload is bytes as they are: audio frames, recordings, plain text.

    Attributes:
        pattern: path below the base, with slots: `audio/{site}/in`.
        qos: MQTT quality of service, 0 or 1.
        retain: whether the broker keeps the last message.
        content_type: what the bytes are.
        flow: who publishes and who takes.
        summary: one line for the documentation.
        reserved: whether the topic is agreed on, but no part of the house serves it yet.
        plain: model of the JSON that the bytes may be, without an envelope; None if there is none.
        addressed: whether a worker takes only what is under its own id, or `all`, in `{worker}`.
    """

    pattern: str
    qos: int
    flow: Flow
    summary: str
    retain: bool = False
    content_type: str = "application/json"
    reserved: bool = field(default=False, kw_only=True)
    plain: type[Payload] | None = field(default=None, kw_only=True)
    addressed: bool = field(default=False, kw_only=True)

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
            f"(?P<{part}>{LEVEL_PATTERN})" if index % 2 else re.escape(part)
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
            if value is None or not is_level(value):
                msg = f"{self.pattern}: {name} must be {LEVEL_RULE}"
                raise ContractError(msg)
        return self.pattern.format(**slots)

    def narrowed(self, **slots: str) -> Self:
        """Return this topic with some slots fixed, e.g. to one site: subscribes to less.

        Raises:
            ContractError: a value is no single topic level, or the topic has no such slot.
        """
        pattern = self.pattern
        for name, value in slots.items():
            if name not in self.slots:
                msg = f"{self.pattern} has no level {name!r} to fix"
                raise ContractError(msg)
            if not is_level(value):
                msg = f"{self.pattern}: {name} must be {LEVEL_RULE}"
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
        return self.flow.receivers.words

    @cached_property
    def overheard(self) -> Topic[P]:
        """The same topic, for whoever answers nothing."""
        return Topic(**{each.name: getattr(self, each.name) for each in fields(Topic)})
