"""The wake worker: hears wake words in the sites' microphone streams, and reports them.

A third party adds an engine with an entry point of the group `antiphon.wake_detectors` that names a
factory of a `WakeDetector`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from antiphon_runtime.late_imports import late_imports

if TYPE_CHECKING:
    from antiphon_wake.detector import Lag, Phrase, PhraseStream, Score, WakeDetector
    from antiphon_wake.ear import Ear, Heard
    from antiphon_wake.service import Orders, WakeService
    from antiphon_wake.settings import WakeSettings
else:
    __getattr__ = late_imports(
        __name__,
        Lag="detector",
        Phrase="detector",
        PhraseStream="detector",
        Score="detector",
        WakeDetector="detector",
        Ear="ear",
        Heard="ear",
        Orders="service",
        WakeService="service",
        WakeSettings="settings",
    )

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
