from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import soundfile
from running_stack import antiphon_command, isolated_environment

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


def test_the_demo_succeeds(tmp_path: Path) -> None:
    done = subprocess.run(
        [antiphon_command(), "demo", "--json", "--out", str(tmp_path / "out")],
        env=isolated_environment(tmp_path),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    turns = json.loads(done.stdout)["turns"]
    assert len(turns) >= 8
    assert sum(turn["route"] == "llm" for turn in turns) >= 2
    assert sum(turn["route"] == "fast" for turn in turns) >= 3
    for turn in turns:
        assert turn["faults"] == []
        assert turn["wer"] <= 0.25
        assert soundfile.info(turn["audio"]).duration > 0.3
