"""MCP servers of others, installed once into a cache: from PyPI, each in an environment of its own,
and from npm, which needs node and npm on the path.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from platformdirs import user_cache_path

PYTHON_SERVERS = {
    "time": ("mcp-server-time==2026.10.19",),
    "fetch": ("mcp-server-fetch==2026.10.24",),
    "git": ("mcp-server-git==2026.10.19",),
    "sqlite": ("mcp-server-sqlite==2025.4.25", "mcp<2"),  # older than the SDK's second version
}
NODE_SERVERS = ("everything", "filesystem", "memory")
NODE_VERSION = "2026.8.31"
INSTALL_TIMEOUT_S = 300


def python_server(name: str) -> Path:
    """Return the command of a server from PyPI; installs it the first time."""
    requirements = PYTHON_SERVERS[name]
    folder = _cache() / "-".join(requirements).replace("=", "").replace("<", "-below-")
    command = folder / "bin" / f"mcp-server-{name}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        if uv := shutil.which("uv"):
            _run(uv, "venv", "-q", "--python", sys.executable, str(folder))
            _run(uv, "pip", "install", "-q", "-p", str(folder / "bin" / "python"), *requirements)
        else:
            _run(sys.executable, "-m", "venv", str(folder))
            _run(str(folder / "bin" / "python"), "-m", "pip", "install", "-q", *requirements)
        (folder / "complete").touch()
    return command


def node_server(name: str) -> Path:
    """Return the command of a server from npm; installs all three the first time."""
    folder = _cache() / f"npm-{NODE_VERSION}"
    if not (folder / "complete").exists():
        npm = shutil.which("npm")
        assert npm is not None, "install node and npm: apt install nodejs npm"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        packages = [f"@modelcontextprotocol/server-{each}@{NODE_VERSION}" for each in NODE_SERVERS]
        options = ("--silent", "--no-audit", "--no-fund", "--ignore-scripts")
        _run(npm, "install", "--prefix", str(folder), *options, *packages)
        (folder / "complete").touch()
    return folder / "node_modules" / ".bin" / f"mcp-server-{name}"


def _cache() -> Path:
    return user_cache_path("antiphon") / "mcp-servers"


def _run(*command: str) -> None:
    # uv and pip must not take this environment for the one that is meant.
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    subprocess.run(command, check=True, timeout=INSTALL_TIMEOUT_S, env=environment)
