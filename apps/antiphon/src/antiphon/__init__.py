"""The command line: `antiphon up`, `ask`, `say`, `demo`, `status`, `doctor`, `models`."""

from __future__ import annotations

from antiphon.main import main

__all__ = ["main"]
