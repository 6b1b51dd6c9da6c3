"""Extras: the command that adds what this installation lacks."""

from __future__ import annotations

import json
import shlex
import sys
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any
from urllib.parse import unquote, urlsplit


def install_command(extra: str) -> str:
    """Return the command that adds an extra to this very installation.

    It names where Antiphon was installed from: no package registry has it.
    """
    python = shlex.quote(sys.executable)
    path, editable = _origin()
    if path:
        what = f"{'-e ' if editable else ''}{shlex.quote(f'{path}[{extra}]')}"
    else:
        what = f"'antiphon[{extra}]'"
    return f"{python} -m pip install {what}"


def _origin() -> tuple[str, bool]:
    """Return where Antiphon was installed from, and whether it is editable (PEP 610)."""
    try:
        text = distribution("antiphon").read_text("direct_url.json")
    except PackageNotFoundError:
        return "", False
    if not text:
        return "", False
    origin: dict[str, Any] = json.loads(text)
    path = unquote(urlsplit(str(origin.get("url", ""))).path)
    return path, bool(origin.get("dir_info", {}).get("editable"))
