"""The house as an MCP server: what other assistants may ask it to do."""

from __future__ import annotations
