"""The runtime file by which commands find the running stack."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import orjson
import psutil
import pytest
from antiphon_contracts.errors import ConfigError
from antiphon_runtime import stack_file
from antiphon_runtime.stack_file import Stack

pytestmark = pytest.mark.unit


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state of mine" / "antiphon" / "stack.json"


@pytest.fixture
def stack() -> Stack:
    return Stack(
        host="127.0.0.1",
        port=1883,
        username="antiphon",
        password="s3cret",
        base="antiphon",
        pid=os.getpid(),
        started_ts=1_700_000_000.25,
        broker_kind="mosquitto",
    )


@pytest.fixture
def ended_pid() -> int:
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture
def holder(path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that has claimed the path."""
    script = (
        "import sys; from pathlib import Path; from antiphon_runtime import stack_file\n"
        "with stack_file.claim(Path(sys.argv[1])): print('claimed', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "claimed\n"
        yield process
        process.kill()


def test_what_is_written_is_read(path: Path, stack: Stack) -> None:
    stack_file.write(stack, path)
    assert stack_file.read(path) == stack


def test_the_file_is_the_owners_alone_and_nothing_else_is_left(path: Path, stack: Stack) -> None:
    stack_file.write(stack, path)
    stack_file.write(replace(stack, port=1884), path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]


def test_the_password_is_not_in_the_repr(stack: Stack) -> None:
    assert "s3cret" not in repr(stack)


def test_a_missing_file_is_no_stack(path: Path) -> None:
    assert stack_file.read(path) is None


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"stack": {}}', '{"stack": {"pid": "x"}}', "\x00"]
)
def test_a_damaged_file_is_no_stack(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert stack_file.read(path) is None


@pytest.mark.parametrize("pid", [-1, 0, 2**40])
def test_a_file_with_an_impossible_pid_is_no_stack(path: Path, stack: Stack, pid: int) -> None:
    stack_file.write(stack, path)
    content = orjson.loads(path.read_bytes())
    content["stack"]["pid"] = pid
    path.write_bytes(orjson.dumps(content))
    assert stack_file.read(path) is None


def test_a_stack_whose_process_has_ended_is_no_stack(path: Path, stack: Stack) -> None:
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE
    ) as process:
        other = replace(stack, pid=process.pid)
        stack_file.write(other, path)
        assert stack_file.read(path) == other
        process.kill()
        process.wait()
    assert stack_file.read(path) is None


def test_a_stack_whose_pid_is_another_process_now_is_no_stack(path: Path, stack: Stack) -> None:
    stack_file.write(stack, path)
    content = orjson.loads(path.read_bytes())
    content["begin_after_boot_s"] -= 60
    path.write_bytes(orjson.dumps(content))
    assert stack_file.read(path) is None


def test_a_step_of_the_clock_does_not_hide_the_stack(
    path: Path, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack_file.write(stack, path)
    boot_time_s, process = psutil.boot_time(), psutil.Process
    created_s = process(stack.pid).create_time()
    monkeypatch.setattr(psutil, "boot_time", lambda: boot_time_s + 86_400)
    monkeypatch.setattr(process, "create_time", lambda _self: created_s + 86_400)
    assert stack_file.read(path) == stack


def test_a_stack_without_a_process_is_not_written(path: Path, stack: Stack, ended_pid: int) -> None:
    with pytest.raises(ConfigError, match=str(ended_pid)):
        stack_file.write(replace(stack, pid=ended_pid), path)
    assert not path.exists()


def test_an_unwritable_place_is_reported(tmp_path: Path, stack: Stack) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        stack_file.write(stack, tmp_path / "file" / "stack.json")


def test_remove_takes_only_its_own_file_away(path: Path, stack: Stack) -> None:
    stack_file.write(stack, path)
    stack_file.remove(path, stack.pid + 1)
    assert path.exists()
    stack_file.remove(path, stack.pid)
    assert not path.exists()
    stack_file.remove(path, stack.pid)


def test_the_default_path_prefers_the_runtime_directory(tmp_path: Path) -> None:
    assert stack_file.default_path(tmp_path) == tmp_path / "antiphon" / "stack.json"
    assert stack_file.default_path().parts[-2:] == ("antiphon", "stack.json")


def enter_claim(path: Path) -> None:
    with stack_file.claim(path):
        pass


def test_a_claim_can_be_taken_again_when_it_was_given_back(path: Path) -> None:
    for _ in range(2):
        with stack_file.claim(path):
            assert path.parent.exists()


def test_a_second_claim_is_told_who_has_the_first(
    path: Path, holder: subprocess.Popen[str]
) -> None:
    with pytest.raises(ConfigError, match=rf"already running \(pid {holder.pid}\)"):
        enter_claim(path)


def test_a_claim_ends_with_its_process(path: Path, holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.wait()
    with stack_file.claim(path):
        assert path.parent.exists()


def test_a_second_claim_in_the_same_process_is_refused_too(path: Path) -> None:
    with stack_file.claim(path), pytest.raises(ConfigError, match=str(os.getpid())):
        enter_claim(path)
