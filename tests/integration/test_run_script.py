"""`./run` and `.ci/run` in a temporary copy, with stand-ins for Python, pip and pytest.

The stand-ins are shell scripts on a PATH that holds nothing else but the few standard
tools that the scripts use, so a test decides what the "machine" has; no network is used.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).resolve().parents[2]
TEST_TOOLS = ("mosquitto", "mosquitto_pub", "espeak-ng", "sox", "redis-server", "postgres")
# fmt: off
STANDARD_TOOLS = [
    "bash", "cat", "chmod", "cp", "date", "dirname", "env", "find", "grep", "id", "mkdir", "mktemp",
    "mv", "readlink", "rm", "rmdir", "sed", "sha256sum", "shasum", "sleep", "tail", "tee",
    "timeout",
]
# fmt: on
TIMEOUT_S = 30

# Answers the questions that ./run asks of Python, and logs what would have been done.
FAKE_PYTHON = r"""#!/bin/sh
machine='{machine}'
case "$*" in
*libc_ver*) cat "$machine/facts-${{0##*/}}" ;;
*ensurepip*) test ! -e "$machine/no-venv" ;;
*"version_info[:2]"*) cat "$machine/venv-version" ;;
"-m venv "*)
    echo "venv" >>"$machine/log"
    mkdir -p "$3/bin"
    cp "$0" "$3/bin/python" ;;
"-m pip "*)
    echo "pip ${{*#*--no-input }}" >>"$machine/log"
    tools='antiphon lint-imports'
    case "$*" in *cyclonedx*) tools=cyclonedx-py ;; esac
    for tool in $tools; do
        printf '#!/bin/sh\necho %s "$@" >>"%s"\ntest ! -e "%s-$1"\n' \
            "$tool" "$machine/log" "$machine/fail-$tool" >"${{0%/*}}/$tool"
        chmod +x "${{0%/*}}/$tool"
    done
    . "$machine/pip" ;;
"-m "*)
    echo "$2 | $*" >>"$machine/log"
    test ! -e "$machine/fail-$2" ;;
