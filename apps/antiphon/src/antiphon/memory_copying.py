"""What `antiphon memory copy` does: two stores by name, progress on standard error."""

from __future__ import annotations

import sys
from dataclasses import asdict

from antiphon_memory.copying import copy as copy_memories
from antiphon_memory.places import place_named
from antiphon_memory.settings import MemorySettings
from antiphon_runtime.settings import RuntimeSettings, load_settings
from rich.console import Console

NOT_COPIED = ("conversations", "documents")
"""What else the memory worker keeps."""


class _Notes:
    """What stores have to say goes to standard error."""

    def note(self, _name: str, sentence: str) -> None:
        sys.stderr.write(f"{sentence}\n")

    def clear_note(self, name: str) -> None:
        """Nothing is kept."""


async def copy(source: str, target: str, *, merge: bool) -> dict[str, object]:
    """Copy all memories from one store into another; return what was done, with both names.

    Raises:
        ConfigError: a name is wrong, a store cannot be opened, or the target is not empty.
        EngineError: a store failed, or the copy differs.
    """
    settings = load_settings(MemorySettings)
    data_dir = load_settings(RuntimeSettings).data_dir
    notes = _Notes()
    here = place_named(source, settings, data_dir, notes)
    there = place_named(target, settings, data_dir, notes)
    console = Console(stderr=True)
    with console.status("opening") as status:

        def show(what: str, count: int) -> None:
            status.update(f"{what}: {count:,}")

        async with here.open(must_exist=True) as old, there.open() as new:
            done = await copy_memories(old, new, name=source, merge=merge, on_progress=show)
    return {"from": here.name, "to": there.name, **asdict(done), "not_copied": NOT_COPIED}


def sentence(done: dict[str, object]) -> str:
    """Return what was done, for people."""
    vectors = "with their vectors" if done["with_vectors"] else "without vectors"
    return (
        f"{done['memories']} memories of {done['from']} are in {done['to']}, {vectors}:"
        f" {done['written']} copied now, all verified."
        f" {' and '.join(NOT_COPIED).capitalize()} are not copied; they stay where they are."
    )
