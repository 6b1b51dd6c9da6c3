"""Packages whose names are imported when they are first used.

Who wants a worker's settings alone, such as `antiphon up`, does not wait for numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module


def late_imports(package: str, **homes: str) -> Callable[[str], object]:
    """Return a module's `__getattr__` (PEP 562).

    Args:
        package: the package's own name.
        homes: for each public name the submodule that it is from.
    """

    def find(name: str) -> object:
        home = homes.get(name)
        if home is None:
            msg = f"module {package!r} has no attribute {name!r}"
            raise AttributeError(msg)
        return getattr(import_module(f"{package}.{home}"), name)

    return find
