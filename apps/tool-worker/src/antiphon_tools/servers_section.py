"""The part `[servers.NAME]` of `tools.toml`: MCP servers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from antiphon_tools.secret_reference import SecretReference
from antiphon_tools.section import Policy, Section

RESERVED = "installed"
"""Our own tools have this for their source."""


def _is_free(name: str) -> str:
    if name == RESERVED:
        msg = f"a server cannot be called {RESERVED}"
        raise ValueError(msg)
    return name


ServerName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,32}$"), AfterValidator(_is_free)
]


Value = str | SecretReference


class ServerSection(Section):
    """An MCP server: a command to run (stdio), or an address (streamable HTTP).

    Attributes:
        command: program to run; its tools live in that process.
        args: its arguments.
        env: its environment, besides PATH, HOME and their like; nothing of ours goes to it.
        cwd: the folder that it runs in.
        url: address of a server that runs elsewhere.
        headers: HTTP headers for it, e.g. `Authorization`.
        enabled: false leaves it out.
        allow: names of its tools that are on offer, as the server calls them; `*` stands for
            anything.
        deny: names that are not; goes before `allow`.
        policy: for all its tools that no rule of their own names; None is what each tool says of
            itself: `confirm` if it destroys something.
        trusted: whether its results count as ours. Those of others are marked as foreign, and a
            turn that has seen one must ask before it changes anything.
        timeout_s: the longest a call may take.
        start_timeout_s: the longest it may take to start.
        prefix: stands before its tools' names; None is the server's name, empty is nothing.
        concurrency: how many calls it gets at once.
        resources: whether what it has to read is on offer, as one tool `read_resource`.
    """

    command: str = ""
    args: tuple[str, ...] = ()
    env: dict[str, Value] = Field(default_factory=dict)
    cwd: Path | None = None
    url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    headers: dict[str, Value] = Field(default_factory=dict)
    enabled: bool = True
    allow: tuple[str, ...] = ("*",)
    deny: tuple[str, ...] = ()
    policy: Policy | None = None
    trusted: bool = False
    timeout_s: float = Field(default=30.0, gt=0, le=600)
    start_timeout_s: float = Field(default=60.0, gt=0, le=600)
    prefix: str | None = Field(default=None, pattern=r"^[A-Za-z0-9_-]{0,32}$")
    concurrency: int = Field(default=4, ge=1, le=64)
    resources: bool = True

    @field_validator("cwd", mode="after")
    @classmethod
    def _at_home(cls, value: Path | None) -> Path | None:
        return value if value is None else value.expanduser()

    @model_validator(mode="after")
    def _command_or_url(self) -> Self:
        if bool(self.command) == bool(self.url):
            msg = "write either command or url"
            raise ValueError(msg)
        if self.url and (self.args or self.env or self.cwd):
            msg = "args, env and cwd belong to a command, not to a url"
            raise ValueError(msg)
        if self.command and self.headers:
            msg = "headers belong to a url, not to a command"
            raise ValueError(msg)
        return self


def resolve(values: Mapping[str, Value]) -> dict[str, str]:
    """Return values with what their references point to. Blocks.

    Raises:
        ConfigError: a secret is not there.
    """
    return {
        name: value if isinstance(value, str) else value.read() for name, value in values.items()
    }
