"""Adapters: sums by simpleeval, argument checks by jsonschema, units by pint, lists by SQLite."""

from __future__ import annotations

from antiphon_tools.engine.arithmetic import evaluate
from antiphon_tools.engine.lists_file import ListsFile
from antiphon_tools.engine.schema import compile_schema
from antiphon_tools.engine.units import Conversion, Units

__all__ = ["Conversion", "ListsFile", "Units", "compile_schema", "evaluate"]
