"""Sound devices, by sounddevice (PortAudio).

PortAudio calls back in a thread of its own. A device lives in one pool thread from opening to
closing, because both may block for a while; the event loop only waits for it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Literal, Protocol, TypeVar, cast

import numpy as np
from antiphon_contracts import ConfigError, EngineError
from antiphon_runtime.extras import install_command
from numpy.typing import NDArray

from antiphon_satellite.service import Sink, Source

BLOCK_S = 0.02
HEARD_BLOCK_S = 0.04
"""A microphone's block: longer, because each costs a call in the device's thread."""
LOOK_S = 0.25
SILENT_S = 3.0
"""A device that has not called back for so long is lost (some drivers hang and say nothing)."""
CLOSE_S = 1.0
MAX_DELAY_S = 2.0
MAX_MISSED_S = 2.0

T = TypeVar("T")


class _Times(Protocol):
    outputBufferDacTime: float  # noqa: N815  (PortAudio's name)
    inputBufferAdcTime: float  # noqa: N815
    currentTime: float  # noqa: N815


class _Flags(Protocol):
    output_underflow: bool
    input_overflow: bool


class _Stream(AbstractContextManager["_Stream"], Protocol):
    active: bool
    latency: float


_Callback = Callable[[NDArray[np.int16], int, _Times, _Flags], None]


class _Module(Protocol):
    """The part of sounddevice in use here; the library itself ships no types."""

    PortAudioError: type[Exception]
    OutputStream: Callable[..., _Stream]
    InputStream: Callable[..., _Stream]

    def query_devices(
        self, device: int | str | None, kind: Literal["input", "output"]
    ) -> Mapping[str, float]: ...
    def _initialize(self) -> None: ...
    def _terminate(self) -> None: ...


def _load() -> _Module:
    try:
        import sounddevice
    except ImportError as error:
        msg = f"Sound devices need sounddevice: {install_command('audio')}"
        raise ConfigError(msg) from error
    except OSError as error:
        msg = "Sound devices need the PortAudio library: sudo apt install libportaudio2"
        raise ConfigError(msg) from error
    return cast("_Module", sounddevice)


class SoundSystem:
    """The sound devices of this machine, shared by speaker and microphone.

    Raises:
        ConfigError: sounddevice or PortAudio is not installed; the text says what to install.
    """

    def __init__(self) -> None:
        self._module = _load()
        self._lock = threading.Lock()
        self._open = 0
        self._stale = False

    def has(self, kind: Literal["input", "output"], device: str = "") -> bool:
        """Whether there is such a device."""
        try:
            self._rate_hz(kind, device)
        except EngineError:
            return False
        return True

    def _rate_hz(self, kind: Literal["input", "output"], device: str) -> int:
        with self._translated(kind, device):
            found = self._module.query_devices(_number_or_name(device), kind)
            return round(found["default_samplerate"])

    @contextmanager
    def stream(
        self,
        kind: Literal["input", "output"],
        device: str,
        latency_s: float,
        callback: _Callback,
    ) -> Iterator[tuple[_Stream, int]]:
        """Open and start a mono int16 stream at the device's own rate, for as long as the block.

        Yields:
            The stream and its rate in Hz.

        Raises:
            EngineError: there is no such device, or it does not open.
        """
        self._enter()
        try:
            rate_hz = self._rate_hz(kind, device)
            module = self._module
            make = module.OutputStream if kind == "output" else module.InputStream
            with self._translated(kind, device):
                stream = make(
                    samplerate=rate_hz,
                    blocksize=round((BLOCK_S if kind == "output" else HEARD_BLOCK_S) * rate_hz),
                    device=_number_or_name(device),
                    channels=1,
                    dtype="int16",
                    latency=latency_s,
                    callback=callback,
                )
                with stream:
                    yield stream, rate_hz
        except EngineError:
            self._stale = True
            raise
        finally:
            with self._lock:
                self._open -= 1

    def _enter(self) -> None:
        with self._lock:
            if self._stale and not self._open:
                # PortAudio lists the devices once; this is its only way to see one that came back.
                self._module._terminate()  # noqa: SLF001  (sounddevice has no public way)
                self._module._initialize()  # noqa: SLF001
                self._stale = False
            self._open += 1

    @contextmanager
    def _translated(self, kind: str, device: str) -> Iterator[None]:
        try:
            yield
        except (self._module.PortAudioError, ValueError) as error:
            which = f"{kind} device {device!r}" if device else f"default {kind} device"
            msg = f"The {which} does not work ({error}); see `python -m sounddevice` for others."
            raise EngineError(msg, retryable=True) from error


def _number_or_name(device: str) -> int | str | None:
    if not device:
        return None
    return int(device) if device.isdecimal() else device


class _Session:
    """One device from opening to closing."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self._beat_s = time.monotonic()

    def beat(self) -> None:
        """The device called back."""
        self._beat_s = time.monotonic()

    def watch(self, stream: _Stream, name: str) -> None:
        """Return when over.

        Raises:
            EngineError: the device was lost.
        """
        self.beat()
        while not self.over.wait(LOOK_S):
            if not stream.active or time.monotonic() - self._beat_s > SILENT_S:
                msg = f"The {name} was lost: is it still connected?"
                raise EngineError(msg, retryable=True)


