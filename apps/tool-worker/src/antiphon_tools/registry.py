"""The tools on offer, each from a named source: built-in and installed ones, later others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Protocol

import structlog
from antiphon_contracts import ConfigError, ToolSpec

from antiphon_tools.policy import Rules, matches
from antiphon_tools.tool import Tool

log = structlog.get_logger(__name__)

Check = Callable[[Mapping[str, Any]], str | None]
"""Takes arguments; returns what is wrong with them in a sentence, or None."""


class CompileSchema(Protocol):
    """Makes the check of a tool's arguments."""

    def __call__(self, schema: Mapping[str, Any], *, foreign: bool) -> Check:
        """Return the check for a JSON Schema, which a stranger may have written.

        Raises:
            ConfigError: it is none.
        """


class Registry:
    """Knows every tool by its name.

    Sources come and go as a whole (`offer`, `withdraw`); where two offer the same name, the one
    that came first keeps it.

    Args:
        compile_schema: makes the check of a tool's arguments.
        allow: names that may be offered, in which `*` stands for anything; empty is all.
        rules: what each tool may do; what is denied is not on offer.

    Attributes:
        changed: set when what is on offer may have changed; whoever waits for it clears it.
    """

    def __init__(
        self,
        compile_schema: CompileSchema,
        allow: Collection[str] = (),
        rules: Callable[[], Rules] = Rules,
    ) -> None:
        self.changed = asyncio.Event()
        self._compile = compile_schema
        self._allow = frozenset(allow)
        self._rules = rules
        self._sources: dict[str, dict[str, tuple[Tool, Check]]] = {}

    def offer(self, source: str, tools: Iterable[Tool]) -> list[str]:
        """Replace what `source` offers; return a sentence for each tool that cannot be used."""
        faults: list[str] = []
        accepted: dict[str, tuple[Tool, Check]] = {}
        for tool in tools:
            name = tool.spec.name
            if self._allow and not any(matches(name, pattern) for pattern in self._allow):
                continue
            taken = [others for other, others in self._sources.items() if other != source]
            if any(_on_the_wire(name) in map(_on_the_wire, names) for names in (accepted, *taken)):
                faults.append(f"The tool {name} is there twice; the first one is used.")
                continue
            try:
                foreign = tool.spec.source != "installed"
                accepted[name] = (tool, self._compile(tool.spec.parameters, foreign=foreign))
            except ConfigError as error:
                faults.append(f"The tool {name} cannot be used: {error}.")
        self._sources[source] = accepted
        self.changed.set()
        for fault in faults:
            log.warning("tool.refused", source=source, detail=fault)
        return faults

    def withdraw(self, source: str) -> None:
        """Forget what `source` offers."""
        if self._sources.pop(source, None) is not None:
            self.changed.set()

    def find(self, name: str) -> tuple[Tool, Check] | None:
        """Return the tool of that name with the check of its arguments."""
        for tools in self._sources.values():
            if name in tools:
                return tools[name]
        return None

    def specs(self) -> tuple[ToolSpec, ...]:
        """Return what is on offer, sorted by name, each with the policy that holds for it."""
        rules, found = self._rules(), []
        for tools in self._sources.values():
            for tool, _ in tools.values():
                policy = rules.policy_of(tool)
                if policy != "deny":
                    found.append(tool.spec.model_copy(update={"policy": policy}))
        return tuple(sorted(found, key=lambda spec: spec.name))

    def missing(self) -> list[str]:
        """Return the allowed names that nobody offers."""
        named = {name for name in self._allow if "*" not in name}
        return sorted(named - {name for tools in self._sources.values() for name in tools})


def _on_the_wire(name: str) -> str:
    """Return a name as language models get it: two that are the same there cannot be told apart."""
    return name.replace(".", "__")
