"""The wake worker: hears wake words in the sites' microphone streams, and reports them.

A third party adds an engine with an entry point of the group `antiphon.wake_detectors` that names a
factory of a `WakeDetector`.
"""

from __future__ import annotations

from antiphon_wake.detector import Lag, Phrase, PhraseStream, Score, WakeDetector
from antiphon_wake.ear import Ear, Heard
from antiphon_wake.service import Orders, WakeService
from antiphon_wake.settings import WakeSettings

__all__ = [
    "Ear",
    "Heard",
    "Lag",
    "Orders",
    "Phrase",
    "PhraseStream",
    "Score",
    "WakeDetector",
    "WakeService",
    "WakeSettings",
]
