"""States: what goes on at each site, as lamps and displays are told."""

from __future__ import annotations

from antiphon_contracts import DIALOGUE_STATE, DialogueState
from antiphon_runtime import Bus

from antiphon_router.turns import Site


class States:
    """Publishes each site's state when it changes (retained)."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def tell(self, site: Site) -> None:
        """Publish the state of a site if it is another than before."""
        state = state_of(site)
        if state != site.told:
            site.told = state
            self._bus.publish(DIALOGUE_STATE, state, site_id=site.site_id, turn_id=state.turn_id)


def state_of(site: Site) -> DialogueState:
    """Return what goes on at a site."""
    window = site.window
    sounding = next((s for s in site.speeches.values() if s.playing or s.sounding), None)
    # A window that is open only in case somebody interrupts is no listening yet.
    if window is not None and (window.is_attentive or not site.busy):
        return DialogueState(state="listening", reason=window.reason, turn_id=window.utterance_id)
    if site.arriving:
        return DialogueState(state="thinking", turn_id=site.arriving[-1])
    if site.hold.wanted:
        speech = next(iter(site.speeches.values()), None)
        return DialogueState(state="paused", turn_id=None if speech is None else speech.turn_id)
    if sounding is not None:
        return DialogueState(state="speaking", turn_id=sounding.turn_id)
    waiting = next((speech for speech in site.speeches.values() if speech.clauses), None)
    if site.turns or waiting is not None:
        turn_id = site.turns[0].turn_id if waiting is None else waiting.turn_id
        return DialogueState(state="thinking", turn_id=turn_id)
    return DialogueState(state="idle")
