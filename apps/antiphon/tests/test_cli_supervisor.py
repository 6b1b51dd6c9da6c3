"""The supervisor over scripted processes."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
from antiphon.supervisor import Child, Part, Patience, Supervisor

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent
QUICK = Patience(first_pause_s=0.02, longest_pause_s=0.08, steady_after_s=60, stop_s=5)


class Staff:
    """A supervisor of scripted workers, and what it said of them.

    Attributes:
        ends: worker, trouble and loop time, whenever a process had ended.
    """

    def __init__(self, folder: Path, scripts: Sequence[str], patience: Patience = QUICK) -> None:
        self.folder = folder
        self.ends: list[tuple[str, str, float]] = []
        self._changed = asyncio.Event()
        parts = [
            Part(
                f"w{number}",
                "scripted_worker",
                {"SCRIPT": script, "LIVES": str(folder / f"w{number}-1.lives")},
            )
            for number, script in enumerate(scripts)
        ]
        environment = {"PYTHONPATH": str(HERE)}
        self.supervisor = Supervisor(parts, environment, folder / "logs", self._on_change, patience)

    def _on_change(self, child: Child) -> None:
        if child.pid is None:
            now = asyncio.get_running_loop().time()
            self.ends.append((child.part.worker_id, child.trouble, now))
        self._changed.set()

    def child(self, number: int = 0) -> Child:
        return self.supervisor.children[f"w{number}-1"]

    def lives(self, number: int = 0) -> list[str]:
        path = self.folder / f"w{number}-1.lives"
        return path.read_text().splitlines() if path.exists() else []

    async def until(self, enough: Callable[[], bool]) -> None:
        """Return when `enough`; asked again at each change, and now and then."""
        async with asyncio.timeout(30):
            while not enough():
                self._changed.clear()
                try:
                    async with asyncio.timeout(0.05):
                        await self._changed.wait()
                except TimeoutError:
                    continue  # a process has done something of its own

    async def until_begun(self, lives: int = 1, number: int = 0) -> None:
        await self.until(lambda: len(self.lives(number)) >= lives)


def alive(line: str) -> bool:
    return psutil.pid_exists(int(line.split()[1]))


async def test_a_worker_that_dies_is_started_again_and_why_it_died_is_known(
    tmp_path: Path,
) -> None:
    staff = Staff(tmp_path, ["exit 3\nkill\nrun"])
    async with staff.supervisor.run():
        await staff.until_begun(3)
        assert staff.child().pid is not None
    troubles = [trouble for _, trouble, _ in staff.ends]
    assert troubles[0] == "ended with exit code 3: last words of life 0"
    assert troubles[1] == "ended with signal SIGKILL: last words of life 1"


async def test_the_pause_doubles_while_a_worker_keeps_dying(tmp_path: Path) -> None:
    patience = Patience(first_pause_s=0.05, longest_pause_s=0.2, steady_after_s=60, stop_s=5)
    staff = Staff(tmp_path, ["exit 1"], patience)  # a crash loop
    async with staff.supervisor.run():
        await staff.until(lambda: len(staff.ends) >= 5)
    times = [at for _, _, at in staff.ends]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    for gap, pause_s in zip(gaps, (0.05, 0.1, 0.2, 0.2), strict=False):
        assert gap >= pause_s


async def test_wrong_settings_wait_the_longest_pause_and_leave_the_others_alone(
    tmp_path: Path,
) -> None:
    endless = Patience(first_pause_s=0.01, longest_pause_s=600, steady_after_s=60, stop_s=5)
    staff = Staff(tmp_path, ["exit 78", "exit 1"], endless)
    async with staff.supervisor.run():
        await staff.until(lambda: staff.child(0).misconfigured)
        assert staff.child(0).trouble == "last words of life 0"
        await staff.until_begun(6, number=1)
    assert not staff.child(1).misconfigured
    assert len(staff.lives(0)) == 1  # nobody tries wrong settings again and again


async def test_a_long_life_makes_the_next_pause_short_again(tmp_path: Path) -> None:
    forgiving = Patience(first_pause_s=0.01, longest_pause_s=600, steady_after_s=0, stop_s=5)
    staff = Staff(tmp_path, ["exit 1"], forgiving)
    async with staff.supervisor.run():  # doubled, eighteen pauses would take 0.7 hours
        await staff.until(lambda: len(staff.ends) >= 18)


async def test_at_the_end_every_worker_finishes_what_it_has_begun(tmp_path: Path) -> None:
    staff = Staff(tmp_path, ["run", "run"])
    async with staff.supervisor.run():
        await staff.until_begun(number=0)
        await staff.until_begun(number=1)
    for number in (0, 1):
        begun, ended = staff.lives(number)
        assert ended == begun.replace("begun", "drained")


async def test_the_second_interrupt_kills_at_once_and_what_they_have_started_too(
    tmp_path: Path,
) -> None:
    patient = Patience(stop_s=600)
    staff = Staff(tmp_path, ["parent"], patient)
    async with asyncio.timeout(30), staff.supervisor.run():
        await staff.until_begun()
        asyncio.get_running_loop().call_later(0.05, staff.supervisor.kill_all)
    assert not alive(staff.lives()[0])
    grandchild = int((tmp_path / "w0-1.child").read_text())
    await staff.until(lambda: is_gone(grandchild))


def is_gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


async def test_a_worker_that_does_not_end_in_time_is_killed(tmp_path: Path) -> None:
    staff = Staff(tmp_path, ["deaf"], Patience(stop_s=0.05))
    async with asyncio.timeout(30), staff.supervisor.run():
        await staff.until_begun()
    assert not alive(staff.lives()[0])


async def test_a_worker_that_is_just_being_started_is_stopped_too(tmp_path: Path) -> None:
    staff = Staff(tmp_path, ["run"], Patience(stop_s=5))
    async with asyncio.timeout(30), staff.supervisor.run():
        pass
    assert not any(alive(line) for line in staff.lives())
    assert staff.child().pid is None


async def test_an_error_of_the_block_stops_all_and_comes_out_as_itself(tmp_path: Path) -> None:
    staff = Staff(tmp_path, ["run"])

    async def fail() -> None:
        async with staff.supervisor.run():
            await staff.until_begun()
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await fail()
    assert not alive(staff.lives()[0])


async def test_what_workers_write_is_in_their_own_logs(tmp_path: Path) -> None:
    staff = Staff(tmp_path, ["run", "run"])
    async with staff.supervisor.run():
        await staff.until_begun(number=0)
        await staff.until_begun(number=1)
        await staff.until(lambda: staff.supervisor.log_path("w1-1").stat().st_size > 0)
    assert staff.supervisor.log_path("w1-1") == tmp_path / "logs" / "w1-1.log"
    assert "last words" in staff.supervisor.log_path("w1-1").read_text()


ORPHANING = """
import asyncio, sys
from pathlib import Path
from antiphon.supervisor import Part, Supervisor

async def main() -> None:
    part = Part("w0", "scripted_worker", {"SCRIPT": "run", "LIVES": sys.argv[1]})
    async with Supervisor([part], {"PYTHONPATH": sys.argv[2]}, Path(sys.argv[3])).run():
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a child of its parent's death"
)
async def test_workers_do_not_outlive_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    lives = tmp_path / "w0-1.lives"
    supervisor = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ORPHANING, str(lives), str(HERE), str(tmp_path))
    )
    staff = Staff(tmp_path, ["run"])  # for its eyes only: it starts nothing
    try:
        await staff.until_begun()
        worker = int(lives.read_text().split()[1])
    finally:
        supervisor.kill()
        await supervisor.wait()
    await staff.until(lambda: is_gone(worker))
