"""What the fast path does: timers, alarms, lists, lamps, volume, and how it is taken back."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from antiphon_contracts import (
    PlaybackControl,
    TimerChange,
    TimerDone,
    TimerSet,
    ToolRegistry,
    ToolSpec,
)
from antiphon_contracts.payloads.timers import Timer
from antiphon_router import abroad, phrases
from antiphon_router.commands.resolving import clock_of, day_of
from antiphon_router.settings import RouterSettings
from antiphon_router.testing import Home, home
from antiphon_router.testing_room import Room, settled

pytestmark = pytest.mark.unit


def tool(name: str, **properties: Any) -> ToolSpec:  # a JSON Schema holds anything
    return ToolSpec(name=name, description=name, parameters={"properties": properties})


REGISTRY = ToolRegistry(
    tools=(
        tool("home_set", target={"enum": ["kitchen lamp", "desk lamp", "desk lamps"]}),
        tool("home_scene", scene={"enum": ["movie_night"]}),
        tool("list_add", list={"type": "string", "examples": ["packing"]}),
        *(tool(name) for name in ("list_remove", "list_show", "list_clear")),
        *(tool(name) for name in ("take_note", "read_notes", "get_weather", "convert_units")),
    )
)


async def answer(h: Home, text: str, site: str = "kitchen") -> str:
    """Ask a plain question and return the answer."""
    before = len(h.answers)
    h.ask(text, site)
    await h.answers.until(before + 1)
    given = h.answers[-1]
    assert given.route == "fast", given
    return str(given.answer)


async def test_a_timer_is_set_told_lengthened_and_cancelled() -> None:
    async with home() as h:
        said = await answer(h, "Set a pasta timer for ten minutes.")
        assert said == "10 minutes for pasta, starting now."
        order = h.timers.orders[0]
        assert isinstance(order, TimerSet)
        assert (order.kind, order.name, order.after_s) == ("timer", "pasta", 600)
        left = "how long is left on the pasta timer"
        assert await answer(h, left) == "Pasta has 10 minutes left."
        more = await answer(h, "add ten seconds to the pasta timer")
        assert more == "Okay. Pasta has 10 minutes and 10 seconds left."
        assert await answer(h, "pause the timer") == "The pasta timer is paused."
        assert await answer(h, "cancel the pasta timer") == "The pasta timer is cancelled."
        assert await answer(h, left) == "There is no timer set."


async def test_two_timers_are_told_apart_or_asked_about() -> None:
    async with home() as h:
        await answer(h, "five minute timer")
        await answer(h, "Set a tea timer for three minutes")
        told = await answer(h, "what timers do I have")
        assert told == (
            "You have 2 timers. The 5 minute timer has 5 minutes left and tea has 3 minutes left."
        )
        assert await answer(h, "cancel the timer") == (
            "Which one: the 5 minute timer and the tea timer?"
        )
        assert await answer(h, "cancel the five minute timer") == "The 5 minute timer is cancelled."
        await answer(h, "ten minute timer")
        assert await answer(h, "cancel all timers") == "All 2 timers are cancelled."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("set a timer for zero seconds", "A timer needs more than 0 seconds."),
        ("set a timer for 9000 hours", "That is too long: a year is the most."),
        ("volume to 300 percent", "The volume goes from 0 to 100 percent."),
        (
            "set the kitchen lamp to 300 percent",
            "The brightness goes from 0 to 100 percent.",
        ),
    ],
)
async def test_what_cannot_be_is_refused_in_a_sentence(text: str, said: str) -> None:
    async with home() as h:
        await h.offer(REGISTRY)
        assert await answer(h, text) == said
        assert not h.timers.orders
        assert not h.called


async def test_what_rings_is_stopped_though_nothing_is_spoken() -> None:
    async with home() as h:
        room = await Room(h).begin()
        h.rings(Timer(id="1", kind="timer", site_id="kitchen", state="ringing", left_s=0))
        await settled()
        assert await answer(h, "stop") == "Okay."
        (order,) = h.timers.orders
        assert isinstance(order, TimerChange)
        assert order.action == "stop"
        await answer(h, "stop")
        assert len(h.timers.orders) == 1
        h.rings(Timer(id="2", kind="timer", site_id="kitchen", state="ringing", left_s=0))
        await settled()
        room.control("stop")
        await h.timers.orders.until(2)


async def test_what_rang_before_the_router_began_is_stopped() -> None:
    rings = Timer(id="1", kind="timer", site_id="kitchen", state="ringing", left_s=0)
    waits = Timer(id="2", kind="timer", site_id="bath", state="running", left_s=60)
    async with home(timers=[rings, waits]) as h:
        await settled()
        assert await answer(h, "stop") == "Okay."
        (order,) = h.timers.orders
        assert isinstance(order, TimerChange)
        assert order.action == "stop"
        await answer(h, "stop", "bath")
        assert len(h.timers.orders) == 1


@pytest.mark.parametrize("text", ["turn off the alarm", "I'm awake", "never mind", "cancel that"])
async def test_many_words_silence_an_alarm(text: str) -> None:
    async with home() as h:
        h.rings(Timer(id="1", kind="alarm", site_id="kitchen", state="ringing", left_s=0))
        await settled()
        assert await answer(h, text) == "Okay."
        assert [order.action for order in h.timers.orders if isinstance(order, TimerChange)] == [
            "stop"
        ]


async def test_snooze_is_for_what_rings() -> None:
    async with home() as h:
        assert await answer(h, "snooze") == "Nothing is ringing."
        h.ask("give me five more minutes", "kitchen")
        await h.answers.until(2)
        assert h.answers[-1].route == "llm"
        h.rings(Timer(id="1", kind="alarm", site_id="kitchen", state="ringing", left_s=0))
        await settled()
        said = await answer(h, "give me five more minutes")
        assert said == "Okay, again in 5 minutes."
        h.rings(Timer(id="1", kind="alarm", site_id="kitchen", state="ringing", left_s=0))
        h.rings(Timer(id="1", kind="alarm", site_id="kitchen", state="over", left_s=0), "stopped")
        await settled()
        assert await answer(h, "snooze") == "Nothing is ringing."


async def test_alarms_and_reminders_are_set_and_told() -> None:
    async with home() as h:
        said = await answer(h, "wake me every weekday at 6:45 a.m.")
        assert said == "Alarm set at 6:45 in the morning, every weekday."
        order = h.timers.orders[-1]
        assert isinstance(order, TimerSet)
        assert (order.kind, order.at, order.days) == ("alarm", "06:45", (0, 1, 2, 3, 4))
        said = await answer(h, "remind me in ten minutes to call my mum")
        assert said == "Okay, I will remind you in 10 minutes: call your mum."
        reminder = h.timers.orders[-1]
        assert isinstance(reminder, TimerSet)
        assert (reminder.kind, reminder.text, reminder.after_s) == ("reminder", "call my mum", 600)
        told = await answer(h, "what reminders do I have")
        assert told == "You have one reminder: call your mum, in 10 minutes."
        assert await answer(h, "cancel the 6:45 alarm") == (
            "The alarm at 6:45 in the morning is cancelled."
        )
        assert await answer(h, "what alarms do I have") == "There is no alarm set."


async def test_the_timer_worker_s_own_sentence_is_said() -> None:
    async with home() as h:
        h.timers.refusal = TimerDone(
            action="set", error="there are too many timers", error_code="too_many"
        )
        assert await answer(h, "five minute timer") == "Sorry, there are too many timers."


async def test_cancel_that_takes_the_last_thing_back_once() -> None:
    async with home() as h:
        await h.offer(REGISTRY)
        await answer(h, "Set a tea timer for three minutes")
        assert await answer(h, "cancel that") == "Okay, the tea timer is cancelled."
        assert not h.timers.running
        assert await answer(h, "cancel that") == "Okay."
        await answer(h, "put milk and eggs on the shopping list")
        await answer(h, "undo that")
        assert [(call.name, call.arguments["items"]) for call in h.called] == [
            ("list_add", ["milk", "eggs"]),
            ("list_remove", ["milk", "eggs"]),
        ]


async def test_cancel_that_takes_back_only_what_was_not_so_before() -> None:
    async with home() as h:
        await h.offer(REGISTRY)
        h.tool_changes["list_add"] = ["eggs"]
        await answer(h, "put milk and eggs on the shopping list")
        await answer(h, "undo that")
        h.tool_changes["list_add"] = []
        await answer(h, "put milk on the shopping list")
        assert await answer(h, "undo that") == "Okay."
        h.tool_changes["list_clear"] = ["milk", "tea"]
        await answer(h, "clear the shopping list")
        await answer(h, "undo that")
        assert [(call.name, call.arguments.get("items")) for call in h.called] == [
            ("list_add", ["milk", "eggs"]),
            ("list_remove", ["eggs"]),
            ("list_add", ["milk"]),
            ("list_clear", None),
            ("list_add", ["milk", "tea"]),
        ]


async def test_cancel_that_takes_nothing_back_that_was_long_ago() -> None:
    async with home() as h:
        await answer(h, "Set a tea timer for three minutes")
        h.ask("Who wrote Hamlet?", "kitchen")
        await h.answers.until(2)
        assert await answer(h, "cancel that") == "Okay."
        await answer(h, "Set a tea timer for three minutes", "hall")
        assert await answer(h, "cancel that") == "Okay."
        assert len(h.timers.running) == 2


async def test_the_lights_are_those_of_the_room_where_it_is_said() -> None:
    lights = ["all lights", "kitchen lights"]
    async with home() as h:
        await h.offer(ToolRegistry(tools=(tool("home_set", target={"enum": lights}),)))
        await answer(h, "turn the lights off", "kitchen")
        await answer(h, "lights on", "attic")
        await answer(h, "dim the lights", "Kitchen-2")
        assert [call.arguments for call in h.called] == [
            {"target": "kitchen lights", "state": "off"},
            {"target": "all lights", "state": "on"},
            {"target": "kitchen lights", "state": "on", "brighter_by": -25},
        ]


async def test_of_two_rooms_with_one_name_the_right_one_is_lit() -> None:
    lights = ["all lights", "bedroom 1 lights", "bedroom 2 lights", "hall lights"]
    async with home() as h:
        await h.offer(ToolRegistry(tools=(tool("home_set", target={"enum": lights}),)))
        for site in ("bedroom-2", "bedroom", "hall-2"):
            await answer(h, "lights on", site)
        assert [call.arguments["target"] for call in h.called] == [
            *("bedroom 2 lights", "all lights", "hall lights"),
        ]


async def test_of_two_things_to_take_back_one_that_fails_does_not_stop_the_other() -> None:
    async with home() as h:
        await h.offer(REGISTRY)
        await answer(h, "put milk on the shopping list and set a tea timer for three minutes")
        h.lose("timer")
        await settled()
        said = await answer(h, "cancel that")
        assert said == "list_remove was called. My timers are offline right now."
        assert [call.name for call in h.called] == ["list_add", "list_remove"]


async def test_two_commands_in_one_breath_are_both_done_and_both_told() -> None:
    async with home() as h:
        await h.offer(REGISTRY)
        h.tool_texts["home_set"] = "The kitchen lamp is off."
        said = await answer(h, "Turn off the kitchen lamp and set a timer for ten minutes.")
        assert said == "The kitchen lamp is off. 10 minutes, starting now."
        assert [call.name for call in h.called] == ["home_set"]
        assert len(h.timers.running) == 1


async def test_a_question_after_a_command_is_for_the_language_model() -> None:
    async with home() as h:
        await h.offer(REGISTRY)
        h.tool_texts["home_set"] = "The kitchen lamp is on."
        h.deltas = ["Because of the ", "salt."]
        h.ask("turn on the kitchen lamp and tell me why the sea is salty")
        await h.answers.until(1)
        assert h.asked == ["tell me why the sea is salty"]
        assert h.answers[0].answer == "The kitchen lamp is on. Because of the salt."
        assert h.answers[0].route == "llm"
        await h.said.until(lambda all_: all_[-1].data.last)
        spoken = " ".join(m.data.text for m in h.said if m.data.text)
        assert spoken == "The kitchen lamp is on. Because of the salt."
        assert [call.name for call in h.called] == ["home_set"]


async def test_a_command_before_a_question_is_done_though_the_language_model_is_away() -> None:
    async with home() as h:
        await h.offer(REGISTRY)
        h.tool_texts["home_set"] = "The kitchen lamp is on."
        h.lose("llm")
        await settled()
        h.ask("turn on the kitchen lamp and tell me a joke")
        await h.answers.until(1)
        assert h.answers[0].answer == (
            "The kitchen lamp is on. My language model is offline right now."
        )
        assert h.answers[0].error is not None
        assert [call.name for call in h.called] == ["home_set"]


async def test_of_two_commands_the_one_that_fails_does_not_stop_the_other() -> None:
    async with home() as h:
        await h.offer(REGISTRY)
        h.timers.refusal = TimerDone(
            action="set", error="there are too many timers", error_code="too_many"
        )
        h.tool_texts["home_set"] = "The kitchen lamp is off."
        texts = (
            "set a timer for ten minutes and turn off the kitchen lamp",
            "turn off the kitchen lamp and set a timer for ten minutes",
        )
        for text in texts:
            assert await answer(h, text) == (
                "The kitchen lamp is off. Sorry, there are too many timers."
            )
        await h.said.until(lambda all_: sum(m.data.last for m in all_) == len(texts))
        spoken = " ".join(m.data.text for m in h.said if m.data.text)
        assert spoken.count("The kitchen lamp is off. Sorry, there are too many timers.") == 2
        assert len(h.called) == 2


async def test_cancel_that_takes_back_both_of_two_commands() -> None:
    async with home() as h:
        await h.offer(REGISTRY)
        await answer(h, "put milk on the shopping list and set a tea timer for three minutes")
        assert len(h.timers.running) == 1
        said = await answer(h, "cancel that")
        assert "the tea timer is cancelled" in said
        assert not h.timers.running
        assert [call.name for call in h.called] == ["list_add", "list_remove"]
        assert await answer(h, "cancel that") == "Okay."


async def test_stop_before_a_command_silences_and_the_command_is_done() -> None:
    async with home() as h:
        h.rings(Timer(id="1", kind="timer", site_id="kitchen", state="ringing", left_s=0))
        await settled()
        said = await answer(h, "stop and set a timer for five minutes")
        assert said == "5 minutes, starting now."
        stop, order = h.timers.orders
        assert isinstance(stop, TimerChange)
        assert isinstance(order, TimerSet)


async def test_tools_are_called_with_the_house_s_own_names() -> None:
    async with home() as h:
        await h.offer(REGISTRY)
        h.tool_texts["home_set"] = "The kitchen lamp is red."
        assert await answer(h, "make the kitchen lamp red") == "The kitchen lamp is red."
        await answer(h, "set the desk lamps to thirty percent")
        await answer(h, "activate movie night")
        await answer(h, "what's on my packing list")
        await answer(h, "what is 5 miles in kilometers")
        await answer(h, "weather in Paris tomorrow")
        assert [(call.name, call.arguments) for call in h.called] == [
            ("home_set", {"target": "kitchen lamp", "state": "on", "color": "red"}),
            ("home_set", {"target": "desk lamps", "state": "on", "brightness": 30}),
            ("home_scene", {"scene": "movie_night"}),
            ("list_show", {"list": "packing"}),
            ("convert_units", {"value": 5, "from_unit": "miles", "to_unit": "kilometers"}),
            ("get_weather", {"place": "Paris", "day": "tomorrow"}),
        ]


@pytest.mark.parametrize(
    "text", ["turn on the attic lamp", "activate dinner", "turn on the lamp", "25 o'clock alarm"]
)
async def test_an_unknown_name_is_for_the_language_model(text: str) -> None:
    async with home() as h:
        await h.offer(REGISTRY)
        h.ask(text)
        await h.answers.until(1)
        assert h.answers[0].route == "llm"
        assert not h.called


async def test_without_the_tool_it_is_for_the_language_model() -> None:
    async with home() as h:
        h.ask("what's on the shopping list")
        await h.answers.until(1)
        assert h.answers[0].route == "llm"


async def test_the_time_elsewhere_is_asked_for() -> None:
    async with home() as h:
        said = await answer(h, "what time is it in Tokyo")
        assert said == "It is 7:05 in the evening in Tokyo."
        assert h.called[0].arguments == {"timezone": "Asia/Tokyo"}


async def test_the_volume_is_changed_muted_and_taken_back() -> None:
    async with home() as h:
        room = await Room(h).begin()
        for text, said in (
            ("volume to forty percent", "Volume 40 percent."),
            ("louder", "Volume 50 percent."),
            ("cancel that", "Volume 40 percent."),
            ("mute", "Okay."),
            ("unmute", "Okay."),
        ):
            assert await answer(h, text) == said
        await settled()
        orders = [order for order in room.playback if isinstance(order, PlaybackControl)]
        levels = [order.volume for order in orders if order.action == "volume"]
        assert levels == [0.4, 0.5, 0.4, 0.0, 0.4]


async def test_a_candidate_does_nothing() -> None:
    async with home() as h:
        await h.offer(REGISTRY)
        room = await Room(h).begin()
        room.wake()
        window = await room.until_window("wake")
        for seq, text in enumerate(("set a timer for five minutes", "turn on the desk lamp")):
            room.partial(text, window, seq, candidate=True)
        await settled()
        assert not h.timers.orders
        assert not h.called


async def test_what_rang_is_forgotten_when_nobody_is_there_to_ring() -> None:
    async with home() as h:
        h.rings(Timer(id="1", kind="timer", site_id="kitchen", state="ringing", left_s=0))
        h.lose("timer")
        await settled()
        assert await answer(h, "stop") == "My timers are offline right now."
        assert await answer(h, "stop") == "Okay."


@pytest.mark.parametrize(
    ("language", "said"),
    [
        (
            "de",
            {
                "Wie lange läuft der Timer noch?": "Es läuft kein solcher Timer.",
                "Stelle einen Timer auf fünf Minuten.": "5 Minuten, ab jetzt.",
                "Wie lange läuft der Timer?": "Noch 5 Minuten.",
                "Brich den Timer ab.": "Okay.",
                "Lautstärke auf 40 Prozent": "Lautstärke 40 Prozent.",
            },
        ),
        (
            "fr",
            {
                "Mets un minuteur de 90 secondes": "1 minute et 30 secondes, c'est parti.",
                "Combien de temps reste-t-il sur le minuteur ?": (
                    "Encore 1 minute et 30 secondes."
                ),
                "Annule le minuteur": "D'accord.",
                "Répète": "D'accord.",
            },
        ),
        (
            "es",
            {
                "Pon un temporizador de 90 segundos": "1 minuto y 30 segundos, empezando ahora.",
                "¿Cuánto tiempo le queda al temporizador?": (
                    "Tiempo restante: 1 minuto y 30 segundos."
                ),
                "Cancela el temporizador": "De acuerdo.",
                "Sube el volumen y pon un temporizador de cinco minutos": (
                    "Volumen al 100 por ciento. 5 minutos, empezando ahora."
                ),
            },
        ),
        (
            "it",
            {
                "Imposta un timer di 90 secondi": "1 minuto e 30 secondi, da adesso.",
                "Quanto tempo manca al timer?": "Ancora 1 minuto e 30 secondi.",
                "Annulla il timer": "Va bene.",
                "Volume al 40 per cento": "Volume al 40 per cento.",
            },
        ),
        (
            "nl",
            {
                "Zet een timer op 90 seconden": "1 minuut en 30 seconden, vanaf nu.",
                "Hoe lang duurt de timer nog?": "Nog 1 minuut en 30 seconden.",
                "Annuleer de timer": "Oké.",
                "Hoe lang loopt de timer nog?": "Er loopt geen timer.",
            },
        ),
    ],
)
async def test_other_languages_are_answered_in_kind(language: str, said: dict[str, str]) -> None:
    async with home(RouterSettings(language=language)) as h:
        assert {text: await answer(h, text) for text in said} == said


def test_every_language_says_the_same() -> None:
    others = [abroad.language(code) for code in abroad.LANGUAGES if code != "en"]
    said = [set(one.sentences) for one in others if one is not None]
    assert len(said) == len(abroad.LANGUAGES) - 1
    assert all(names == said[0] for names in said)
    assert all(hasattr(phrases, name.upper()) for name in said[0])


@pytest.mark.parametrize(
    ("code", "at_one", "later", "date"),
    [
        ("de", "Es ist 1 Uhr 05.", "Es ist 14 Uhr.", "Heute ist Samstag, der 21. November."),
        ("es", "Es la 1 05.", "Son las 14.", "Hoy es sábado, 21 de noviembre."),
        ("fr", "Il est 1 h 05.", "Il est 14 h.", "Nous sommes le samedi 21 novembre."),
        ("it", "È l'1 05.", "Sono le 14.", "Oggi è sabato 21 novembre."),
        ("nl", "Het is 1 uur 05.", "Het is 14 uur.", "Vandaag is het zaterdag 21 november."),
    ],
)
def test_time_and_date_in_other_languages(code: str, at_one: str, later: str, date: str) -> None:
    spoken = abroad.language(code)
    assert spoken is not None
    assert spoken.spoken_time(datetime(2026, 11, 21, 1, 5)) == at_one  # noqa: DTZ001  (local)
    assert spoken.spoken_time(datetime(2026, 11, 21, 14, 0)) == later  # noqa: DTZ001  (local)
    assert spoken.spoken_date(datetime(2026, 11, 21)) == date  # noqa: DTZ001  (local)


SATURDAY_NOON = datetime(2026, 11, 21, 12, 30).astimezone()


@pytest.mark.parametrize(
    ("slots", "kind", "at", "on"),
    [
        ({"at": "7:30?"}, "alarm", "07:30", None),
        ({"at": "3:00?"}, "alarm", "15:00", None),
        ({"at": "8:00?"}, "reminder", "20:00", None),
        ({"at": "12:15?"}, "reminder", "00:15", None),
        ({"at": "12:45?"}, "reminder", "12:45", None),
        ({"at": "7:00?", "day": "tomorrow"}, "alarm", "07:00", "2026-11-22"),
        ({"at": "3:00?", "day": "tomorrow"}, "reminder", "15:00", "2026-11-22"),
        ({"at": "6:00?", "days": "0,1"}, "alarm", "06:00", None),
        ({"at": "05:00", "day": "friday"}, "alarm", "05:00", "2026-11-27"),
        ({"at": "9:00?", "day": "saturday"}, "alarm", "09:00", "2026-11-28"),
        ({"at": "09:00", "day": "01-05"}, "reminder", "09:00", "2027-01-05"),
        ({"at": "09:00", "day": "overmorrow"}, "reminder", "09:00", "2026-11-23"),
    ],
)
def test_a_time_is_the_one_that_people_mean(
    slots: dict[str, str], kind: str, at: str, on: str | None
) -> None:
    assert clock_of(slots, kind, SATURDAY_NOON) == at
    assert day_of(slots, at, SATURDAY_NOON) == on
