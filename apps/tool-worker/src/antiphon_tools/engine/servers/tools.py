"""A server's tools as ours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import structlog
from antiphon_contracts import ToolSpec
from pydantic import JsonValue

from antiphon_tools.engine.servers.naming import fitting_name
from antiphon_tools.engine.servers.results import plain_resource, plain_result
from antiphon_tools.engine.servers.session import Lost, Offer, Session
from antiphon_tools.policy import matches
from antiphon_tools.question import plain
from antiphon_tools.servers_section import ServerSection
from antiphon_tools.tool import Tool, ToolContext, ToolError

if TYPE_CHECKING:
    from mcp.types import Tool as ServerTool

MAX_TOOLS = 200
MAX_DESCRIPTION_CHARS = 600
MAX_SCHEMA_BYTES = 16 * 1024
MAX_SCHEMAS_BYTES = 512 * 1024
"""Of all of a server's tools; to look at them takes 15 s per MB."""
READ_RESOURCE = "read_resource"
_SHOWN_RESOURCES = 15
_SHOWN_CHARS = 1_500

log = structlog.get_logger(__name__)

Ask = Callable[[Mapping[str, Any]], Awaitable[JsonValue]]


@dataclass(frozen=True)
class McpTool:
    """A tool of an MCP server.

    Attributes:
        spec: as the registry has it.
        ask: asks the server; raises ToolError, or Lost if the connection broke meanwhile.
        harmless: whether it may be called in a tainted turn without asking a person.
    """

    spec: ToolSpec
    ask: Ask
    harmless: bool

    async def __call__(self, arguments: Mapping[str, Any], context: ToolContext) -> JsonValue:  # noqa: ARG002  (the port's)
        """Call it there; one that does no harm twice is tried again if the server broke off.

        Raises:
            ToolError: it failed, or the server is not there.
        """
        try:
            return await self.ask(arguments)
        except Lost as error:
            if not self.spec.idempotent:
                msg = f"{error} It may or may not have been done."
                raise ToolError(msg, code="unknown_outcome") from error
        try:
            return await self.ask(arguments)
        except Lost as error:
            raise ToolError(str(error)) from error


def tools_of(session: Session, section: ServerSection, offer: Offer) -> list[Tool]:
    """Return what a server offers and the file allows; what cannot be used is logged."""
    found: list[Tool] = list(_tools(session, section, offer))
    if (offer.resources or offer.templates) and _is_allowed(READ_RESOURCE, section):
        found.append(_reader(session, section, offer))
    return found


def _tools(session: Session, section: ServerSection, offer: Offer) -> Iterator[McpTool]:
    allowed = [tool for tool in offer.tools if _is_allowed(tool.name, section)]
    if len(allowed) > MAX_TOOLS:
        log.warning("server.too_many_tools", server=session.name, count=len(allowed))
    left = MAX_SCHEMAS_BYTES
    for tool in allowed[:MAX_TOOLS]:
        schema, size = _schema(tool)
        if size > min(MAX_SCHEMA_BYTES, left):
            log.warning(
                "server.tool_refused", server=session.name, detail="its schema is too large"
            )
        else:
            left -= size
            yield _tool(session, section, tool, schema)


def _is_allowed(name: str, section: ServerSection) -> bool:
    return any(matches(name, pattern) for pattern in section.allow) and not any(
        matches(name, pattern) for pattern in section.deny
    )


def _tool(
    session: Session, section: ServerSection, tool: ServerTool, schema: dict[str, Any]
) -> McpTool:
    hints, name = tool.annotations, tool.name
    reads = hints is not None and hints.read_only_hint is True
    destroys = hints is not None and hints.destructive_hint is True and not reads
    is_closed = hints is not None and hints.open_world_hint is False

    async def ask(arguments: Mapping[str, Any]) -> JsonValue:
        given = dict(arguments)
        return plain_result(await session.ask(lambda client: client.call_tool(name, given)))

    policy = section.policy if section.policy in {"allow", "confirm"} else None
    spec = ToolSpec(
        name=fitting_name(_prefix(session, section), name),
        description=_description(tool.description or tool.title or name),
        parameters=schema,
        idempotent=reads or (hints is not None and hints.idempotent_hint is True),
        timeout_s=section.timeout_s,
        source=session.name,
        policy=policy or ("confirm" if destroys else "allow"),
        untrusted=not section.trusted,
    )
    # A server elsewhere learns whatever it is asked; what it says of itself does not change that.
    believed = section.trusted or bool(section.command)
    return McpTool(spec, ask, harmless=reads and is_closed and believed)


def _reader(session: Session, section: ServerSection, offer: Offer) -> McpTool:
    """Return the tool that reads what a server has to read."""

    async def ask(arguments: Mapping[str, Any]) -> JsonValue:
        uri = str(arguments["uri"])
        return plain_resource(await session.ask(lambda client: client.read_resource(uri)))

    known = [f"{item.uri} ({item.name})" for item in offer.resources]
    known += [f"{item.uri_template} ({item.name})" for item in offer.templates]
    shown = plain("; ".join(known[:_SHOWN_RESOURCES]))[:_SHOWN_CHARS]
    uri = {"type": "string", "minLength": 1, "maxLength": 1_000, "description": "Its address."}
    spec = ToolSpec(
        name=fitting_name(_prefix(session, section), READ_RESOURCE),
        description=f"Reads something that {session.name} has: {shown}",
        parameters={
            "type": "object",
            "properties": {"uri": uri},
            "required": ["uri"],
            "additionalProperties": False,
        },
        idempotent=True,
        timeout_s=section.timeout_s,
        source=session.name,
        policy="confirm" if section.policy == "confirm" else "allow",
        untrusted=not section.trusted,
    )
    return McpTool(spec, ask, harmless=bool(section.command))


def _prefix(session: Session, section: ServerSection) -> str:
    return session.name if section.prefix is None else section.prefix


def _description(text: str) -> str:
    text = plain(text)
    return text if len(text) <= MAX_DESCRIPTION_CHARS else f"{text[:MAX_DESCRIPTION_CHARS]}…"


def _schema(tool: ServerTool) -> tuple[dict[str, Any], int]:
    """Return a tool's schema without what only readers of schemas need, and its size in bytes."""
    schema: dict[str, Any] = {"type": "object"}  # some servers leave it out
    schema |= {k: v for k, v in tool.input_schema.items() if k not in {"$schema", "title"}}
    try:
        return schema, len(orjson.dumps(schema))
    except orjson.JSONEncodeError:
        return schema, MAX_SCHEMA_BYTES + 1  # it nests too deeply
