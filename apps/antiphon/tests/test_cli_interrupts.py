from __future__ import annotations

import asyncio
import os
import signal

import pytest
from antiphon.interrupts import until_interrupted
from antiphon_contracts import ConfigError

pytestmark = pytest.mark.unit


class Interrupted:
    """Work that notes how it was ended, and what the signals called."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.hurried = asyncio.Event()

    async def work(self, *signals: signal.Signals) -> None:
        self.events.append("begun")
        try:
            os.kill(os.getpid(), signals[0])
            await asyncio.Event().wait()
        finally:
            for further in signals[1:]:
                os.kill(os.getpid(), further)
                await self.hurried.wait()
            self.events.append("cleaned up")

    def on_first(self) -> None:
        self.events.append("first")

    def on_again(self) -> None:
        self.events.append("again")
        self.hurried.set()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
async def test_the_first_signal_ends_work_in_good_order(signum: signal.Signals) -> None:
    it = Interrupted()
    async with asyncio.timeout(5):
        assert await until_interrupted(it.work(signum), it.on_first, it.on_again)
    assert it.events == ["begun", "first", "cleaned up"]


async def test_a_second_signal_hurries_the_clean_up() -> None:
    it = Interrupted()
    work = it.work(signal.SIGINT, signal.SIGINT)
    async with asyncio.timeout(5):
        assert await until_interrupted(work, it.on_first, it.on_again)
    assert it.events == ["begun", "first", "again", "cleaned up"]


async def test_work_that_ends_by_itself_was_not_interrupted() -> None:
    it = Interrupted()

    async def work() -> None:
        it.events.append("done")

    async with asyncio.timeout(5):
        assert not await until_interrupted(work(), it.on_first, it.on_again)
    assert it.events == ["done"]


async def test_an_error_of_the_work_comes_out_as_itself() -> None:
    async def work() -> None:
        raise ConfigError("no broker")

    it = Interrupted()
    with pytest.raises(ConfigError, match="no broker"):
        await until_interrupted(work(), it.on_first, it.on_again)


async def test_afterwards_signals_do_what_they_always_do() -> None:
    async def work() -> None:
        assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL

    await until_interrupted(work(), lambda: None, lambda: None)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
