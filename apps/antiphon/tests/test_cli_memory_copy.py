from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from antiphon_memory.service import Memory
from antiphon_memory.sqlite.memories import SqliteStore
from antiphon_memory.testing import NoteBook

pytestmark = pytest.mark.integration


def antiphon(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANTIPHON_")}
    return subprocess.run(
        [sys.executable, "-m", "antiphon", *arguments],
        env={**kept, "ANTIPHON_DATA_DIR": str(home), "XDG_CONFIG_HOME": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


async def keep_two(path: Path) -> None:
    store = SqliteStore(path, NoteBook())
    async with asyncio.timeout(30), store.open():
        for name in ("a", "b"):
            await store.remember(f"m-{name}", Memory(name, f"fact {name}", "user", "s", 1.0), None)


def test_memories_are_copied_and_a_second_time_refused(tmp_path: Path) -> None:
    asyncio.run(keep_two(tmp_path / "memory.sqlite"))
    there = f"sqlite:{tmp_path / 'new' / 'copy.sqlite'}"
    done = antiphon("memory", "copy", "sqlite", there, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"2 memories of sqlite are in {there}, without vectors: 2 copied now, all verified."
        " Conversations and documents are not copied; they stay where they are.\n"
    )
    again = antiphon("memory", "copy", "sqlite", there, home=tmp_path)
    assert again.returncode == 78
    assert "--merge" in again.stderr
    merged = antiphon("memory", "copy", "sqlite", there, "--merge", "--json", home=tmp_path)
    assert json.loads(merged.stdout) == {
        "from": "sqlite", "to": there, "memories": 2, "written": 0, "with_vectors": False,
        "not_copied": ["conversations", "documents"],
    }  # fmt: skip


def test_a_wrong_place_is_one_sentence(tmp_path: Path) -> None:
    done = antiphon("memory", "copy", "oracle:x", "sqlite", home=tmp_path)
    assert done.returncode == 78
    assert done.stderr.startswith("antiphon: no 'oracle:x' among the stores; there are:")
    assert len(done.stderr.splitlines()) == 1
