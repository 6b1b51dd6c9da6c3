"""An MCP server with tools that do nothing, for `tool_calls.py`; run as a programme."""

from __future__ import annotations

from mcp.server.mcpserver import MCPServer
from mcp.types import ToolAnnotations

server = MCPServer("bench")


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def look(text: str) -> str:
    """Returns its own text."""
    return text


@server.tool(annotations=ToolAnnotations(destructive_hint=False))
def write(text: str) -> str:
    """Returns its own text; it might have changed something."""
    return text


if __name__ == "__main__":
    server.run()
