"""Screens: tables and waterfalls for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from antiphon_contracts import Health, Stage
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

_COLOURS = {
    "ready": "green",
    "degraded": "yellow",
    "starting": "cyan",
    "stopping": "cyan",
    "gone": "red",
}
WATERFALL_CHARS = 40


def health_table(health: Mapping[str, Health], troubles: Mapping[str, str] | None = None) -> Group:
    """Return the workers' health as a table, and what they say about it below."""
    table = Table("worker", "state", "engine", "up", "loop p99", "waiting")
    lines = []
    for name in sorted({*health, *(troubles or {})}):
        known = health.get(name)
        trouble = (troubles or {}).get(name, "")
        state = "gone" if known is None or trouble else known.state
        table.add_row(
            name,
            Text(state, style=_COLOURS[state]),
            known.engine if known else "",
            f"{known.uptime_s:.0f} s" if known else "",
            f"{known.loop.p99_ms:.1f} ms" if known else "",
            str(sum(known.queues.values())) if known else "",
        )
        notes = ([trouble] if trouble else []) + list(known.notes if known else ())
        lines += [Text(f"{name}: {note}", style="yellow") for note in notes]
    return Group(table, *lines)


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


def print_lines(console: Console, lines: Sequence[Text | str]) -> None:
    """Print lines without wrapping or markup."""
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True, markup=False)
