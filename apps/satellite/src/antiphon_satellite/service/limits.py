"""How long playback waits, and how much it holds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PlaybackLimits:
    """Times and sizes of playback.

    Attributes:
        jitter_s: sound that is gathered before an utterance begins, or goes on after a gap; a
            frame never waits longer than this for another.
        end_timeout_s: an utterance without a frame for so long has ended.
        device_wait_s: how long an utterance waits for a device that is not open.
        max_pause_s: a pause that lasts longer stops the utterance.
        reopen_s: pause before a lost device is opened again; doubles up to 30 s.
        buffer_bytes: received sound that may wait, of all utterances together.
        duck_volume: factor while ducked, where the order names none.
    """

    jitter_s: float = 0.08
    end_timeout_s: float = 10.0
    device_wait_s: float = 3.0
    max_pause_s: float = 600.0
    reopen_s: float = 1.0
    buffer_bytes: int = 16 * 1024 * 1024
    duck_volume: float = 0.3
