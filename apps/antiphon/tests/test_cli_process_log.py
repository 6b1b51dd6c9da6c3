from __future__ import annotations

import json
from pathlib import Path

import pytest
from antiphon.process_log import WORDS_CHARS, ProcessLog

pytestmark = pytest.mark.unit


@pytest.fixture
def log(tmp_path: Path) -> ProcessLog:
    return ProcessLog(tmp_path / "stt-1.log", limit_bytes=100)


def live(log: ProcessLog, *lines: str) -> None:
    """One life of a process that wrote these lines."""
    with log.open() as file:
        file.write("".join(f"{line}\n" for line in lines).encode())


def test_a_crash_is_told_by_its_last_line(log: ProcessLog) -> None:
    live(log, "Traceback (most recent call last):", "  File …", "OSError: no space left", "")
    assert log.last_words() == "OSError: no space left"


def test_a_log_entry_is_told_as_people_read_it(log: ProcessLog) -> None:
    entry = {"level": "error", "event": "engine.failed", "detail": "no weights", "pid": 7}
    live(log, json.dumps(entry))
    assert log.last_words() == "engine.failed no weights"


@pytest.mark.parametrize(
    "line", ['{"level": "info", "event": "worker.ready"}', "[1, 2]", '"word"', "7"]
)
def test_an_entry_that_tells_of_no_trouble_is_not_repeated(log: ProcessLog, line: str) -> None:
    live(log, line)
    assert log.last_words() == ""


def test_words_of_an_earlier_life_are_not_taken_for_the_last_ones(log: ProcessLog) -> None:
    live(log, "the first one's trouble")
    live(log)
    assert log.last_words() == ""
    assert b"first one's" in log.path.read_bytes()


def test_a_process_without_a_log_has_said_nothing(log: ProcessLog) -> None:
    assert log.last_words() == ""


def test_long_words_are_cut_and_bytes_that_are_no_text_do_no_harm(log: ProcessLog) -> None:
    with log.open() as file:
        file.write(b"\xff" + b"x" * 20_000)
    assert log.last_words() == "x" * WORDS_CHARS


def test_a_log_that_has_grown_too_long_is_set_aside_while_it_is_written(log: ProcessLog) -> None:
    live(log, "an earlier life")
    with log.open() as file:
        file.write(b"a" * 101)
        file.flush()
        log.shorten()
        file.write(b"b\n")
    assert log.path.read_bytes() == b"b\n"
    set_aside = log.path.with_name("stt-1.log.1").read_bytes()
    assert set_aside == b"an earlier life\n" + b"a" * 101
    assert log.last_words() == "b"


def test_a_short_log_stays_in_one_piece(log: ProcessLog) -> None:
    live(log, "short")
    log.shorten()
    assert [path.name for path in log.path.parent.iterdir() if path.is_file()] == ["stt-1.log"]


def test_a_new_life_begins_with_a_short_log(log: ProcessLog) -> None:
    live(log, "a" * 200)
    live(log, "new")
    assert log.path.read_bytes() == b"new\n"
