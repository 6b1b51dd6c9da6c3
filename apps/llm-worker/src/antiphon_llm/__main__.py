"""Runs the LLM worker: `python -m antiphon_llm`."""

from __future__ import annotations

from antiphon_runtime.worker import run

from antiphon_llm.settings import LlmSettings
from antiphon_llm.wiring import build

if __name__ == "__main__":
    run("llm", LlmSettings, build)
