"""The command that adds an extra to this very installation."""

from __future__ import annotations

import shlex
import sys
from importlib import metadata

import pytest
from antiphon_runtime import extras, install_command

pytestmark = pytest.mark.unit


class Installed:
    def __init__(self, origin: str | None) -> None:
        self._origin = origin

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self._origin


@pytest.mark.parametrize(
    ("origin", "what"),
    [
        ('{"url": "file:///opt/a%20b", "dir_info": {"editable": true}}', ["-e", "/opt/a b[stt]"]),
        ('{"url": "file:///opt/antiphon", "dir_info": {}}', ["/opt/antiphon[stt]"]),
        ('{"url": "file:///opt/antiphon.whl", "archive_info": {}}', ["/opt/antiphon.whl[stt]"]),
        (None, ["antiphon[stt]"]),
        ("", ["antiphon[stt]"]),
    ],
)
def test_the_command_names_where_antiphon_came_from(
    monkeypatch: pytest.MonkeyPatch, origin: str | None, what: list[str]
) -> None:
    monkeypatch.setattr(extras, "distribution", lambda _name: Installed(origin))
    assert shlex.split(install_command("stt")) == [sys.executable, "-m", "pip", "install", *what]


def test_what_runs_from_its_sources_alone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def distribution(_name: str) -> Installed:
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(extras, "distribution", distribution)
    assert install_command("stt").endswith(" -m pip install 'antiphon[stt]'")
