"""The engines that come with Antiphon: factories of the group `antiphon.wake_detectors`."""

from __future__ import annotations

from antiphon_models import ModelStore

from antiphon_wake.engine.micro import MicroDetector
from antiphon_wake.engine.openwakeword import OpenDetector
from antiphon_wake.settings import WakeSettings

__all__ = ["MicroDetector", "OpenDetector", "micro", "openwakeword"]


def micro(settings: WakeSettings, models: ModelStore) -> MicroDetector:  # noqa: ARG001  (the group's signature)
    """microWakeWord: small and quick."""
    return MicroDetector(settings.models)


def openwakeword(settings: WakeSettings, models: ModelStore) -> OpenDetector:  # noqa: ARG001  (the group's signature)
    """Some more phrases for some thirty times the work."""
    return OpenDetector(settings.models)
