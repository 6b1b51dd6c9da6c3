"""Talking to the running stack: `antiphon ask`, `say`, `pub` and `status`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import orjson
from antiphon_contracts import (
    HEALTH,
    SAY_SITE,
    TTS_STATUS,
    ConfigError,
    EngineError,
    Flow,
    Health,
    Message,
    PlainAnswer,
    RawTopic,
    RequestTimeout,
    TtsStatus,
    WorkerGone,
    new_id,
)
from antiphon_runtime import listen
from rich.console import Console

from antiphon import screens
from antiphon.asking import Asked, Questioner, write_speech
from antiphon.house import HouseWatch, WorkerState, client_bus, open_bus
from antiphon.output import print_json, print_line
from antiphon.settings import find_broker

CONNECT_TIMEOUT_S = 5.0
SAY_GONE_S = 1.5  # a worker that is just being started again speaks late
SAY_BEGIN_S = 30.0
SAY_END_S = 300.0
RECORDING_S = 30.0
FIRST_HEALTH_S = 1.5
ALL_HEALTH_S = 0.3


async def ask(
    text: str | None,
    recording: bytes | None,
    out: Path | None,
    *,
    json: bool,
    site: str,
    broker: str | None,
) -> None:
    """Ask by text, by recording or, without either, by microphone; print what is answered.

    Raises:
        AntiphonError: there is no answer, or it is an apology; or its sound was to be written, and
            it has none. An answer that can only be read is one.
    """
    settings = find_broker(broker)
    console = Console()

    def on_answer(answer: PlainAnswer) -> None:
        if not json:
            print_line(console, answer.answer or "(no answer)")

    bus = client_bus(settings)
    async with Questioner(bus, site, on_answer).asking(CONNECT_TIMEOUT_S) as questioner:
        if text is not None:
            asked = await questioner.ask_text(text)
        elif recording is not None:
            asked = await questioner.ask_recording(recording)
        else:
            asked = await _ask_aloud(questioner)
    audio = None if out is None else write_speech(asked, out)
    if json:
        print_json(asked.as_json(audio))
    else:
        _show_sound(asked, audio, console)
    if asked.answer.error is not None:
        raise EngineError(asked.answer.error)
    if out is not None and audio is None:
        raise EngineError(asked.note or f"the answer has no sound: {out} was not written")
    if asked.note:
        print_line(Console(stderr=True), f"antiphon: {asked.note}")


def read_recording(path: Path) -> bytes:
    """Return a file's bytes; blocks.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror}"
        raise ConfigError(msg) from error


async def _ask_aloud(questioner: Questioner) -> Asked:
    async with _enter_pressed() as stop:
        print_line(Console(stderr=True), "recording: press Enter when you have asked")
        return await questioner.ask_microphone(stop, RECORDING_S)


@asynccontextmanager
async def _enter_pressed() -> AsyncIterator[asyncio.Future[None]]:
    """Yield what is done when a line, or the end, of standard input comes.

    Raises:
        ConfigError: standard input cannot be waited for.
    """
    loop = asyncio.get_running_loop()
    pressed: asyncio.Future[None] = loop.create_future()

    def on_input(descriptor: int) -> None:
        os.read(descriptor, 4096)
        loop.remove_reader(descriptor)
        if not pressed.done():
            pressed.set_result(None)

    try:
        descriptor = sys.stdin.fileno()
        loop.add_reader(descriptor, on_input, descriptor)
    except (AttributeError, OSError, ValueError) as error:
        msg = "--mic ends at Enter, so it needs a terminal (or a pipe) as standard input"
        raise ConfigError(msg) from error
    try:
        yield pressed
    finally:
        loop.remove_reader(descriptor)


def _show_sound(asked: Asked, audio: Path | None, console: Console) -> None:
    if console.is_terminal:
        for line in screens.waterfall(asked.answer.stages, asked.first_audio_ms):
            print_line(console, line)
    if audio is not None:
        print_line(console, f"sound: {audio}")


