"""Adapters of libraries: arithmetic by simpleeval, argument checks by jsonschema."""

from __future__ import annotations

from antiphon_tools.engine.arithmetic import evaluate
from antiphon_tools.engine.schema import compile_schema

__all__ = ["compile_schema", "evaluate"]
