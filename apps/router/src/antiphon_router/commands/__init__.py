"""Commands: what the fast path does, without the language model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from datetime import datetime

from antiphon_contracts import BusError, TimerEvent
from antiphon_runtime import Bus

from antiphon_router import abroad, phrases
from antiphon_router.commands.asking import COMMAND_TIMEOUT_S, Asking, Command
from antiphon_router.commands.house import Devices, Volume
from antiphon_router.commands.knowing import Knowing
from antiphon_router.commands.timing import Timing
from antiphon_router.commands.undoing import Undoing
from antiphon_router.commands.writing import Writing
from antiphon_router.intents import Intent
from antiphon_router.vocabulary import Vocabulary

__all__ = ["COMMAND_TIMEOUT_S", "Command", "Commands"]

Handler = Callable[[Command], Awaitable[str]]

_ENDING = {"stop", "dismiss", "undo"}


def _no_volume(_site_id: str) -> float | None:
    return None


class Commands:
    """Carries out the fast path's intents.

    Args:
        bus: for requests to memory, tools and timers.
        clock: the local time.
        volume_of: a site's volume by its settings, 0 to 1; None is unknown.
        language: two letters, of the answers.
    """

    def __init__(
        self,
        bus: Bus,
        clock: Callable[[], datetime],
        volume_of: Callable[[str], float | None] = _no_volume,
        *,
        language: str = "en",
    ) -> None:
        self._language = abroad.language(language)
        self._bus = bus
        self._asking = Asking(bus, clock)
        self._undoing = Undoing()
        self._timing = Timing(self._asking, self._undoing)
        self._volume = Volume(bus, self._undoing, volume_of)
        self._handlers = self._table()

    def _table(self) -> Mapping[str, Handler]:
        timing, volume = self._timing, self._volume
        writing, knowing = Writing(self._asking, self._undoing), Knowing(self._asking)
        devices = Devices(self._asking)
        changes = ("add", "cancel", "pause", "resume")
        steps = ("volume_up", "volume_down", "volume_set", "mute", "unmute")
        return {
            "time": knowing.time_elsewhere,
            "sum": knowing.calculate,
            "convert": knowing.convert,
            "weather": knowing.weather,
            "remember": writing.remember,
            "forget": writing.forget,
            "list_add": writing.change_list,
            "list_remove": writing.change_list,
            "list_show": writing.tell_list,
            "list_clear": writing.clear_list,
            "note_take": writing.note,
            "notes_read": writing.note,
            "timer_set": timing.set_timer,
            "timer_left": timing.tell_left,
            "timer_list": timing.tell_left,
            **{f"timer_{action}": timing.change for action in changes},
            "timer_stop": timing.stop,
            "alarm_set": timing.set_alarm,
            "alarm_stop": timing.stop,
            "alarm_cancel": timing.cancel_due,
            "alarm_list": timing.tell_due,
            "reminder_set": timing.set_reminder,
            "reminder_cancel": timing.cancel_due,
            "reminder_list": timing.tell_due,
            "snooze": timing.snooze,
            "awake": timing.silence,
            "device": devices.set,
            "scene": devices.begin_scene,
            **dict.fromkeys(steps, volume.change),
        }

    def learn(self, vocabulary: Vocabulary) -> None:
        """Know which tools there are."""
        self._asking.vocabulary = vocabulary

    def on_timer_event(self, event: TimerEvent) -> None:
        """Note what rings."""
        self._timing.ringing.on_event(event)

    async def find_ringing(self) -> None:
        """Learn what rings already, as the router begins; who is away then rings later."""
        await self._bus.wait_connected()
        with suppress(BusError):
            await self._timing.find_ringing()

    def moved_on(self, site_id: str) -> None:
        """Something else was asked at a site: `cancel that` does not mean what was before."""
        self._undoing.forget(site_id)

    def is_idle(self, intent: Intent, site_id: str) -> bool:
        """Whether an intent means something only while something rings, and nothing does."""
        if self._timing.ringing.at(site_id):
            return False
        return intent.name == "awake" or (intent.name == "snooze" and bool(intent.slots))

    async def silence(self, site_id: str) -> None:
        """Silence what rings at a site.

        Raises:
            BusError: the timer worker is away, busy or too slow.
            EngineError: it could not do it; the text is a sentence for people.
        """
        await self._timing.silence(Command("stop", site_id=site_id))

    async def carry_out(
        self, name: str, slots: dict[str, str], *, turn_id: str, site_id: str, last_answer: str
    ) -> str:
        """Return the answer to an intent of the grammar.

        Raises:
            BusError: the worker that is needed is away, busy or too slow.
            EngineError: it could not do it; the text is a sentence for people.
        """
        known = self.known_answer(name, slots, last_answer=last_answer)
        if known is not None:
            return known
        command = Command(name, slots, turn_id, site_id, last_answer)
        if name not in _ENDING:
            self._undoing.forget(site_id, turn_id)
        if self._language is not None and name == "timer_left":
            return self._language.spoken_timers(await self._timing.timers(command))
        answer = await (self._end if name in _ENDING else self._handlers[name])(command)
        return answer if self._language is None else self._language.said(name, slots, answer)

    async def _end(self, command: Command) -> str:
        """Silence what rings; what goes on at the site was interrupted already."""
        if self._timing.ringing.at(command.site_id):
            return await self._timing.silence(command)
        if command.name == "undo":
            return await self._undoing.undo(command)
        return phrases.OKAY

    def known_answer(self, name: str, slots: dict[str, str], *, last_answer: str) -> str | None:
        """Return the answer to an intent for which nobody is asked and nothing changes, else None.

        It is the answer of this moment: the time goes on.
        """
        if slots:
            return None
        now, language = self._asking.clock(), self._language
        match name:
            case "time":
                return phrases.spoken_time(now) if language is None else language.spoken_time(now)
            case "date":
                return phrases.spoken_date(now) if language is None else language.spoken_date(now)
            case "repeat":
                nothing = phrases.NOTHING_TO_REPEAT
                return last_answer or (
                    language.sentences["nothing_to_repeat"] if language else nothing
                )
        return None
