"""Rules: how each site listens and speaks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Mode = Literal["wake", "open", "off"]


@dataclass(frozen=True, slots=True)
class SiteRules:
    """One site's own rules.

    Attributes:
        mode: whether it listens after a wake word, all the time, or never.
        voice: name of a voice; None is the TTS worker's own.
        speed: rate of speech, 1.0 is the voice's own.
        volume: of its speaker, 0 to 1; None leaves it as it is.
    """

    mode: Mode = "wake"
    voice: str | None = None
    speed: float = 1.0
    volume: float | None = None


@dataclass(frozen=True, slots=True)
class LiveRules:
    """Rules of live conversation.

    Attributes:
        listen_s: how long speech may take to begin after a wake word.
        follow_up_s: how long one may go on without a wake word after an answer; 0 is not at all.
        speculate: whether the language model begins before the end of speech is certain.
        usual: rules of the sites without rules of their own.
        sites: rules by site.
    """

    listen_s: float = 6.0
    follow_up_s: float = 5.0
    speculate: bool = True
    usual: SiteRules = SiteRules()
    sites: Mapping[str, SiteRules] = field(default_factory=dict)

    def of(self, site_id: str) -> SiteRules:
        """Return a site's rules."""
        return self.sites.get(site_id, self.usual)
