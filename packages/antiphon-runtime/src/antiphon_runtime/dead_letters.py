"""Dead letters: messages whose handler crashed, kept by the broker for whoever looks after them.

See ADR 0011.
"""

from __future__ import annotations

import base64
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from hashlib import sha256

import structlog
from antiphon_contracts import (
    DEAD,
    DEAD_RETRY,
    ContractError,
    DeadLetter,
    RawTopic,
    parse,
    validate,
)

from antiphon_runtime.bus import Bus
from antiphon_runtime.handlers import Handler, RawMessage, listen_raw
from antiphon_runtime.logs import crash

MAX_LETTERS = 32
"""Of one worker; the oldest go first."""
MAX_PAYLOAD_BYTES = 64 * 1024
MAX_FRAMES = 20
KEPT_S = 7 * 24 * 3600.0
MINUTE_S = 60.0

LETTERS = RawTopic(DEAD.pattern, DEAD.qos, DEAD.flow, DEAD.summary, retain=True)
"""`DEAD` as bytes: an empty message takes a letter away."""

log = structlog.get_logger(__name__)


def read_letter(payload: bytes) -> DeadLetter:
    """Return the letter in a message of `LETTERS`.

    Raises:
        ContractError: there is none.
    """
    return validate(parse(payload), DEAD.model, DEAD.type).data


class DeadLetters:
    """The dead letters of one worker.

    At most 32 letters, none with a message of over 64 KB in it, each for seven days (MQTT 5). In a
    minute at most 32 are written; more crashes are only counted.

    Args:
        bus: the worker's, not yet open; its crashes are followed.
        now: a monotonic clock, in seconds.
    """

    def __init__(self, bus: Bus, now: Callable[[], float] = time.monotonic) -> None:
        self._bus = bus
        self._now = now
        self._letters: OrderedDict[str, DeadLetter] = OrderedDict()
        self._attempts: OrderedDict[str, int] = OrderedDict()
        self._written_at: deque[float] = deque(maxlen=MAX_LETTERS)
        bus.on_crash = self.bury

    @property
    def handlers(self) -> list[Handler]:
        """What the worker has to listen to."""
        mine = {"worker": self._bus.source}
        return [
            listen_raw(LETTERS.narrowed(**mine), self.on_letter, queue_limit=4 * MAX_LETTERS),
            listen_raw(DEAD_RETRY.narrowed(**mine), self.on_retry, queue_limit=4 * MAX_LETTERS),
        ]

    def bury(self, topic: str, payload: bytes, error: Exception) -> None:
        """Keep a message whose handler crashed.

        Args:
            topic: where it came, below the base.
            payload: the message.
            error: what the handler raised.
        """
        now = self._now()
        if len(self._written_at) == MAX_LETTERS and now - self._written_at[0] < MINUTE_S:
            self._bus.counters["dead_letters_not_kept"] += 1
            return
        self._written_at.append(now)
        letter_id = sha256(topic.encode() + b"\0" + payload).hexdigest()[:16]
        attempts = self._attempts.pop(letter_id, 0) + 1
        self._attempts[letter_id] = attempts
        while len(self._attempts) > 4 * MAX_LETTERS:
            self._attempts.popitem(last=False)
        found = crash(error)
        kept = len(payload) <= MAX_PAYLOAD_BYTES
        letter = DeadLetter(
            letter=letter_id,
            worker=self._bus.source,
            topic=topic,
            error=found["error"],
            # File names alone: folders say how this machine is set up.
            where=tuple(place.rpartition("/")[2] for place in found["where"][-MAX_FRAMES:]),
            attempts=attempts,
            ts=time.time(),
            size_bytes=len(payload),
            payload=base64.b64encode(payload).decode() if kept else None,
        )
        self._bus.counters["dead_letters"] += 1
        self._keep(letter)
        self._bus.publish(DEAD, letter, ttl_s=KEPT_S, worker=self._bus.source, letter=letter_id)

    async def on_letter(self, message: RawMessage) -> None:
        """Note a letter of before a restart, or that one was taken away."""
        letter_id = message.slots["letter"]
        if not message.payload:
            self._letters.pop(letter_id, None)
        elif letter_id not in self._letters:
            letter = read_letter(message.payload)
            self._attempts[letter_id] = letter.attempts
            self._keep(letter)

    async def on_retry(self, message: RawMessage) -> None:
        """Take in a letter's message once more; the letter is taken away, and may come back."""
        letter = self._letters.get(message.slots["letter"])
        if letter is None or letter.payload is None:
            log.warning("dead.not_retried", letter=message.slots["letter"])
            return
        try:
            payload = base64.b64decode(letter.payload, validate=True)
        except ValueError as error:
            msg = "the dead letter holds no message"
            raise ContractError(msg) from error
        self._take_away(letter.letter)
        self._bus.take_in(letter.topic, payload)

    def _keep(self, letter: DeadLetter) -> None:
        self._letters[letter.letter] = letter
        self._letters.move_to_end(letter.letter)
        while len(self._letters) > MAX_LETTERS:
            self._take_away(min(self._letters.values(), key=lambda one: one.ts).letter)

    def _take_away(self, letter_id: str) -> None:
        self._letters.pop(letter_id, None)
        self._bus.publish_raw(LETTERS, b"", worker=self._bus.source, letter=letter_id)
