"""Weights from a Hugging Face hub: the catalogue's, and whatever else people name.

A name is `org/repo`, optionally with `@revision` (a branch, tag or commit) and `:pattern` (which
files, by shell wildcards): `bartowski/SmolLM2-360M-Instruct-GGUF:*Q4_K_M.gguf`.
"""

from __future__ import annotations

import errno
import fnmatch
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from antiphon_contracts.errors import ConfigError

from antiphon_models.catalog import HubFile, HubSource
from antiphon_models.manifest import hash_of
from antiphon_models.packs import Report
from antiphon_models.progress import watch_size

if TYPE_CHECKING:
    from huggingface_hub.hf_api import ModelInfo, RepoSibling

_NAME = re.compile(
    r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)"
    r"(?:@(?P<revision>[\w./-]+))?"
    r"(?::(?P<pattern>[\w.*?/\[\]-]+))?"
)
_TIMEOUT_S = 10.0
_DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.EIO)
# Pickles and programs run when they are loaded; the others are copies for foreign frameworks.
_NEVER = (
    *("*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle", "pytorch_model*", "training_args.bin"),
    *("*.py", "*.ipynb", "*.sh", "*.so", "*.dll", "*.exe"),
    *("*.h5", "*.msgpack", "*.ot", "*.tflite", ".git*"),
)
# A repository for sentence-transformers has a dozen of these; a pattern brings them back.
_UNASKED = ("onnx/*", "openvino/*", "coreml/*", "*.png", "*.jpg", "*.gif")


@dataclass(frozen=True, slots=True)
class HubName:
    """A model that a person names by its place on the hub."""

    repo: str
    revision: str
    pattern: str

    @property
    def folder(self) -> str:
        """A name for its folder; different models have different ones."""
        text = self.repo.replace("/", "--")
        if self.revision != "main":
            text += "@" + self.revision
        if self.pattern:
            text += "--" + self.pattern
        return re.sub(r"[^\w.@-]", "_", text)


def parse_hub_name(name: str) -> HubName | None:
    """The parts of a hub name; None if it is not one."""
    match = _NAME.fullmatch(name)
    if match is None or ".." in name:
        return None
    return HubName(match["repo"], match["revision"] or "main", match["pattern"] or "")


def fetch_source(
    source: HubSource, staging: Path, report: Report, *, endpoint: str | None = None
) -> str:
    """Put a catalogued model's files into `staging / "files"`; return `repo@commit`.

    Raises:
        ConfigError: the hub cannot be reached, refuses, or its files are not the pinned ones.
        OSError: the disk is full or not writable.
    """
    return _fetch(source.repo, source.revision, source.files, staging, report, endpoint)


def fetch_name(name: HubName, staging: Path, report: Report, *, endpoint: str | None = None) -> str:
    """Put the files of a person's choice into `staging / "files"`; return `repo@commit`.

    Pickles and programs are never fetched. Files in large storage are checked against the hashes
    that the hub lists.

    Raises:
        ConfigError: the hub cannot be reached or refuses, or nothing is left to fetch.
        OSError: the disk is full or not writable.
    """
    return _fetch(name.repo, name.revision, name.pattern, staging, report, endpoint)


