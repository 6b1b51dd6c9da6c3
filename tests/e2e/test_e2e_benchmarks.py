"""The benchmarks on real models, in their quickest form: that they run, not how fast."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import footprint
import pytest
import run
from figures import Report

pytestmark = pytest.mark.e2e

ENGINES = ("stt", "tts", "memory", "llm")
PROCESSES = {"up", "broker", "satellite", "router", "timer", "tools", "wake", *ENGINES}


def reports_of(folder: Path, *names: str) -> list[Report]:
    """Run as `./run bench` does."""
    path = folder / "reports.json"
    done = subprocess.run(
        [sys.executable, str(run.HERE / "run.py"), *names, "--quick", "--json", str(path)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "goals are met" in done.stdout
    return [Report.from_json(found) for found in json.loads(path.read_text())]


@pytest.mark.timeout(300)
def test_every_engines_loop_is_watched(tmp_path: Path) -> None:
    (report,) = reports_of(tmp_path, "loop_lag")
    assert {figure.name: figure.goal for figure in report.figures} == {
        **{f"{engine}: p50 to idle": 3.0 for engine in ENGINES},
        **{f"{engine}: p99 over the same work elsewhere": 10.0 for engine in ENGINES},
    }
    for engine in ENGINES:
        details = report.details[engine]
        assert details["pieces_of_work"] > 0
        assert all(details["ticks"][situation] for situation in ("idle", "within", "elsewhere"))


@pytest.mark.timeout(300)
def test_turns_with_memory_and_aloud_are_measured(tmp_path: Path) -> None:
    (report,) = reports_of(tmp_path, "turn")
    assert {figure.name: figure.goal for figure in report.figures if figure.goal} == {
        "instant model: p50": 5.0,
        "instant model, with memory: p50": 25.0,
        "spoken, fast: p50 to bare stages": 1.2,
        "spoken, llm: p50 to bare stages": 1.2,
    }
    assert report.details["instant_turns"]["with memory"] == 10
    for route, stages in (("fast", {"stt", "tts"}), ("llm", {"stt", "llm", "tts"})):
        details = report.details[f"spoken_{route}_ms"]
        assert details["turns"] == 2
        for side in ("bare", "house"):
            assert {f"{side} {stage}" for stage in stages} <= set(details["stages"])


@pytest.mark.timeout(300)
def test_a_start_and_its_memory_are_measured(tmp_path: Path) -> None:
    (report,) = reports_of(tmp_path, "footprint")
    found = {figure.name: figure for figure in report.figures}
    assert found["start of `up` to all ready: p50"].unit == "s"
    assert found["start of `up` to first answer: p50"].unit == "s"
    assert report.details["starts"] == 1
    if footprint.has_pss():
        weighed = {name.removeprefix("PSS: ") for name in found if name.startswith("PSS: ")}
        assert weighed == {*PROCESSES, "sum of the light set"}
        total = found["PSS: sum of the light set"]
        assert total.goal == 1200
        assert total.value == pytest.approx(
            sum(found[f"PSS: {name}"].value for name in PROCESSES), abs=0.1
        )
