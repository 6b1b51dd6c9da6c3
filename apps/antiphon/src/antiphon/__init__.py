"""The command line: `antiphon up`, `ask`, `say`, `demo`, `status`, `doctor`, `models`."""

from __future__ import annotations

__all__: list[str] = []
