"""The part `[tools.NAME]` of `tools.toml`: what a tool may do."""

from __future__ import annotations

from typing import Literal

from antiphon_tools.section import Policy, Section


class ToolRule(Section):
    """What one tool may do.

    Attributes:
        policy: `confirm` asks a person before each call; `deny` does not offer it at all. None is
            the tool's own.
        tainted: `allow` calls it without asking even in a turn that has seen something from
            outside the house; `confirm` always asks then. None is the usual rule.
    """

    policy: Policy | None = None
    tainted: Literal["allow", "confirm"] | None = None
