"""Engines by name: entry points, so that a third party adds one without touching us."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from antiphon_contracts import ConfigError


def engine_names(group: str) -> list[str]:
    """Return the names of all installed engines of a group, e.g. `antiphon.transcribers`."""
    return sorted({point.name for point in entry_points(group=group)})


def load_engine(group: str, name: str) -> Any:
    """Return the factory that the entry point `name` of `group` names.

    Raises:
        ConfigError: there is none, or it cannot be imported; the text names the choices.
    """
    points: dict[str, EntryPoint] = {point.name: point for point in entry_points(group=group)}
    if name not in points:
        kind = group.removeprefix("antiphon.")
        msg = f"no {name!r} among the {kind}; there are: {', '.join(sorted(points)) or 'none'}"
        raise ConfigError(msg)
    try:
        return points[name].load()
    except (ImportError, AttributeError) as error:
        msg = f"{name!r} of {group} cannot be loaded: {error}"
        raise ConfigError(msg) from error
