"""The tool worker: what the assistant can look up and do, called over the bus.

A third party adds a tool with an entry point of the group `antiphon.tools` that names a `Tool`; the
decorator `tool` makes one of a coroutine function.
"""

from __future__ import annotations

from antiphon_tools.registry import Registry
from antiphon_tools.service import Executor
from antiphon_tools.settings import ToolsSettings
from antiphon_tools.tool import Memory, Tool, ToolContext, ToolError, tool

__all__ = [
    "Executor",
    "Memory",
    "Registry",
    "Tool",
    "ToolContext",
    "ToolError",
    "ToolsSettings",
    "tool",
]
