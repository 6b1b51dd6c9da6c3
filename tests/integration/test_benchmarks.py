"""The benchmarks that need no weights, in their quickest form; the others are in tests/e2e.

What they measure is not judged here: only that they run, and report what they promise.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import footprint
import pytest
import run
from figures import Report

pytestmark = pytest.mark.integration

TIMEOUT_S = 100


def report_of(name: str, *arguments: str) -> Report:
    done = subprocess.run(
        [sys.executable, str(run.HERE / f"{name}.py"), "--quick", "--json", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    report = Report.from_json(json.loads(done.stdout))
    assert report.benchmark == name
    assert report.quick
    assert all(figure.value >= 0 for figure in report.figures)
    return report


def test_the_bus_loses_no_call_and_every_client_is_measured() -> None:
    report = report_of("bus")
    goals = {figure.name: figure.goal for figure in report.figures}
    assert goals == {
        "p50 to aiomqtt": 0.6,
        "p50 to gmqtt": 1.25,
        "p99 to aiomqtt": None,
        "p99 to gmqtt": None,
        "p50 to aiomqtt, stock broker": 0.02,
        "calls/s to aiomqtt, 100 in flight": 2.0,
        "lost, 100 in flight": 0,
        "p50": None,
    }
    assert report.details["lost"] == {"antiphon": 0, "aiomqtt": 0, "gmqtt": 0}
    assert (report.details["calls"], report.details["flood_calls"]) == (40, 400)
    assert set(report.details["ms"]) == set(report.details["calls_per_s"])
    assert set(report.details["stock_ms"]) == {"antiphon", "aiomqtt"}


def test_a_tool_call_is_measured_beside_the_sdk() -> None:
    report = report_of("tool_calls")
    assert {figure.name: figure.goal for figure in report.figures} == {
        "look: p50 added": 5.0,
        "look: p50 to the SDK": None,
        "write: p50 added": 5.0,
        "write: p50 to the SDK": None,
    }
    assert report.details["calls"] == 20


def test_a_turn_with_an_instant_language_model_is_measured_beside_the_bare_client() -> None:
    report = report_of("turn", "--only", "instant")
    assert {figure.name: figure.goal for figure in report.figures} == {
        "instant model: p50": 5.0,
        "instant model: p50 to the chat client alone": None,
    }
    assert report.details["instant_turns"] == {"plain": 10, "chat client alone": 10}
    assert all(set(ms) == {"p50", "p90", "p99"} for ms in report.details["instant_ms"].values())


# The runner, on benchmarks made for it


def script(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.py").write_text(textwrap.dedent(text))


def test_one_that_fails_is_told_and_the_rest_goes_on(tmp_path: Path) -> None:
    script(tmp_path, "dies", "import sys; sys.exit(3)")
    script(tmp_path, "babbles", "print('no report')")
    script(
        tmp_path,
        "works",
        """
        import json, sys
        assert sys.argv[1:] == ["--json", "--quick"]
        print(json.dumps({"benchmark": "works", "quick": True, "figures": [], "details": {}}))
        """,
    )
    reports, failures = run.run_all(["dies", "babbles", "works"], quick=True, folder=tmp_path)
    assert [report.benchmark for report in reports] == ["works"]
    assert failures == [
        "dies failed: it ended with 3",
        "babbles failed: it printed no report",
    ]


def test_one_that_never_ends_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "QUICK_TIMEOUT_S", 0.5)
    script(tmp_path, "hangs", "import signal\nwhile True: signal.pause()")
    _, failures = run.run_all(["hangs"], quick=True, folder=tmp_path)
    assert failures == ["hangs failed: it was stopped after 0.5 s"]


def test_one_that_does_not_obey_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "QUICK_TIMEOUT_S", 2.0)
    monkeypatch.setattr(run, "STOP_TIMEOUT_S", 0.2)
    stubborn = """
        import signal
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        while True: signal.pause()
        """
    script(tmp_path, "hangs", stubborn)
    _, failures = run.run_all(["hangs"], quick=True, folder=tmp_path)
    assert failures == ["hangs failed: it was stopped after 2 s"]


# Memory


@pytest.mark.skipif(not footprint.has_pss(), reason="only Linux tells a process's PSS")
def test_memory_is_that_of_a_process_and_its_children() -> None:
    waiting = "import sys; sys.stdin.read()"
    parent = f"""
import subprocess, sys
with subprocess.Popen([sys.executable, "-c", {waiting!r}], stdin=subprocess.PIPE):
    print(flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        together, alone = footprint.memory_of(process.pid), footprint.pss_mb(process.pid)
        process.communicate(timeout=TIMEOUT_S)
    assert set(together) == {"other"}
    assert together["other"] > alone > 0