def _fetch(
    repo: str,
    revision: str,
    wanted: Sequence[HubFile] | str,
    staging: Path,
    report: Report,
    endpoint: str | None,
) -> str:
    report(0, 0, "downloading")
    try:
        import huggingface_hub  # noqa: PLC0415  (an optional extra)
        from huggingface_hub.utils.tqdm import disable_progress_bars  # noqa: PLC0415  (as above)
    except ImportError as error:
        from antiphon_runtime.extras import install_command  # noqa: PLC0415  (for the sentence)

        raise ConfigError(f"Hub models need an extra: {install_command('hub')}") from error
    # Progress is measured by the folder's size; bars of theirs would disturb ours.
    disable_progress_bars()
    loot = staging / "loot"
    with _translated(repo):
        api = huggingface_hub.HfApi(endpoint=endpoint)
        info = api.model_info(repo, revision=revision, files_metadata=True, timeout=_TIMEOUT_S)
        files = _select(info, wanted)
        total = sum(sibling.size or 0 for sibling, _ in files)
        with watch_size(staging, lambda size: report(min(size, total), total, "downloading")):
            huggingface_hub.snapshot_download(
                repo,
                revision=info.sha,
                local_dir=loot,
                cache_dir=staging / "cache",
                allow_patterns=[_literal(sibling.rfilename) for sibling, _ in files],
                etag_timeout=_TIMEOUT_S,
                endpoint=endpoint,
            )
    for sibling, file in files:
        _check_and_move(loot, staging / "files", sibling, file)
    return f"{repo}@{info.sha}"


def _select(info: ModelInfo, wanted: Sequence[HubFile] | str) -> list[tuple[RepoSibling, HubFile]]:
    """The repository's files to fetch, each with where it goes."""
    siblings = {sibling.rfilename: sibling for sibling in info.siblings or ()}
    if isinstance(wanted, str):
        names = [name for name in siblings if _is_wanted(name, wanted)]
        wanted = [HubFile(name, name, None) for name in names]
    missing = [file.repo_path for file in wanted if file.repo_path not in siblings]
    if missing or not wanted:
        raise ConfigError(
            f"{info.id} on the hub holds no {', '.join(missing) or 'file that Antiphon can load'}: "
            "choose another repository, or another pattern after a colon."
        )
    return [(siblings[file.repo_path], file) for file in wanted]


def _is_wanted(name: str, pattern: str) -> bool:
    if any(fnmatch.fnmatch(name, never) for never in _NEVER):
        return False
    if Path(name).is_absolute() or ".." in Path(name).parts:
        return False
    if pattern:
        return fnmatch.fnmatch(name, pattern)
    return not any(fnmatch.fnmatch(name, unasked) for unasked in _UNASKED)


def _literal(name: str) -> str:
    """A shell pattern that matches this name only."""
    return re.sub(r"([*?[])", r"[\1]", name)


def _check_and_move(loot: Path, target: Path, sibling: RepoSibling, file: HubFile) -> None:
    source = loot / file.repo_path
    expected = file.sha256 or (sibling.lfs.sha256 if sibling.lfs else None)
    if not source.is_file() or (expected and hash_of(source) != expected):
        raise ConfigError(
            f"What the hub gave for {file.repo_path} is not the expected file "
            "(its SHA-256 differs): try again."
        )
    path = target / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    source.rename(path)


@contextmanager
def _translated(repo: str) -> Iterator[None]:
    """Turn what huggingface_hub raises into ConfigError; trouble with the disk stays an OSError."""
    from huggingface_hub import errors  # noqa: PLC0415  (an optional extra)

    # The HTTP library under huggingface_hub changed twice; its base error is here in all of them.
    http_error: type[BaseException] = errors.HfHubHTTPError.__mro__[1]
    try:
        yield
    except errors.GatedRepoError as error:
        raise ConfigError(
            f"{repo} asks for consent: accept its terms on its hub page, then run `hf auth login`."
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ConfigError(
            f"The hub has no model {repo}, or it is private: check the name, or run "
            "`hf auth login` first."
        ) from error
    except errors.RevisionNotFoundError as error:
        raise ConfigError(f"{repo} on the hub has no such revision: check it.") from error
    except errors.HFValidationError as error:
        raise ConfigError(f"{repo} is no valid name on the hub: it is org/repo.") from error
    # RuntimeError is what the hub's storage client (hf-xet) raises.
    except (http_error, OSError, RuntimeError) as error:
        if isinstance(error, OSError) and error.errno in _DISK_ERRORS:
            raise
        raise ConfigError(
            f"{repo} cannot be had from the hub: check the network connection and try again, or "
            "copy the models folder from another machine."
        ) from error
