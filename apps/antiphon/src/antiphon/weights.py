"""Which weights the settings need, and fetching them with a progress bar."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from antiphon_llm.settings import LlmSettings
from antiphon_memory.settings import MemorySettings
from antiphon_models import CATALOGUE, ModelStore, Phase
from antiphon_models import Progress as OnProgress
from antiphon_runtime import RuntimeSettings, load_settings
from antiphon_stt.settings import SttSettings
from antiphon_tts.settings import TtsSettings
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn


def needed_models() -> list[str]:
    """Return the catalogue's names of the weights that the settings in force use.

    Paths and names of other hubs' models are their owner's to provide.
    """
    stt, tts = load_settings(SttSettings), load_settings(TtsSettings)
    llm, memory = load_settings(LlmSettings), load_settings(MemorySettings)
    names = []
    if stt.engine == "faster-whisper":
        names.append(f"whisper-{stt.model}")
    if tts.engine == "piper":
        names.append(f"piper-{tts.voice}")
    if not memory.model:
        slow = memory.engine == "sentence-transformers" or (
            memory.engine == "auto" and find_spec("sentence_transformers") is not None
        )
        names.append("minilm-l6-v2" if slow else "minilm-l6-v2-int8")
    if llm.provider == "embedded" or (llm.provider == "auto" and not llm.base_url):
        names.append(llm.embedded_model)
    return [name for name in names if name in CATALOGUE]


def fetch(settings: RuntimeSettings, names: list[str], console: Console) -> list[Path]:
    """Fetch the weights that are not there yet, showing how far it is; blocks.

    Raises:
        ConfigError: they cannot be had; the text says what to do.
    """
    store = ModelStore(settings.models_dir)
    if all(store.is_ready(name) for name in names):
        return [store.path(name) for name in names]
    with _bars(console) as on_progress:
        store = ModelStore(settings.models_dir, progress=on_progress)
        return [store.ensure(name) for name in names]


@contextmanager
def _bars(console: Console) -> Iterator[OnProgress]:
    columns = (
        TextColumn("{task.description:<32}"),
        BarColumn(bar_width=30),
        DownloadColumn(),
        TextColumn("{task.fields[phase]}"),
    )
    with Progress(*columns, console=console) as bars:
        tasks: dict[str, TaskID] = {}
        said: set[tuple[str, Phase]] = set()

        def on_progress(name: str, done: int, total: int, phase: Phase) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total, phase=phase)
            bars.update(tasks[name], completed=done, total=total, phase=phase)
            if not console.is_terminal and (name, phase) not in said:
                said.add((name, phase))
                console.print(f"{name}: {phase}")

        yield on_progress