async def say(text: str, site: str, broker: str | None) -> None:
    """Have a text spoken at a site; returns when all its sound was sent.

    Raises:
        RequestTimeout: nobody took it up.
        WorkerGone: there is no TTS worker.
        EngineError: it could not be spoken, or was interrupted.
        BusError: there is no broker, or it refused.
    """
    bus = client_bus(find_broker(broker))
    announcement = _Announcement(new_id())
    bus.install(
        [listen(TTS_STATUS, announcement.on_status), listen(HEALTH, announcement.on_health)]
    )
    payload = orjson.dumps({"text": text, "id": announcement.utterance_id})
    async with open_bus(bus, CONNECT_TIMEOUT_S):
        await bus.publish_raw(SAY_SITE, payload, ttl_s=SAY_BEGIN_S, site=site)
        status = await announcement.end()
    if status.state != "synthesised":
        raise EngineError(status.detail or f"it was not spoken to its end: {status.state}")


class _Announcement:
    """A text that is on its way to be spoken."""

    def __init__(self, utterance_id: str) -> None:
        self.utterance_id = utterance_id
        self._speakers: dict[str, str] = {}
        self._begun = asyncio.Event()
        self._ended: asyncio.Future[TtsStatus] = asyncio.get_running_loop().create_future()

    async def on_status(self, message: Message[TtsStatus]) -> None:
        if message.data.utterance_id == self.utterance_id:
            self._begun.set()
            if message.data.state != "started" and not self._ended.done():
                self._ended.set_result(message.data)

    async def on_health(self, message: Message[Health]) -> None:
        if message.data.kind == "tts":
            self._speakers[message.data.worker] = message.data.state

    async def end(self) -> TtsStatus:
        """Return how it ended."""
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(SAY_GONE_S):
                    await self._begun.wait()
            if not self._begun.is_set() and set(self._speakers.values()) == {"gone"}:
                raise WorkerGone("no TTS worker is there: see `antiphon status`")
            async with asyncio.timeout(SAY_BEGIN_S):
                await self._begun.wait()
            async with asyncio.timeout(SAY_END_S):
                return await self._ended
        except TimeoutError:
            msg = "nobody spoke it in time: see `antiphon status`"
            raise RequestTimeout(msg) from None


async def publish(topic: str, message: str, broker: str | None) -> None:
    """Publish a message as it is, below the base.

    Raises:
        ContractError: nothing can be published to such a topic.
        BusError: there is no broker, or it refused.
    """
    target = RawTopic(topic, 1, Flow(), "A topic named by hand.")
    if target.slots or not topic or any(sign in topic for sign in "+#\0"):
        msg = f"{topic!r} is no topic to publish to: write it out, without +, # and braces"
        raise ConfigError(msg)
    bus = client_bus(find_broker(broker))
    async with open_bus(bus, CONNECT_TIMEOUT_S):
        await bus.publish_raw(target, message.encode())


async def status(*, json: bool, broker: str | None) -> None:
    """Print how the workers on the broker are.

    Raises:
        EngineError: there is none.
    """
    bus = client_bus(find_broker(broker))
    watch = HouseWatch()
    bus.install([listen(HEALTH, watch.on_health)])
    async with open_bus(bus, CONNECT_TIMEOUT_S):
        try:
            async with asyncio.timeout(FIRST_HEALTH_S):
                await watch.change()
        except TimeoutError:
            pass
        else:
            await asyncio.sleep(ALL_HEALTH_S)  # the others' retained health comes with the first
    if json:
        print_json({name: health.model_dump() for name, health in watch.health.items()})
    else:
        states = {name: WorkerState(known.state, known) for name, known in watch.health.items()}
        Console().print(screens.health_table(states))
    if not watch.health:
        msg = "no worker is there: start them with `antiphon up`"
        raise EngineError(msg)
