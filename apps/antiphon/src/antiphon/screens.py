"""Screens: tables and waterfalls for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from antiphon_contracts import Stage
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from antiphon.house import WorkerState

_COLOURS = {
    "ready": "green",
    "degraded": "yellow",
    "starting": "cyan",
    "stopping": "cyan",
    "gone": "red",
}
WATERFALL_CHARS = 40


def health_table(states: Mapping[str, WorkerState]) -> Group:
    """Return how the workers are as a table, and what there is to say about them below."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("worker", no_wrap=True)
    table.add_column("state", no_wrap=True)
    table.add_column("engine")  # the one that gives way on a narrow terminal
    for title in ("up", "loop p99", "waiting"):
        table.add_column(title, justify="right", no_wrap=True)
    lines = []
    for name, worker in sorted(states.items()):
        known = worker.health
        table.add_row(
            name,
            Text(worker.state, style=_COLOURS[worker.state]),
            Text(known.engine if known else ""),
            duration(known.uptime_s) if known else "",
            f"{known.loop.p99_ms:.1f} ms" if known else "",
            str(sum(known.queues.values())) if known else "",
        )
        lines += [Text(f"{name}: {note}", style="yellow") for note in worker.notes]
    return Group(table, *lines)


def duration(seconds: float) -> str:
    """Return a time span in its largest two units: `12 s`, `3 min 5 s`, `2 h 10 min`."""
    whole = int(seconds)
    for unit, size, smaller, part in (
        ("d", 86_400, "h", 3600),
        ("h", 3600, "min", 60),
        ("min", 60, "s", 1),
    ):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // part} {smaller}"
    return f"{whole} s"


def waterfall(stages: Iterable[Stage], first_audio_ms: float | None) -> list[Text]:
    """Return the stages of a turn as bars over one time line, in ms."""
    shown = list(stages)
    end_ms = max([*(stage.end_ms for stage in shown), first_audio_ms or 0.0, 1.0])
    lines = []
    for stage in shown:
        begin = int(stage.start_ms / end_ms * WATERFALL_CHARS)
        length = max(1, round((stage.end_ms - stage.start_ms) / end_ms * WATERFALL_CHARS))
        bar = (" " * begin + "█" * length).ljust(WATERFALL_CHARS + 1)
        lines.append(
            Text.assemble(
                (f"    {stage.name:<13}", "dim"),
                (bar, "cyan"),
                f"{stage.start_ms:7.0f} → {stage.end_ms:.0f} ms",
            )
        )
    if first_audio_ms is not None:
        lines.append(Text(f"    first audio after {first_audio_ms:.0f} ms", style="bold"))
    return lines
