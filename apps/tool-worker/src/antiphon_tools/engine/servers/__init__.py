"""MCP servers, by the official SDK; the only place that knows it."""

from __future__ import annotations

from antiphon_tools.engine.servers.fleet import Fleet, check_library

__all__ = ["Fleet", "check_library"]
