"""Dead letters: `antiphon dead list`, `show`, `retry` and `drop`."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

from antiphon_contracts import DEAD_RETRY, ConfigError, ContractError, DeadLetter, EngineError
from antiphon_runtime import Bus, RawMessage, listen_raw
from antiphon_runtime.dead_letters import LETTERS, read_letter
from rich.console import Console

from antiphon import screens
from antiphon.house import client_bus, open_bus
from antiphon.output import print_json, print_line
from antiphon.settings import find_broker

CONNECT_TIMEOUT_S = 5.0
FIRST_LETTER_S = 1.0
ALL_LETTERS_S = 0.3
TAKEN_UP_S = 5.0
CRASHES_AGAIN_S = 2.0
"""How long a message that is tried again is watched."""


class _Box:
    """The letters on a broker, and what becomes of them."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.letters: dict[tuple[str, str], DeadLetter] = {}
        self._changed = asyncio.Event()

    async def on_letter(self, message: RawMessage) -> None:
        key = (message.slots["worker"], message.slots["letter"])
        if message.payload:
            self.letters[key] = read_letter(message.payload)
        else:
            self.letters.pop(key, None)
        self._changed.set()

    async def until(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for a condition; returns whether it came true in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not condition():
                    self._changed.clear()
                    await self._changed.wait()
        return condition()

    def chosen(self, names: Sequence[str]) -> list[DeadLetter]:
        """Return the letters that the names, or their beginnings, stand for; all without a name.

        Raises:
            ConfigError: there is none of a name, or several.
        """
        oldest_first = sorted(self.letters.values(), key=lambda letter: letter.ts)
        if not names:
            return oldest_first
        return [self._one(name, oldest_first) for name in dict.fromkeys(names)]

    @staticmethod
    def _one(name: str, letters: list[DeadLetter]) -> DeadLetter:
        found = [letter for letter in letters if letter.letter.startswith(name)]
        if len(found) != 1:
            how_many = "no dead letter begins" if not found else "several dead letters begin"
            msg = f"{how_many} with {name!r}: see `antiphon dead list`"
            raise ConfigError(msg)
        return found[0]


@asynccontextmanager
async def _open_box(broker: str | None) -> AsyncIterator[_Box]:
    bus = client_bus(find_broker(broker))
    post = _Box(bus)
    bus.install([listen_raw(LETTERS, post.on_letter, queue_limit=10_000)])
    async with open_bus(bus, CONNECT_TIMEOUT_S):
        if await post.until(lambda: bool(post.letters), FIRST_LETTER_S):
            await asyncio.sleep(ALL_LETTERS_S)  # the others come with the first
        yield post


async def show_list(*, json: bool, broker: str | None) -> None:
    """Print all letters, oldest first."""
    async with _open_box(broker) as post:
        letters = post.chosen([])
    if json:
        print_json([_without_payload(letter) for letter in letters])
        return
    if not letters:
        print_line(Console(), "no dead letters")
        return
    now, console = time.time(), Console()
    for letter in letters:
        times = "once" if letter.attempts == 1 else f"{letter.attempts} times"
        age = screens.duration(max(0.0, now - letter.ts))
        what = f"{letter.letter}  {letter.worker}  {letter.topic}"
        print_line(console, f"{what}  {letter.error}, {times}, last {age} ago")


async def show(name: str, *, json: bool, broker: str | None) -> None:
    """Print one letter with its message.

    Raises:
        ConfigError: there is no such letter.
    """
    async with _open_box(broker) as post:
        [letter] = post.chosen([name])
    message = _message_of(letter)
    if json:
        print_json(_without_payload(letter) | {"message": message})
        return
    console = Console()
    for field, value in _without_payload(letter).items():
        if field != "where":
            print_line(console, f"{field}: {value}")
    for place in letter.where:
        print_line(console, f"  at {place}")
    print_line(console, message)


def _without_payload(letter: DeadLetter) -> dict[str, Any]:
    return letter.model_dump(exclude={"payload"})


def _message_of(letter: DeadLetter) -> str:
    if letter.payload is None:
        return "(the message was too long to be kept)"
    try:
        data = base64.b64decode(letter.payload, validate=True)
        return data.decode()
    except ValueError:
        return f"(no text: {letter.size_bytes} bytes)"


async def drop(names: Sequence[str], *, broker: str | None) -> None:
    """Take letters away; all without a name.

    Raises:
        ConfigError: there is no such letter.
        BusError: the broker refused.
    """
    async with _open_box(broker) as post:
        letters = post.chosen(names)
        for letter in letters:
            await post.bus.publish_raw(LETTERS, b"", worker=letter.worker, letter=letter.letter)
    print_line(Console(), f"dropped: {len(letters)}")


async def retry(names: Sequence[str], *, broker: str | None) -> None:
    """Have workers try the messages of letters again; all without a name.

    Raises:
        ConfigError: there is no such letter.
        EngineError: a message cannot be tried again, or crashed again.
        BusError: the broker refused.
    """
    failed: dict[str, str] = {}
    async with _open_box(broker) as post:
        letters = post.chosen(names)
        for letter in letters:
            if (trouble := await _retry(post, letter)) is not None:
                failed[letter.letter] = trouble
    print_line(Console(), f"tried again: {len(letters) - len(failed)}")
    if failed:
        raise EngineError("; ".join(f"{name} {trouble}" for name, trouble in failed.items()))


async def _retry(post: _Box, letter: DeadLetter) -> str | None:
    """Return what went wrong."""
    if letter.payload is None:
        return "was too long to be kept: send the message anew"
    key = (letter.worker, letter.letter)
    try:
        asked = post.bus.publish_raw(DEAD_RETRY, b"", worker=letter.worker, letter=letter.letter)
    except ContractError:
        return "is under no name of a worker"
    await asked

    def taken_up() -> bool:
        now = post.letters.get(key)
        return now is None or now.attempts > letter.attempts

    def crashed_again() -> bool:
        return key in post.letters

    if not await post.until(taken_up, TAKEN_UP_S):
        return f"was not taken up: is {letter.worker} running?"
    if await post.until(crashed_again, CRASHES_AGAIN_S):
        return f"crashed again ({post.letters[key].error})"
    return None
