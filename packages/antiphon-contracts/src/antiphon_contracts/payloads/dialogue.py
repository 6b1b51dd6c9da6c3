"""Payloads of the dialogue: its state, announcements, and questions to people."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from antiphon_contracts.envelope import Payload, Several
from antiphon_contracts.level import Level

MAX_ANNOUNCED_SITES = 64


class DialogueState(Payload):
    """What goes on at a site (retained); for lamps, displays and earcons.

    Attributes:
        state: `listening` from the wake word to the end of the utterance, `thinking` until the
            answer begins, `speaking` while it is heard, `paused` while it is held.
        reason: why it listens, as in `stt/control`; empty otherwise.
        turn_id: the turn; None when idle.
    """

    state: Literal["idle", "listening", "thinking", "speaking", "paused"]
    reason: str = ""
    turn_id: str | None = None


class DialogueControl(Payload):
    """Tells the router what to do with a site's dialogue, as the spoken commands do.

    Attributes:
        action: hold or continue what is spoken, stop it, say the last answer again, or listen as
            after a wake word.
    """

    action: Literal["pause", "resume", "stop", "repeat", "listen"]


class Announce(Payload):
    """Says a text at some sites, or all.

    A site in the middle of a conversation hears it when the conversation pauses.

    Attributes:
        text: the words.
        sites: where, at most 64; none is every site with a satellite.
        priority: as in `tts/say`; from 20 on (an alarm) it interrupts.
        voice: name of a voice; None is the site's own.
    """

    text: str = Field(min_length=1, max_length=10_000)
    sites: Several[Level] = Field(default=(), max_length=MAX_ANNOUNCED_SITES)
    priority: int = Field(default=0, ge=0, le=100)
    voice: str | None = None


class AnnouncedAt(Payload):
    """How an announcement ended at one site.

    Attributes:
        site: where.
        state: heard to its end, cut short, not played there, or failed.
        detail: one sentence for people about a failure.
    """

    site: str
    state: Literal["heard", "interrupted", "unheard", "failed"]
    detail: str = ""


class Announced(Payload):
    """The reply to an announcement, when it has ended everywhere.

    Attributes:
        sites: how it ended at each.
    """

    sites: Several[AnnouncedAt] = ()


class AskUser(Payload):
    """Asks a person at a site something aloud, and listens to the answer.

    Attributes:
        text: the question; empty only listens.
        listen_s: how long the person may take to begin.
        voice: name of a voice; None is the site's own.
    """

    text: str = Field(default="", max_length=10_000)
    listen_s: float = Field(default=8.0, gt=0, le=60)
    voice: str | None = None


class UserAnswer(Payload):
    """What the person answered.

    Attributes:
        outcome: `answered`; `silent`: nothing was said in time; `interrupted`: somebody used the
            wake word instead; `busy`: another question was open; `failed`: see `detail`.
        text: the answer's transcript.
        confidence: as in `stt/final`.
        detail: one sentence for people about a failure.
    """

    outcome: Literal["answered", "silent", "interrupted", "busy", "failed"]
    text: str = ""
    confidence: float = Field(default=0.0, ge=0, le=1)
    detail: str = ""
