"""Which weights the settings need, and fetching them with a progress bar."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from antiphon_llm.settings import LlmSettings
from antiphon_memory.settings import MemorySettings
from antiphon_models import CATALOGUE, ModelStore, Phase
from antiphon_models import Progress as OnProgress
from antiphon_runtime import RuntimeSettings, load_settings
from antiphon_runtime.tasks import in_daemon_thread
from antiphon_stt.settings import SttSettings
from antiphon_tts.settings import TtsSettings
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TaskID, TextColumn

from antiphon.output import print_json, print_line


def needed_models() -> list[str]:
    """Return the catalogue's names of the weights that the settings in force use.

    Paths and names of other hubs' models are their owner's to provide.
    """
    tts, llm = load_settings(TtsSettings), load_settings(LlmSettings)
    memory = load_settings(MemorySettings)
    names = []
    if tts.engine == "piper":
        names.append(f"piper-{tts.voice}")
    if not memory.model:
        slow = memory.engine == "sentence-transformers" or (
            memory.engine == "auto" and find_spec("sentence_transformers") is not None
        )
        names.append("minilm-l6-v2" if slow else "minilm-l6-v2-int8")
    names += _language_models(llm)
    return [*hearing_models(), *turn_models(), *(name for name in names if name in CATALOGUE)]


def _language_models(llm: LlmSettings) -> list[str]:
    """Return the weights of the embedded models that may be asked."""
    own = [p.model or llm.embedded_model for p in llm.providers if p.kind == "embedded"]
    is_auto = llm.provider == "auto" and not llm.base_url and not llm.providers
    if llm.provider == "embedded" or llm.fallback or is_auto:
        own.append(llm.embedded_model)
    return list(dict.fromkeys(own))


def hearing_models() -> list[str]:
    """Return the part of `needed_models` that transcribing alone uses."""
    stt = load_settings(SttSettings)
    name = f"whisper-{stt.model}"
    return [name] if stt.engine == "faster-whisper" and name in CATALOGUE else []


def turn_models() -> list[str]:
    """Return what tells whether a speaker has finished, where it has weights."""
    stt = load_settings(SttSettings)
    is_wanted = stt.live != "off" and stt.turn_detector in {"auto", "smart-turn"}
    return ["smart-turn-v3.2"] if is_wanted else []


async def fetch(settings: RuntimeSettings, names: Sequence[str], console: Console) -> list[Path]:
    """Fetch the weights that are not there yet, showing how far it is.

    Cancelled, it returns at once; what was half fetched is thrown away by the next fetch.

    Raises:
        ConfigError: they cannot be had; the text says what to do.
    """
    with _bars(console) as on_progress:
        store = ModelStore(settings.models_dir, progress=on_progress)
        return await in_daemon_thread(
            lambda: [store.ensure(name) for name in names], name="fetch-models"
        )


@contextmanager
def _bars(console: Console) -> Iterator[OnProgress]:
    """Yield what shows progress; nothing is shown before there is some."""
    columns = (
        TextColumn("{task.description:<27}"),
        BarColumn(bar_width=16),
        DownloadColumn(),
        TextColumn("{task.fields[phase]}"),
    )
    bars = Progress(*columns, console=console)
    tasks: dict[str, TaskID] = {}
    said: set[tuple[str, Phase]] = set()
    over = threading.Event()

    def on_progress(name: str, done: int, total: int, phase: Phase) -> None:
        if over.is_set():  # the command was ended meanwhile
            return
        if not console.is_terminal:
            if (name, phase) not in said:
                said.add((name, phase))
                console.print(f"{name}: {phase}", highlight=False, soft_wrap=True)
            return
        bars.start()
        if name not in tasks:
            tasks[name] = bars.add_task(name, total=total or None, phase=phase)
        bars.update(tasks[name], completed=done, total=total or None, phase=phase)

    try:
        yield on_progress
    finally:
        over.set()
        if bars.live.is_started:
            bars.stop()


async def fetch_named(names: Sequence[str], *, defaults: bool) -> None:
    """Fetch the weights named and, if asked for, all that the settings in force need.

    Raises:
        ConfigError: they cannot be had; the text says what to do.
    """
    wanted = [*names, *(needed_models() if defaults else [])]
    await fetch(load_settings(RuntimeSettings), list(dict.fromkeys(wanted)), Console(stderr=True))


def verify(names: Sequence[str]) -> bool:
    """Hash weights again, all that are here if none is named; print and return whether all is well.

    Raises:
        ConfigError: there is no such model.
    """
    store = ModelStore(load_settings(RuntimeSettings).models_dir)
    console, well = Console(), True
    chosen = names or [manifest.name for manifest in store.installed()]
    if not chosen:
        print_line(console, "no weights are here: antiphon models fetch --defaults")
    for name in chosen:
        problems = store.verify(name)
        well = well and not problems
        remedy = f"  → antiphon models fetch {name}" if problems else ""
        print_line(console, f"{name}: {'; '.join(problems) or 'ok'}{remedy}")
    return well


def show(*, json: bool) -> None:
    """Print the known weights: size, licence, and whether they are here."""
    runtime = load_settings(RuntimeSettings)
    store = ModelStore(runtime.models_dir)
    needed = set(needed_models())
    rows = [
        {
            "name": name,
            "kind": model.kind,
            "size_mb": round(model.size_bytes / 1e6),
            "licence": model.licence,
            "here": store.is_ready(name),
            "in_use": name in needed,
        }
        for name, model in CATALOGUE.items()
    ]
    if json:
        print_json(rows)
        return
    console = Console()
    print_line(console, f"in {runtime.models_dir}")
    for row in rows:
        state = "here" if row["here"] else "not here"
        use = ", in use" if row["in_use"] else ""
        print_line(
            console,
            f"{row['name']:<28}{row['kind']:<10}{row['size_mb']:>4} MB  "
            f"{row['licence']}  ({state}{use})",
        )
