"""`python -m antiphon_tools`: the tool worker."""

from __future__ import annotations

from antiphon_runtime import run

from antiphon_tools.settings import ToolsSettings
from antiphon_tools.wiring import build

if __name__ == "__main__":
    run("tools", ToolsSettings, build)