esac
"""


@dataclass(frozen=True)
class Machine:
    """A pretended computer: its PATH, and a project folder with a space in its name."""

    root: Path

    @property
    def project(self) -> Path:
        return self.root / "my projects" / "antiphon"

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    @property
    def venv(self) -> Path:
        return self.project / ".venv"

    @property
    def stamp(self) -> Path:
        return self.venv / ".antiphon-installed"

    @property
    def log(self) -> list[str]:
        """What was done since the log was last cleared, one line each."""
        path = self.root / "log"
        return path.read_text().splitlines() if path.exists() else []

    def clear_log(self) -> None:
        (self.root / "log").unlink(missing_ok=True)

    def has_tool(self, name: str, script: str = "", *, folder: str = "bin") -> Path:
        path = self.root / folder / name
        path.unlink(missing_ok=True)
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return path

    def has_python(self, name: str = "python3", facts: str = "3 11 64 glibc") -> None:
        path = self.has_tool(name)
        path.write_text(FAKE_PYTHON.format(machine=self.root))
        (self.root / f"facts-{name}").write_text(f"{facts}\n")

    def pip_does(self, script: str) -> None:
        (self.root / "pip").write_text(f"{script}\n")

    def environment(self) -> dict[str, str]:
        return {
            "PATH": str(self.bin),
            "HOME": str(self.root),
            "ANTIPHON_TEST_RECORDINGS": str(self.root / "recordings"),
        }

    def run(
        self, *args: str, door: Path | None = None, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [door or self.project / "run", *args],
            cwd=cwd or self.root,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """A 64-bit glibc Linux with Python 3.11 and the tools that the tests need."""
    machine = Machine(tmp_path)
    machine.project.mkdir(parents=True)
    (machine.project / "pyproject.toml").write_text("[project]\n")
    # What the real machine has in /usr/sbin must not be seen.
    script = (REPOSITORY / "run").read_text()
    assert "/usr/sbin" in script
    door = machine.project / "run"
    door.write_text(script.replace("/usr/sbin", f"{tmp_path}/sbin"))
    door.chmod(0o755)

    machine.bin.mkdir()
    for name in STANDARD_TOOLS:
        if found := shutil.which(name):
            (machine.bin / name).symlink_to(found)
    machine.has_tool("uname", "echo Linux")
    machine.has_tool("id", "echo 1000")
    machine.has_tool("ldd", "echo 'ldd (GNU libc) 2.36'")
    for name in TEST_TOOLS:
        machine.has_tool(name)
    (machine.root / "recordings").mkdir()
    machine.has_python()
    (tmp_path / "venv-version").write_text("3.11\n")
    machine.pip_does("exit 0")
    return machine


def assert_refused(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """It ended with 1, and said so in one line that holds all the words."""
    assert done.returncode == 1, done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]


# ------------------------------------------------------------------ refusals


def test_python_too_old_is_refused_with_what_was_found(machine: Machine) -> None:
    machine.has_python(facts="3 9 64 glibc")
    assert_refused(machine.run(), "Python 3.11 or newer", "found: 3.9", "sudo apt install")
    assert not machine.venv.exists()


def test_no_python_at_all_is_refused(machine: Machine) -> None:
    (machine.bin / "python3").unlink()
    assert_refused(machine.run(), "Python 3.11 or newer", "found: none")


def test_newer_python_is_found_past_an_old_one_and_a_broken_shim(machine: Machine) -> None:
    machine.has_python(facts="3 9 64 glibc")
    machine.has_tool("python3.13", "echo 'python3.13: not installed' >&2; exit 127")
    machine.has_python("python3.12", facts="3 12 64 glibc")
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert "made .venv with Python 3.12" in done.stderr


def test_32_bit_python_is_refused(machine: Machine) -> None:
    machine.has_python(facts="3 11 32 glibc")
    assert_refused(machine.run(), "32-bit", "64-bit system")


def test_musl_is_refused_when_python_names_it(machine: Machine) -> None:
    machine.has_python(facts="3 14 64 musl")
    assert_refused(machine.run(), "musl", "glibc system")


def test_musl_is_refused_when_only_ldd_names_it(machine: Machine) -> None:
    machine.has_python(facts="3 11 64 unknown")
    machine.has_tool("ldd", "echo 'musl libc (x86_64)' >&2; exit 1")
    assert_refused(machine.run(), "musl", "glibc system")


def test_foreign_system_is_refused(machine: Machine) -> None:
    machine.has_tool("uname", "echo MINGW64_NT-10.0")
    assert_refused(machine.run(), "Linux and macOS", "WSL")


def test_macos_is_let_in_without_a_libc_name(machine: Machine) -> None:
    machine.has_tool("uname", "echo Darwin")
    machine.has_python(facts="3 12 64 unknown")
    assert machine.run().returncode == 0


@pytest.mark.parametrize(
    ("user_id", "line"),
    [("1000", "`sudo apt install python3.11-venv`"), ("0", "`apt install python3.11-venv`")],
)
def test_missing_venv_module_names_the_line(machine: Machine, user_id: str, line: str) -> None:
    machine.has_tool("id", f"echo {user_id}")
    (machine.root / "no-venv").touch()
    assert_refused(machine.run(), line)
    assert not machine.venv.exists() or not list(machine.venv.iterdir())


@pytest.mark.parametrize("release", ["2.9", "2.28", "2.31", "2.34"])
def test_a_glibc_that_wake_words_do_not_run_on_is_refused(machine: Machine, release: str) -> None:
    machine.has_python(facts=f"3 11 64 glibc {release} openmp")
    assert_refused(machine.run(), f"glibc is {release}", "2.35", "Debian 12")
    assert not machine.venv.exists()


@pytest.mark.parametrize("release", ["2.35", "2.36", "2.40", "unknown"])
def test_a_newer_glibc_is_taken(machine: Machine, release: str) -> None:
    machine.has_python(facts=f"3 11 64 glibc {release} openmp")
    assert machine.run().returncode == 0


def test_a_library_that_pip_cannot_bring_is_named(machine: Machine) -> None:
    machine.has_python(facts="3 11 64 glibc 2.36 none")
    assert_refused(machine.run(), "`sudo apt install libgomp1`")
    assert not machine.venv.exists()


def test_missing_test_tools_are_all_named_and_nothing_else(machine: Machine) -> None:
    (machine.bin / "mosquitto").unlink()
    (machine.bin / "espeak-ng").unlink()
    (machine.bin / "sox").unlink()
    (machine.bin / "redis-server").unlink()
    (machine.bin / "postgres").unlink()
    (machine.root / "recordings").rmdir()
    wanted = "mosquitto espeak-ng sox redis-server postgresql pocketsphinx-testdata"
    assert_refused(machine.run("test"), f"`sudo apt install {wanted}`")
    assert machine.log == []


def test_mosquitto_is_found_outside_the_path_of_a_user(machine: Machine) -> None:
    (machine.bin / "mosquitto").unlink()
    machine.has_tool("mosquitto", folder="sbin")
    assert machine.run("test").returncode == 0


def test_debians_postgresql_is_found_by_its_tool(machine: Machine) -> None:
    (machine.bin / "postgres").unlink()
    machine.has_tool("pg_ctlcluster")
    assert machine.run("test").returncode == 0


def test_demo_needs_no_system_package(machine: Machine) -> None:
    for name in TEST_TOOLS:
        (machine.bin / name).unlink()
    (machine.root / "recordings").rmdir()
    assert machine.run("demo").returncode == 0


# ----------------------------------------------------------- installing once


def test_second_start_installs_nothing(machine: Machine) -> None:
    assert machine.run().returncode == 0
    assert machine.log == ["venv", "pip --quiet --editable .[all]", "antiphon demo"]
    machine.clear_log()
    machine.pip_does("exit 1")
    done = machine.run()
    assert (done.returncode, done.stderr) == (0, "")
    assert machine.log == ["antiphon demo"]


def test_each_phase_says_how_long_it_took(machine: Machine) -> None:
    phases = machine.run().stderr.splitlines()
    assert phases[0].startswith("run: made .venv with Python 3.11 in ")
    assert phases[1].startswith("run: installing antiphon[all]")
    assert phases[2].startswith("run: installed antiphon[all] in ")


def test_tests_add_what_demo_left_out(machine: Machine) -> None:
    machine.run("demo")
    machine.clear_log()
    assert machine.run("test").returncode == 0
    assert machine.log[0] == "pip --quiet --editable .[all,dev]"


def test_demo_after_tests_installs_nothing(machine: Machine) -> None:
    machine.run("test")
    machine.clear_log()
    assert machine.run("demo").returncode == 0
    assert machine.log == ["antiphon demo"]


def test_changed_pyproject_installs_again_into_the_same_venv(machine: Machine) -> None:
    machine.run()
    machine.clear_log()
    (machine.project / "pyproject.toml").write_text("[project]\nname = 'antiphon'\n")
    assert machine.run().returncode == 0
    assert machine.log[0] == "pip --quiet --editable .[all]"


def test_upgraded_python_remakes_the_venv(machine: Machine) -> None:
    machine.run()
    machine.clear_log()
    (machine.root / "venv-version").write_text("3.12\n")
    assert machine.run().returncode == 0
    assert machine.log[0] == "venv"


def test_activated_venv_is_not_remade_with_its_own_python(machine: Machine) -> None:
    machine.run()
    machine.has_python(facts="3 9 64 glibc")
    machine.has_python("python3.11")
    machine.has_python("python3.13", facts="3 13 64 glibc")
    (machine.bin / "python3.13").rename(machine.venv / "bin" / "python3.13")
    (machine.root / "venv-version").write_text("3.12\n")
    path = f"PATH={machine.venv}/bin:{machine.bin}"
    done = machine.run(path, str(machine.project / "run"), door=machine.bin / "env")
    assert done.returncode == 0, done.stderr
    assert "made .venv with Python 3.11" in done.stderr


def test_moved_project_remakes_the_venv(machine: Machine) -> None:
    machine.run()
    machine.clear_log()
    elsewhere = machine.root / "elsewhere"
    machine.project.rename(elsewhere)
    assert machine.run(door=elsewhere / "run").returncode == 0
    assert machine.log[0] == "venv"


def test_failing_pip_leaves_no_stamp_and_is_tried_again(machine: Machine) -> None:
    machine.pip_does("exit 1")
    done = machine.run()
    assert done.returncode == 1
    assert "if you are offline" in done.stderr.splitlines()[-1]
    assert not machine.stamp.exists()
    machine.clear_log()
    machine.pip_does("exit 0")
    assert machine.run().returncode == 0
    assert machine.log == ["pip --quiet --editable .[all]", "antiphon demo"]


def test_failing_pip_takes_an_earlier_stamp_away(machine: Machine) -> None:
    machine.run("demo")
    machine.pip_does("exit 1")
    assert machine.run("check").returncode == 1
    assert not machine.stamp.exists()


@pytest.mark.parametrize("blow", ["kill -KILL $PPID $$", "kill -KILL $$"], ids=["both", "pip"])
def test_interrupted_install_starts_afresh(machine: Machine, blow: str) -> None:
    machine.pip_does(blow)
    assert machine.run().returncode != 0
    assert not machine.stamp.exists()
    leftover = machine.venv / "half-written"
    leftover.touch()
    machine.clear_log()
    machine.pip_does("exit 0")
    done = machine.run()
    assert done.returncode == 0
    assert "interrupted" in done.stderr
    assert machine.log[0] == "venv"
    assert not leftover.exists()


def test_second_start_waits_for_the_first_install(machine: Machine) -> None:
    gate = machine.root / "gate"
    os.mkfifo(gate)
    machine.pip_does(f"echo 'pip is at work' >&2; cat '{gate}'")
    with (
        subprocess.Popen(
            [machine.project / "run"], env=machine.environment(), stderr=subprocess.PIPE, text=True
        ) as first,
        subprocess.Popen(
            ["sh", "-c", 'read -r _ && exec "$0"', machine.project / "run"],
            env=machine.environment() | {"PATH": f"{machine.bin}:/bin"},
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as second,
    ):
        assert first.stderr
        assert second.stderr
        assert second.stdin
        assert any("pip is at work" in line for line in first.stderr)
        second.stdin.write("go\n")
        second.stdin.flush()
        assert "waiting for it" in second.stderr.readline()
        gate.write_text("")
        second.communicate(timeout=TIMEOUT_S)
        first.communicate(timeout=TIMEOUT_S)
    assert (first.returncode, second.returncode) == (0, 0)
    assert [line for line in machine.log if line.startswith("pip")] == [
        "pip --quiet --editable .[all]"
    ]


# ------------------------------------------------------------------ commands


def test_help_needs_nothing(machine: Machine) -> None:
    (machine.bin / "python3").unlink()
    done = machine.run("help")
    assert done.returncode == 0
    assert "./run test" in done.stdout
    assert machine.log == []


def test_other_words_go_to_antiphon_with_their_arguments(machine: Machine) -> None:
    machine.run("ask", "what time is it", "--json")
    assert machine.log[-1] == "antiphon ask what time is it --json"


def test_it_works_through_a_chain_of_symlinks(machine: Machine) -> None:
    (machine.project.parent / "link").symlink_to("antiphon/run")
    door = machine.root / "door"
    door.symlink_to(machine.project.parent / "link")
    assert machine.run(door=door).returncode == 0
    assert machine.stamp.exists()


def test_tests_fetch_weights_and_leave_sentence_transformers_out(machine: Machine) -> None:
    assert machine.run("test", "-x", "tests").returncode == 0
    assert machine.log[-3:] == [
        "antiphon models fetch --defaults",
        "antiphon models fetch whisper-base",
        "pytest | -m pytest -m not st -x tests",
    ]


def test_failing_tests_fail_the_command(machine: Machine) -> None:
    (machine.root / "fail-pytest").touch()
    assert machine.run("test").returncode == 1


def test_weights_that_cannot_be_fetched_stop_the_tests(machine: Machine) -> None:
    (machine.root / "fail-antiphon-models").touch()
    done = machine.run("test")
    assert done.returncode == 1
    assert "models could not be fetched" in done.stderr.splitlines()[-1]
    assert "pytest" not in "".join(machine.log)


def test_chaos_is_the_long_form_of_its_tests(machine: Machine) -> None:
    assert machine.run("chaos", "-x").returncode == 0
    assert machine.log[-1] == "pytest | -m pytest -m not st tests/chaos --full -x"


def test_sentence_transformers_go_on_without_the_tried_torch(machine: Machine) -> None:
    machine.pip_does('case "$*" in *torch*) exit 1 ;; esac')
    assert machine.run("test-st").returncode == 0
    assert [line for line in machine.log if line.startswith("pip")] == [
        "pip --quiet torch==2.13.0",
        "pip --quiet --editable .[all,dev,st]",
    ]
    assert machine.log[-1] == "pytest | -m pytest -m st"


def test_check_runs_every_tool_and_fails_if_one_did(machine: Machine) -> None:
    (machine.root / "fail-ruff").touch()
    done = machine.run("check")
    assert done.returncode == 1
    verdicts = [line.split()[-1] for line in done.stdout.splitlines()[-4:]]
    assert verdicts == ["FAILED", "FAILED", "ok", "ok"]


def test_check_succeeds_when_every_tool_does(machine: Machine) -> None:
    done = machine.run("check")
    assert done.returncode == 0, done.stdout
    assert "FAILED" not in done.stdout


def test_check_types_each_conftest_by_itself(machine: Machine) -> None:
    for package in ("one", "two"):
        (machine.project / "packages" / package).mkdir(parents=True)
        (machine.project / "packages" / package / "conftest.py").touch()
    machine.run("check")
    assert sum("conftest.py" in line for line in machine.log if "mypy ./packages" in line) == 2


def test_the_bill_of_materials_is_made_of_the_lock_by_a_tool_that_comes_once(
    machine: Machine,
) -> None:
    made = f"--pyproject {machine.project}/pyproject.toml -o bill.json"
    line = (
        "cyclonedx-py requirements --output-format JSON --output-reproducible "
        f"{made} {machine.project}/requirements.lock"
    )
    assert machine.run("sbom", "-o", "bill.json").returncode == 0
    assert machine.log[-2:] == ["pip --quiet cyclonedx-bom>=7,<8", line]
    machine.clear_log()
    machine.pip_does("exit 1")
    assert machine.run("sbom", "-o", "bill.json").returncode == 0
    assert machine.log == [line]


def test_a_bill_of_materials_without_its_tool_is_refused(machine: Machine) -> None:
    machine.run()
    # What pip wrote before it failed is the stand-in's affair.
    machine.pip_does(f"rm '{machine.venv}/bin/cyclonedx-py'; exit 1")
    done = machine.run("sbom")
    assert done.returncode == 1
    assert "go online once" in done.stderr.splitlines()[-1]
    assert "cyclonedx-py" not in "".join(machine.log)


# --------------------------------------------------------------- integration


@pytest.mark.parametrize(
    ("failing", "steps", "last_line"),
    [
        (None, ["system", "check", "test", "test-st"], "== 1 passed in 0.1s =="),
        ("check", ["system", "check"], None),
        ("test", ["system", "check", "test"], "== 1 failed in 0.1s =="),
        ("test-st", ["system", "check", "test", "test-st"], "== 1 failed in 0.1s =="),
    ],
)
def test_ci_stops_at_the_first_failure_and_ends_with_pytest_s_last_line(
    machine: Machine, failing: str | None, steps: list[str], last_line: str | None
) -> None:
    shutil.copytree(REPOSITORY / ".ci", machine.project / ".ci")
    machine.has_tool("dpkg-query", "printf installed")
    door = machine.project / "run"
    door.write_text(
        f"#!/bin/sh\nif [ $1 = '{failing}' ]; then\n"
        "echo '== short test summary info =='; echo '== 1 failed in 0.1s =='; exit 1\n"
        "fi\necho '== 1 passed in 0.1s =='\n"
    )
    done = machine.run(door=machine.project / ".ci" / "run")
    assert done.returncode == (0 if failing is None else 1), done.stderr
    table = done.stdout.split("\nsteps:\n")[1].splitlines()
    assert [line.split()[0] for line in table[: len(steps)]] == steps
    assert [line.split()[3] for line in table[: len(steps)]] == [
        "FAILED" if step == failing else "ok" for step in steps
    ]
    if last_line:
        assert table[-1] == last_line
    else:
        assert len(table) == len(steps)


def test_ci_installs_only_the_packages_that_are_missing(machine: Machine) -> None:
    shutil.copytree(REPOSITORY / ".ci", machine.project / ".ci")
    machine.has_tool("id", "echo 0")
    machine.has_tool("dpkg-query", 'case "$*" in *espeak-ng*) exit 1 ;; esac; printf installed')
    machine.has_tool("apt-get", f'echo "apt-get $*" >>"{machine.root}/log"; exit 100')
    done = machine.run(door=machine.project / ".ci" / "run")
    assert done.returncode == 100
    assert "installing: espeak-ng\n" in done.stdout
    assert machine.log == ["apt-get -o Acquire::Retries=3 update"]
