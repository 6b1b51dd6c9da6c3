"""`requirements.lock` fits pyproject.toml, and the images take their parts out of it."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

pytestmark = pytest.mark.unit

REPOSITORY = Path(__file__).resolve().parents[2]
PYPROJECT = REPOSITORY / "pyproject.toml"
LOCK = REPOSITORY / "requirements.lock"
ABOUT = tomllib.loads(PYPROJECT.read_text())
EXTRAS: Mapping[str, list[str]] = ABOUT["project"]["optional-dependencies"]
LIGHT = sorted({*Requirement(EXTRAS["all"][0]).extras, "postgres", "redis"})
"""All that an image installs: beside what `all` has, the clients of two servers for memory's."""
PARTS: Mapping[str, list[str]] = {
    "core": ABOUT["project"]["dependencies"],
    "build": ABOUT["build-system"]["requires"],
    **{extra: EXTRAS[extra] for extra in LIGHT},
}
REMEDY = "make requirements.lock again: its first line says how"


def pins(text: str) -> dict[str, list[Requirement]]:
    """The pinned packages, by name; one that differs between Pythons has several."""
    found: dict[str, list[Requirement]] = {}
    for line in re.findall(r"^[a-z0-9][^\\\n]*", text, flags=re.MULTILINE):
        pin = Requirement(line)
        found.setdefault(canonicalize_name(pin.name), []).append(pin)
    return found


def version_of(pin: Requirement) -> str:
    (only,) = pin.specifier
    assert only.operator == "=="
    return only.version


@pytest.mark.parametrize("part", PARTS)
def test_every_requirement_is_locked_at_a_version_that_it_allows(part: str) -> None:
    locked = pins(LOCK.read_text())
    for line in PARTS[part]:
        wanted = Requirement(line)
        versions = [version_of(pin) for pin in locked.get(canonicalize_name(wanted.name), [])]
        assert versions, f"{wanted.name} is not locked: {REMEDY}"
        for version in versions:
            assert wanted.specifier.contains(version), f"{line}, locked {version}: {REMEDY}"


def test_the_heavy_extra_is_not_locked() -> None:
    assert not {"torch", "sentence-transformers", "pytest"} & pins(LOCK.read_text()).keys()


def test_every_pin_has_hashes_and_no_address_or_path() -> None:
    text = LOCK.read_text()
    for pin in re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)[1:]:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", pin), pin
    assert "://" not in text
    assert "--index" not in text
    assert " @ " not in text
    assert "find-links" not in text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the image build makes of the lock."""
    folder = tmp_path_factory.mktemp("images") / "requirements"
    script = REPOSITORY / "deploy" / "requirements.py"
    subprocess.run([sys.executable, script, PYPROJECT, LOCK, folder], check=True)
    return folder


def test_each_part_has_a_file_and_no_other_has(folder: Path) -> None:
    assert {path.stem for path in folder.iterdir()} == PARTS.keys()


@pytest.mark.parametrize("part", PARTS)
def test_a_part_holds_its_requirements_with_their_hashes(folder: Path, part: str) -> None:
    text = (folder / f"{part}.txt").read_text()
    core = pins((folder / "core.txt").read_text())
    mine = pins(text)
    assert {canonicalize_name(Requirement(line).name) for line in PARTS[part]} <= mine.keys()
    if part not in {"core", "build"}:
        assert not mine.keys() & core.keys()
    assert text.count("--hash=sha256:") >= len(mine)
    assert all(block in LOCK.read_text() for block in text.split("\n") if block)


def test_the_parts_are_all_of_the_lock(folder: Path) -> None:
    """Nothing is lost between them: what an engine's engine needs is in some part."""
    every = {name for path in folder.iterdir() for name in pins(path.read_text())}
    assert every == pins(LOCK.read_text()).keys()


def test_an_engine_of_one_part_is_in_no_other(folder: Path) -> None:
    holders = {path.stem for path in folder.iterdir() if "faster-whisper" in pins(path.read_text())}
    assert holders == {"stt"}
