"""A program of the user's, run without a shell."""

from __future__ import annotations

import asyncio
import shlex
from asyncio.subprocess import DEVNULL
from contextlib import suppress

from antiphon_contracts import ConfigError, EngineError

TIMEOUT_S = 5.0


class Program:
    """Runs `command STATE SITE`.

    Args:
        command: the program and arguments that go before, quoted as for a shell.
        site: the last argument.
        timeout_s: it is ended after that.

    Raises:
        ConfigError: the command cannot be read.
    """

    def __init__(self, command: str, site: str, *, timeout_s: float = TIMEOUT_S) -> None:
        try:
            self._command = shlex.split(command)
        except ValueError as error:
            msg = f"The satellite's `hook` cannot be read ({error}): check its quotes."
            raise ConfigError(msg) from error
        if not self._command:
            msg = "The satellite's `hook` names no program."
            raise ConfigError(msg)
        self._site = site
        self._timeout_s = timeout_s

    async def run(self, state: str) -> None:
        """Run it; return when it has ended.

        Raises:
            EngineError: it cannot be started, fails, or takes too long.
        """
        try:
            process = await asyncio.create_subprocess_exec(
                *self._command, state, self._site, stdin=DEVNULL, stdout=DEVNULL, stderr=DEVNULL
            )
        except OSError as error:
            msg = f"The hook {self._command[0]} cannot be started: {error.strerror}."
            raise EngineError(msg) from error
        try:
            async with asyncio.timeout(self._timeout_s):
                code = await process.wait()
        except TimeoutError:
            msg = f"The hook {self._command[0]} took longer than {self._timeout_s:g} s."
            raise EngineError(msg) from None
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        if code:
            msg = f"The hook {self._command[0]} ended with code {code}."
            raise EngineError(msg)