async def _in_thread(session: _Session, live: Callable[[], None]) -> None:
    """Run a device's life in a thread; when cancelled, close the device before leaving."""
    life = asyncio.get_running_loop().run_in_executor(None, live)
    try:
        await asyncio.shield(life)
    except asyncio.CancelledError:
        session.over.set()
        await asyncio.wait([life], timeout=CLOSE_S)
        if life.done() and not life.cancelled():
            # It was closed on purpose: an error on the way is of no interest, but is to be seen.
            life.exception()
        raise


class _InputClock:
    """How much sound the device took in that never came here; told apart by its own clock."""

    def __init__(self) -> None:
        self.rate_hz = 0
        self._due_s: float | None = None

    def missed(self, begun_s: float, frames: int) -> int:
        """Return the samples between the block before and this one."""
        due_s = self._due_s
        if not self.rate_hz or not begun_s:
            # Some host interfaces leave these times at 0.
            return 0
        self._due_s = begun_s + frames / self.rate_hz
        gap_s = 0.0 if due_s is None else begun_s - due_s
        return round(gap_s * self.rate_hz) if 0.0 < gap_s <= MAX_MISSED_S else 0


class SoundSpeaker:
    """A loudspeaker.

    Args:
        system: this machine's devices.
        device: name or number; empty is the system's own.
        latency_s: sound that the device may hold.
        counters: counts underflows.
    """

    def __init__(
        self, system: SoundSystem, device: str, *, latency_s: float, counters: Counter[str]
    ) -> None:
        self.name = f"speaker {device!r}" if device else "default speaker"
        self._system = system
        self._device = device
        self._latency_s = latency_s
        self._counters = counters

    async def play(self, source: Source) -> None:
        """See the port."""
        loop = asyncio.get_running_loop()
        session = _Session()

        def live() -> None:
            callback = self._callback(source, session)
            with self._system.stream("output", self._device, self._latency_s, callback) as opened:
                stream, rate_hz = opened
                loop.call_soon_threadsafe(source.attach, rate_hz)
                session.watch(stream, self.name)

        await _in_thread(session, live)

    def _callback(self, source: Source, session: _Session) -> _Callback:
        def on_block(out: NDArray[np.int16], frames: int, times: _Times, flags: _Flags) -> None:
            session.beat()
            if flags.output_underflow:
                self._counters["speaker_underflows"] += 1
            if session.over.is_set():
                out[:] = 0
                return
            block = source.pull(frames, delay_s=self._delay_s(times))
            count = len(block.samples)
            out[:count, 0] = block.samples
            out[count:] = 0
            if block.last:
                source.settle()

        return on_block

    def _delay_s(self, times: _Times) -> float:
        delay_s = times.outputBufferDacTime - times.currentTime
        # Some host interfaces leave these times at 0 or make them up.
        return delay_s if 0.0 < delay_s <= MAX_DELAY_S else self._latency_s


class SoundMicrophone:
    """A microphone.

    Args:
        system: this machine's devices.
        device: name or number; empty is the system's own.
        latency_s: sound that the device may hold.
        counters: counts overflows.
    """

    def __init__(
        self, system: SoundSystem, device: str, *, latency_s: float, counters: Counter[str]
    ) -> None:
        self.name = f"microphone {device!r}" if device else "default microphone"
        self._system = system
        self._device = device
        self._latency_s = latency_s
        self._counters = counters

    async def record(self, sink: Sink) -> None:
        """See the port."""
        loop = asyncio.get_running_loop()
        session = _Session()
        clock = _InputClock()

        def on_block(heard: NDArray[np.int16], frames: int, times: _Times, flags: _Flags) -> None:
            session.beat()
            missed = clock.missed(times.inputBufferAdcTime, frames)
            if flags.input_overflow:
                self._counters["microphone_overflows"] += 1
                if missed:
                    sink.push(np.zeros(missed, dtype=np.int16))
            sink.push(heard[:, 0].copy())

        def live() -> None:
            with self._system.stream("input", self._device, self._latency_s, on_block) as opened:
                stream, clock.rate_hz = opened
                rate_hz = clock.rate_hz
                loop.call_soon_threadsafe(sink.attach, rate_hz)
                session.watch(stream, self.name)

        await _in_thread(session, live)
