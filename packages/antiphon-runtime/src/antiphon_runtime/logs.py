"""Logs: structured, to standard error, with worker, turn and site in every line.

What people say is never logged at the default level.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

Level = Literal["debug", "info", "warning", "error"]

_NUMBERS = {"debug": 10, "info": 20, "warning": 30, "error": 40}


def configure_logs(worker: str, *, level: Level, style: Literal["auto", "json", "text"]) -> None:
    """Set logging up for this process; may be called again to change the level."""
    text = style == "text" or (style == "auto" and sys.stderr.isatty())
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if text else structlog.processors.JSONRenderer()
    )
    shape: list[structlog.typing.Processor] = [] if text else [structlog.processors.dict_tracebacks]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=False),
            *shape,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(_NUMBERS[level]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.bind_contextvars(worker=worker)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
