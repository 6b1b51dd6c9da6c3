"""What goes on at a site, as it happens: for `listen`, `talk` and `record`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import orjson
from antiphon_contracts import (
    ANSWER,
    AUDIO_IN,
    DIALOGUE_STATE,
    PLAYBACK_STATUS,
    SITE_STATUS,
    STT_FINAL,
    STT_PARTIAL,
    WAKE_EVENT,
    ContractError,
    DialogueState,
    Message,
    Payload,
    PlainAnswer,
    PlaybackStatus,
    SiteStatus,
    SttFinal,
    SttPartial,
    WakeEvent,
)
from antiphon_runtime import RawMessage, listen, listen_raw
from pydantic import ValidationError

if TYPE_CHECKING:
    from antiphon_runtime import Handler

Event = (
    WakeEvent | SttPartial | SttFinal | PlainAnswer | DialogueState | SiteStatus | PlaybackStatus
)


class LiveEvents:
    """Hears one site, or all.

    Args:
        on_event: told of each event and its site, in the order of arrival.
        site: only this one; None is every site.
        on_frame: told of each microphone frame and its site, if given.
    """

    def __init__(
        self,
        on_event: Callable[[str, Event], None],
        site: str | None = None,
        on_frame: Callable[[str, bytes], None] | None = None,
    ) -> None:
        self._on_event = on_event
        self._on_frame = on_frame
        self._site = site

    @property
    def handlers(self) -> list[Handler]:
        """What the bus is to install."""
        heard: list[Handler] = [
            listen(WAKE_EVENT, self._on_message),
            listen(STT_PARTIAL, self._on_message),
            listen(STT_FINAL, self._on_message),
            listen(DIALOGUE_STATE, self._on_message),
            listen(SITE_STATUS, self._on_message),
            listen(PLAYBACK_STATUS, self._on_message),
            listen_raw(ANSWER, self._on_answer),
        ]
        if self._on_frame is not None:
            topic = AUDIO_IN if self._site is None else AUDIO_IN.narrowed(site=self._site)
            heard.append(listen_raw(topic, self._on_audio, overflow="drop_oldest"))
        return heard

    async def _on_message(self, message: Message[Payload]) -> None:
        data = message.data
        if isinstance(data, Event) and self._site in {None, message.site_id}:
            self._on_event(message.site_id, data)

    async def _on_answer(self, message: RawMessage) -> None:
        if self._site not in {None, message.site_id}:
            return
        try:
            answer = PlainAnswer.model_validate(orjson.loads(message.payload))
        except (orjson.JSONDecodeError, ValidationError) as error:
            raise ContractError("an answer on the bus cannot be read") from error
        self._on_event(message.site_id, answer)

    async def _on_audio(self, message: RawMessage) -> None:
        if self._on_frame is not None:
            self._on_frame(message.site_id, message.payload)
