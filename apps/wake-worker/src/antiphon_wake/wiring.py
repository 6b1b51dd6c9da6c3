"""How the wake worker is put together."""

from __future__ import annotations

from functools import partial

from antiphon_contracts import AUDIO_IN, SITE_STATUS, WAKE_CONTROL, WAKE_EVENT, WakeEvent
from antiphon_models import ModelStore, default_root
from antiphon_runtime import Bus, Wiring, Worker, listen, listen_raw, load_engine

from antiphon_wake.detector import WakeDetector
from antiphon_wake.service import House, Orders, WakeService
from antiphon_wake.settings import WakeSettings

GROUP = "antiphon.wake_detectors"
EVENT_TTL_S = 5.0
FRAMES_WAITING = 256


def build(worker: Worker[WakeSettings]) -> Wiring:
    """Build the worker with the engine that its settings name.

    Raises:
        ConfigError: there is no such engine.
    """
    models = ModelStore(default_root(worker.runtime.models_dir))
    detector: WakeDetector = load_engine(GROUP, worker.settings.engine)(worker.settings, models)
    return wire(worker, detector)


def wire(worker: Worker[WakeSettings], detector: WakeDetector) -> Wiring:
    """Build the worker around a given engine."""
    report = partial(_report, worker.bus)
    service = WakeService(
        detector, house_of(worker.settings), report, worker.health, worker.bus.counters
    )
    worker.health.engine = detector.name
    frames = listen_raw(
        AUDIO_IN, service.on_frame, queue_limit=FRAMES_WAITING, overflow="drop_oldest"
    )
    handlers = [
        frames,
        listen(SITE_STATUS, service.on_status),
        listen(WAKE_CONTROL, service.on_control),
    ]
    return Wiring(handlers, lifespan=service.lifespan)


def house_of(settings: WakeSettings) -> House:
    """Return what the settings want listened for."""
    phrases, thresholds = settings.phrases_by_site(), settings.thresholds_by_site()
    special = {
        site: Orders(
            enabled=site not in settings.off_sites,
            phrases=phrases.get(site, settings.phrases),
            threshold=thresholds.get(site, settings.threshold),
        )
        for site in {*phrases, *thresholds, *settings.off_sites}
    }
    return House(
        usual=Orders(enabled=True, phrases=settings.phrases, threshold=settings.threshold),
        special=special,
        refractory_s=settings.refractory_s,
        max_sites=settings.max_sites,
        forget_s=settings.forget_s,
    )


def _report(bus: Bus, site_id: str, event: WakeEvent) -> None:
    bus.publish(WAKE_EVENT, event, site_id=site_id, ttl_s=EVENT_TTL_S)
