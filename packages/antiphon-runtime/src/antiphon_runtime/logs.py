"""Logs: structured, to standard error, with worker, turn and site in every line.

What people say is never logged at the default level.
"""

from __future__ import annotations

import logging
import sys
import traceback
from contextlib import suppress
from typing import Literal, TypedDict

import structlog

Level = Literal["debug", "info", "warning", "error"]

_NUMBERS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure_logs(worker: str, *, level: Level, style: Literal["auto", "json", "text"]) -> None:
    """Set logging up for this process; may be called again to change the level."""
    text = style == "text" or (style == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
        if text
        else structlog.processors.JSONRenderer()
    )
    # Local variables hold what people said.
    tracebacks = structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    shape: list[structlog.typing.Processor] = (
        [] if text else [structlog.processors.ExceptionRenderer(tracebacks)]
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=False),
            *shape,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_NUMBERS[level]),
        logger_factory=lambda *_names: _Dispensable(sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(worker=worker)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)


class _Dispensable(structlog.PrintLogger):
    """A full disk under the log costs the line, not the work of whoever logs it."""

    def msg(self, message: str) -> None:
        with suppress(OSError):
            super().msg(message)

    debug = info = warning = error = critical = exception = msg


class Crash(TypedDict):
    """Where an unforeseen error arose.

    Attributes:
        error: its class.
        where: `file:line function`, outermost first.
    """

    error: str
    where: list[str]


def crash(error: Exception) -> Crash:
    """Return what may be logged of an unforeseen error: its text may quote what people said."""
    frames = traceback.extract_tb(error.__traceback__)
    return Crash(
        error=type(error).__name__,
        where=[f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    )
