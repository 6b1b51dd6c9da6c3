"""Long-term memory killed while it writes, and its vectors' files torn."""

from __future__ import annotations

from pathlib import Path

import memory_crash
import numpy as np
import pytest
from chaos import Scale

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1800)]


async def test_a_killed_store_keeps_what_it_acknowledged(tmp_path: Path, scale: Scale) -> None:
    kills = scale(memory_crash.KILLS)
    found, dice = memory_crash.Found(), np.random.default_rng(2)
    for number in range(kills):
        life, grace_s = int(dice.integers(1, 30)), float(dice.uniform(0, 0.02))
        await memory_crash.killed_once(tmp_path / "memory.sqlite", found, life, grace_s)
        if number % 2:
            memory_crash.tear(tmp_path / "memory.sqlite", number)
        await memory_crash.check(tmp_path / "memory.sqlite", found)
    assert (found.corrupt, found.lost, found.out_of_step) == (0, 0, 0)
    assert len(found.acknowledged) >= kills
    scale.record(
        f"memory's store killed {kills} times", f"{len(found.acknowledged)} memories kept, 0 lost"
    )
