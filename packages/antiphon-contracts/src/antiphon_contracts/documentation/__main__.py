"""Writes the contract's documents, or golden files for new topics, into a checkout."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from antiphon_contracts import __version__
from antiphon_contracts.documentation.files import FOLDER, documents, golden_files


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m antiphon_contracts.documentation")
    parser.add_argument(
        "what",
        nargs="?",
        choices=("docs", "golden"),
        default="docs",
        help="docs writes docs/contract anew; golden adds missing golden files and changes none",
    )
    parser.add_argument("--root", type=Path, default=Path(), help="the checkout; default: here")
    chosen = parser.parse_args(arguments)
    root: Path = chosen.root
    if not (root / "pyproject.toml").is_file():
        parser.error(f"{root.resolve()} is no checkout of Antiphon: go there or give --root")
    return _write_docs(root) if chosen.what == "docs" else _write_golden(root)


def _write_docs(root: Path) -> int:
    texts = documents(__version__)
    for stale in set((root / FOLDER).glob("**/*.json")) - {root / name for name in texts}:
        stale.unlink()
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{len(texts)} documents in {FOLDER}\n")
    return 0


def _write_golden(root: Path) -> int:
    for name, wire in golden_files().items():
        path = root / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wire)
            sys.stdout.write(f"new: {name}\n")
        elif path.read_bytes() != wire:
            sys.stdout.write(
                f"{name} differs: is it a compatible change (a new optional field)? Then delete "
                "the file and run this again. If not, give the type a new major version.\n"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
