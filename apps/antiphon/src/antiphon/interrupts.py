"""Interrupts: the first Ctrl-C or SIGTERM ends work in good order, each further one hurries it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any

from antiphon_runtime import running

SIGNALS = (signal.SIGINT, signal.SIGTERM)


async def until_interrupted(
    work: Coroutine[Any, Any, None],
    on_first: Callable[[], None],
    on_again: Callable[[], None],
) -> bool:
    """Run `work`; the first signal cancels it, and its own clean-up is waited for.

    Args:
        work: what is done; its error comes out as itself.
        on_first: called at the first signal.
        on_again: called at every further one.

    Returns:
        Whether there was a signal.
    """
    ended, interrupted = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        if interrupted.is_set():
            on_again()
        else:
            interrupted.set()
            ended.set()
            on_first()

    async def worked() -> None:
        await work
        ended.set()

    loop = asyncio.get_running_loop()
    with ExitStack() as stack:
        for signum in SIGNALS:
            loop.add_signal_handler(signum, on_signal)
            stack.callback(loop.remove_signal_handler, signum)
        async with running(work=worked()):
            await ended.wait()
    return interrupted.is_set()
