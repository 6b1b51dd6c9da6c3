"""What a tool may do, whatever a language model says."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Literal, Protocol, runtime_checkable

from antiphon_tools.rules_section import ToolRule
from antiphon_tools.section import Policy
from antiphon_tools.tool import Tool

Verdict = Literal["allow", "confirm", "deny"]

HARMLESS = frozenset(
    {
        "get_time",
        "calculate",
        "convert_units",
        "get_weather",  # what it asks goes to a server of the house's own choice
        "list_show",
        "list_timers",
        "read_notes",
        "recall",
    }
)
"""Our own tools that change nothing and send nothing that a stranger could read."""

_STRICTNESS = {"allow": 0, "confirm": 1, "deny": 2}


@runtime_checkable
class Rated(Protocol):
    """A tool that knows whether it may be called in a tainted turn without asking."""

    @property
    def harmless(self) -> bool: ...  # noqa: D102  (see the class)


def is_harmless(tool: Tool) -> bool:
    """Return whether a tool neither changes anything nor sends anything out of the house."""
    if isinstance(tool, Rated):
        return tool.harmless
    return tool.spec.source == "installed" and tool.spec.name in HARMLESS


class Rules:
    """The rules of `tools.toml` for tools by name.

    A rule for the very name goes before those with `*`; of several with `*` the strictest counts.

    Args:
        rules: as the file has them.
    """

    def __init__(self, rules: Mapping[str, ToolRule] = MappingProxyType({})) -> None:
        self._exact = {name: rule for name, rule in rules.items() if "*" not in name}
        self._globs = {name: rule for name, rule in rules.items() if "*" in name}

    def policy_of(self, tool: Tool) -> Policy:
        """Return what holds for a tool in a turn that has seen nothing from outside."""
        name = tool.spec.name
        exact = self._exact.get(name)
        if exact is not None and exact.policy is not None:
            return exact.policy
        found = [rule.policy for rule in self._matching(name) if rule.policy is not None]
        return max(found, key=lambda policy: _STRICTNESS[policy], default=tool.spec.policy)

    def verdict(self, tool: Tool, *, tainted: bool) -> Verdict:
        """Return what holds for one call of a tool.

        Args:
            tool: the tool.
            tainted: whether the turn has seen something from outside the house.
        """
        policy = self.policy_of(tool)
        if policy != "allow" or not tainted or self._allows_tainted(tool):
            return policy
        return "confirm"

    def _allows_tainted(self, tool: Tool) -> bool:
        name = tool.spec.name
        exact = self._exact.get(name)
        if exact is not None and exact.tainted is not None:
            return exact.tainted == "allow"
        found = {rule.tainted for rule in self._matching(name)} - {None}
        if found:
            return found == {"allow"}
        return is_harmless(tool)

    def _matching(self, name: str) -> list[ToolRule]:
        return [rule for pattern, rule in self._globs.items() if matches(name, pattern)]


def matches(name: str, pattern: str) -> bool:
    """Return whether a name fits a pattern, in which `*` stands for anything."""
    # Brackets and question marks mean themselves: no name has any.
    return fnmatchcase(name, pattern.replace("[", "[[]").replace("?", "[?]"))
