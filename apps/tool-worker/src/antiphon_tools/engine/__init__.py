"""Adapters: everything that imports a library or asks a server."""

from __future__ import annotations

from antiphon_tools.engine.arithmetic import evaluate
from antiphon_tools.engine.home_assistant import HomeAssistantServer
from antiphon_tools.engine.json_client import HttpStatusError, JsonClient
from antiphon_tools.engine.lists_file import ListsFile
from antiphon_tools.engine.open_meteo import open_meteo
from antiphon_tools.engine.schema import compile_schema
from antiphon_tools.engine.searxng import SearxNg
from antiphon_tools.engine.units import Conversion, Units
from antiphon_tools.engine.web_pages import WebPages

__all__ = [
    "Conversion",
    "HomeAssistantServer",
    "HttpStatusError",
    "JsonClient",
    "ListsFile",
    "SearxNg",
    "Units",
    "WebPages",
    "compile_schema",
    "evaluate",
    "open_meteo",
]
