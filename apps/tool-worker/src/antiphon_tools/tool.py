"""What a tool is: the port that built-in and foreign tools fill."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, tzinfo
from typing import Any, Literal, Protocol, runtime_checkable

from antiphon_contracts import AntiphonError, ToolSpec
from pydantic import JsonValue

ErrorCode = Literal["bad_arguments", "failed", "unknown_outcome"]


class ToolError(AntiphonError):
    """A tool could not do it; the text is one sentence for people and for the language model.

    Attributes:
        code: `unknown_outcome` if it may have been done all the same.
    """

    def __init__(self, message: str, *, code: ErrorCode = "failed") -> None:
        super().__init__(message)
        self.code: ErrorCode = code


class Memory(Protocol):
    """Long-term memory, as a tool may use it."""

    async def remember(self, text: str) -> Sequence[str]:
        """Store a text for good; return what it replaced because it no longer holds.

        Raises:
            ToolError: it was not stored, or nobody knows.
        """

    async def query(self, text: str) -> Sequence[str]:
        """Return the memories that fit the text, best first.

        Raises:
            ToolError: memory does not answer.
        """


@dataclass(slots=True)
class Origin:
    """Where a result came from.

    Attributes:
        is_outside: whether something in it is from outside the house, though the tool's results
            usually are not.
    """

    is_outside: bool = False


@dataclass(frozen=True, slots=True)
class ToolContext:
    """Where a tool is called from and what it may use.

    Attributes:
        site_id: the room or satellite.
        turn_id: the turn that it is part of.
        memory: long-term memory.
        clock: the time now, with a time zone.
        zone: the house's time zone; None is the system's.
        call_id: the call's own id; the same when it is repeated.
        origin: to be set by what reads something from outside the house during the call.
    """

    site_id: str
    turn_id: str | None
    memory: Memory
    clock: Callable[[], datetime]
    zone: tzinfo | None = None
    call_id: str = ""
    origin: Origin = field(default_factory=Origin)


@runtime_checkable
class Tool(Protocol):
    """Something that the assistant can look up or do.

    Attributes:
        spec: name, description, JSON Schema of the arguments, time limit.
    """

    @property
    def spec(self) -> ToolSpec: ...  # noqa: D102  (see the class)

    async def __call__(self, arguments: Mapping[str, Any], context: ToolContext) -> JsonValue:
        """Do it, and return any JSON value of at most 64 KiB.

        The arguments have passed the schema. The call is cancelled after `spec.timeout_s`.

        Raises:
            ToolError: it could not be done.
        """


ToolFunction = Callable[[Mapping[str, Any], ToolContext], Awaitable[JsonValue]]


@dataclass(frozen=True, slots=True)
class FunctionTool:
    """A tool made of a coroutine function; see `tool`."""

    spec: ToolSpec
    function: ToolFunction

    async def __call__(self, arguments: Mapping[str, Any], context: ToolContext) -> JsonValue:
        """Call the function."""
        return await self.function(arguments, context)


def tool(
    name: str,
    description: str,
    properties: Mapping[str, Mapping[str, Any]],
    *,
    required: Sequence[str] = (),
    idempotent: bool = False,
    timeout_s: float = 30.0,
    untrusted: bool = False,
) -> Callable[[ToolFunction], FunctionTool]:
    """Return a decorator that makes a tool of a coroutine function.

    Args:
        name: unique name, as the language model sees it.
        description: one sentence for the language model.
        properties: JSON Schema of each argument; others are refused.
        required: names of the arguments that must be given.
        idempotent: whether a repeated call does no harm.
        timeout_s: the longest a call may take, in seconds.
        untrusted: whether its results come from outside the house.
    """
    parameters = {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }
    spec = ToolSpec(
        name=name,
        description=description,
        parameters=parameters,
        idempotent=idempotent,
        timeout_s=timeout_s,
        untrusted=untrusted,
    )
    return lambda function: FunctionTool(spec, function)
