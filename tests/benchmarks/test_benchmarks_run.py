from __future__ import annotations

import json
from pathlib import Path

import pytest
import run
from figures import Figure, Report

pytestmark = pytest.mark.unit

FAST = Report("bus", quick=False, figures=[Figure("p50", 0.5, "x", 0.6), Figure("ms", 2.0, "ms")])
SLOW = Report("bus", quick=False, figures=[Figure("p50", 0.9, "x", 0.6)])


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    path = tmp_path / "baseline.json"
    path.write_text('{"bus: p50": 0.5}')
    return path


def pretend(
    monkeypatch: pytest.MonkeyPatch, reports: list[Report], failures: tuple[str, ...] = ()
) -> None:
    """Let the benchmarks have come to this, without running them."""
    monkeypatch.setattr(run, "run_all", lambda _names, *, quick: (reports, list(failures)))


def test_missed_goals_are_named_and_are_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch, [SLOW])
    assert run.main([]) == 0
    printed = capsys.readouterr().out
    assert "0 of 1 goals are met" in printed
    assert "missed: bus: p50: 0.9, goal ≤ 0.6 x" in printed


def test_a_failed_benchmark_is_named_and_ends_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend(monkeypatch, [FAST], ("turn failed: it ended with 3",))
    assert run.main([]) == 1
    printed = capsys.readouterr().out
    assert "1 of 1 goals are met" in printed
    assert "turn failed: it ended with 3" in printed


def test_compare_ends_with_1_when_a_ratio_got_worse(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], stored: Path
) -> None:
    pretend(monkeypatch, [FAST])
    assert run.main(["--compare", "--baseline", str(stored)]) == 0
    assert "no ratio got worse" in capsys.readouterr().out
    pretend(monkeypatch, [SLOW])
    assert run.main(["--compare", "--baseline", str(stored)]) == 1
    assert "worse: bus: p50: 0.9, stored 0.5" in capsys.readouterr().out


def test_save_stores_what_the_next_run_is_compared_with(
    monkeypatch: pytest.MonkeyPatch, stored: Path
) -> None:
    pretend(monkeypatch, [SLOW])
    assert run.main(["--save", "--baseline", str(stored)]) == 0
    assert json.loads(stored.read_text()) == {"bus: p50": 0.9}
    assert run.main(["--compare", "--baseline", str(stored)]) == 0


def test_compare_and_save_together_compare_with_what_was_there(
    monkeypatch: pytest.MonkeyPatch, stored: Path
) -> None:
    pretend(monkeypatch, [SLOW])
    assert run.main(["--compare", "--save", "--baseline", str(stored)]) == 1


def test_json_holds_all_reports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pretend(monkeypatch, [FAST])
    path = tmp_path / "reports.json"
    run.main(["--json", str(path)])
    assert [Report.from_json(found) for found in json.loads(path.read_text())] == [FAST]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["bus", "wind"], "no such benchmark: wind"),
        (["--quick", "--compare"], "mean nothing"),
        (["--quick", "--save"], "mean nothing"),
        (["--compare", "--baseline", "nowhere.json"], "store some with --save"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_runs(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        run.main(arguments)
    assert refused.value.code == 2
    assert why in " ".join(capsys.readouterr().err.split())


def test_every_benchmark_is_a_script_of_its_own() -> None:
    assert all((run.HERE / f"{name}.py").is_file() for name in run.BENCHMARKS)
