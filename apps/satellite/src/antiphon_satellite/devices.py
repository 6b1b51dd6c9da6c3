"""Which devices the settings name."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from antiphon_contracts import ConfigError

from antiphon_satellite.engine.file import FileSpeaker
from antiphon_satellite.engine.file_microphone import FileMicrophone, required
from antiphon_satellite.engine.null import MissingMicrophone, NullMicrophone, NullSpeaker
from antiphon_satellite.engine.sound import SoundMicrophone, SoundSpeaker, SoundSystem
from antiphon_satellite.service import Microphone, Speaker
from antiphon_satellite.settings import SatelliteSettings

__all__ = ["Devices", "choose_devices"]


@dataclass(frozen=True)
class Devices:
    """What a satellite plays and records with.

    Attributes:
        speaker: plays.
        microphone: records.
        missing: sentences about what was not found, for people.
        stream: whether the microphone's sound is to be sent all the time.
    """

    speaker: Speaker
    microphone: Microphone
    missing: tuple[str, ...] = ()
    stream: bool = False


class _Chooser:
    def __init__(self, settings: SatelliteSettings, data_dir: Path, counters: Counter[str]) -> None:
        self._settings = settings
        self._data_dir = data_dir
        self._counters = counters
        self._system: SoundSystem | None = None
        self.missing: list[str] = []

    @property
    def _sound(self) -> SoundSystem:
        if self._system is None:
            self._system = SoundSystem()
        return self._system

    def speaker(self) -> Speaker:
        chosen = self._settings
        if chosen.speaker == "file":
            folder = chosen.out_dir or self._data_dir / "spoken"
            return FileSpeaker(
                folder.expanduser(), chosen.rate_hz, pace=chosen.pace, keep=chosen.keep
            )
        if chosen.speaker == "sounddevice":
            return self._sound_speaker()
        if chosen.speaker == "auto":
            reason = self._missing("output", chosen.speaker_device)
            if reason is None:
                return self._sound_speaker()
            self.missing.append(f"no sound device: answers are not audible here; {reason}")
        return NullSpeaker(chosen.rate_hz, pace=chosen.pace)

    def microphone(self) -> Microphone:
        chosen = self._settings
        if chosen.microphone == "file":
            return FileMicrophone(
                required(chosen.in_file), pace=chosen.pace, repeat=chosen.in_repeat
            )
        if chosen.microphone == "sounddevice":
            return self._sound_microphone()
        if chosen.microphone == "auto":
            reason = self._missing("input", chosen.microphone_device)
            if reason is None:
                return self._sound_microphone()
            self.missing.append(
                f"no microphone: nobody is heard here, with or without a wake word; {reason}"
            )
            return MissingMicrophone()
        return NullMicrophone(pace=chosen.pace)

    def _missing(self, kind: str, device: str) -> str | None:
        try:
            found = self._sound.has("output" if kind == "output" else "input", device)
        except ConfigError as error:
            return str(error)
        return None if found else "connect one and restart the satellite"

    def _sound_speaker(self) -> Speaker:
        return SoundSpeaker(
            self._sound,
            self._settings.speaker_device,
            latency_s=self._settings.latency_s,
            counters=self._counters,
        )

    def _sound_microphone(self) -> Microphone:
        return SoundMicrophone(
            self._sound,
            self._settings.microphone_device,
            latency_s=self._settings.latency_s,
            counters=self._counters,
        )


def choose_devices(settings: SatelliteSettings, data_dir: Path, counters: Counter[str]) -> Devices:
    """Return the devices that the settings name; nothing is opened yet.

    Args:
        settings: the satellite's settings.
        data_dir: where the file speaker writes unless told otherwise.
        counters: counts what the sound devices missed.

    Raises:
        ConfigError: a device named in the settings needs something that is not installed or set.
    """
    chooser = _Chooser(settings, data_dir, counters)
    speaker, microphone = chooser.speaker(), chooser.microphone()
    return Devices(speaker, microphone, tuple(chooser.missing), _streams(settings, microphone))


def _streams(settings: SatelliteSettings, microphone: Microphone) -> bool:
    if settings.stream is not None:
        return settings.stream and not isinstance(microphone, MissingMicrophone)
    if isinstance(microphone, FileMicrophone):
        # As fast as possible is for recordings on demand: as a stream it would be over at once.
        return bool(settings.pace)
    return isinstance(microphone, SoundMicrophone)
