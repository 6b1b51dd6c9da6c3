"""One site's speaker and microphone, whatever devices they are."""

from __future__ import annotations

from antiphon_satellite.service.capture import Capture
from antiphon_satellite.service.earcon import ChimingSpeaker
from antiphon_satellite.service.echo import EchoCanceller, EchoPath, HeardSpeaker
from antiphon_satellite.service.frames import FrameFilter
from antiphon_satellite.service.hook import Hook
from antiphon_satellite.service.levels import LevelMeter
from antiphon_satellite.service.limits import PlaybackLimits
from antiphon_satellite.service.muting import Muting
from antiphon_satellite.service.playback import Playback
from antiphon_satellite.service.ports import (
    Block,
    Microphone,
    Notes,
    Samples,
    Sink,
    Source,
    Speaker,
)
from antiphon_satellite.service.shared_microphone import SharedMicrophone
from antiphon_satellite.service.streaming import Streaming

__all__ = [
    "Block",
    "Capture",
    "ChimingSpeaker",
    "EchoCanceller",
    "EchoPath",
    "FrameFilter",
    "HeardSpeaker",
    "Hook",
    "LevelMeter",
    "Microphone",
    "Muting",
    "Notes",
    "Playback",
    "PlaybackLimits",
    "Samples",
    "SharedMicrophone",
    "Sink",
    "Source",
    "Speaker",
    "Streaming",
]
