"""The public names of every package, as a committed list.

`.venv/bin/python tests/contract/test_public_names.py` writes the list anew.
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
LIST = Path(__file__).with_name("public_names.txt")
MAKE = "is it meant? Then run: .venv/bin/python tests/contract/test_public_names.py"


def packages() -> list[str]:
    """Return every package of ours: each folder with an `__init__.py`, as an import name."""
    sources = [*ROOT.glob("apps/*/src"), *ROOT.glob("packages/*/src")]
    return sorted(
        ".".join(found.parent.relative_to(source).parts)
        for source in sources
        for found in source.rglob("__init__.py")
    )


def names(module: ModuleType) -> list[str]:
    return sorted(getattr(module, "__all__", []))


def listing() -> str:
    blocks = []
    for package in packages():
        public = names(importlib.import_module(package))
        if public:
            blocks.append("\n".join([package, *(f"    {name}" for name in public)]))
    return "\n\n".join(blocks) + "\n"


def test_public_names_are_as_listed() -> None:
    listed = _parsed(LIST.read_text(encoding="utf-8"))
    found = _parsed(listing())
    assert found.keys() == listed.keys(), MAKE
    for package, public in found.items():
        assert public == listed[package], f"{package} has changed its public names; {MAKE}"


def _parsed(text: str) -> dict[str, set[str]]:
    blocks = (block.split() for block in text.split("\n\n"))
    return {package: set(public) for package, *public in blocks}


@pytest.mark.parametrize("package", packages())
def test_every_public_name_is_there(package: str) -> None:
    module = importlib.import_module(package)
    public = names(module)
    assert len(public) == len(set(public))
    missing = [name for name in public if not hasattr(module, name)]
    assert missing == [], f"{package}.__all__ names what is not there"
    assert [name for name in public if name.startswith("_")] == []


@pytest.mark.parametrize("package", [name for name in packages() if "." not in name])
def test_every_package_lists_its_names_says_what_it_is_and_is_typed(package: str) -> None:
    module = importlib.import_module(package)
    source = Path(str(module.__file__)).read_text(encoding="utf-8")
    if re.search(r"^from antiphon|^def |^class ", source, re.MULTILINE):
        assert names(module), f"{package} needs an __all__"
    assert (module.__doc__ or "").strip(), f"{package} needs a docstring"
    marker = Path(str(module.__file__)).with_name("py.typed")
    assert marker.is_file(), f"{package} needs a py.typed"


if __name__ == "__main__":
    LIST.write_text(listing(), encoding="utf-8")
    sys.stdout.write(f"{LIST.relative_to(ROOT)} written\n")
