"""Where speech ends: false cut-offs against delay, of fixed silence, of the words, of Smart Turn.

Sixty utterances of this machine's voice, two thirds with a pause inside of 200 to 600 ms: at a
comma, in the middle of a phrase, behind "and" or "um". Each pause is transcribed and heard once, as
the worker does it; what every policy would have done is then computed. The delay counts from the
last loud sample to the decision, the candidate's own time included.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from antiphon_audio import Pcm, Vad, resample
from antiphon_models import ModelStore, default_root
from antiphon_runtime import RuntimeSettings, load_settings
from antiphon_stt import Hints, SttSettings, Transcriber
from antiphon_stt.endpointing import RATE_HZ, Endpointer, EndpointRules, Heard
from antiphon_stt.engine import SmartTurn, faster_whisper
from antiphon_stt.engine.smart_turn import DONE
from antiphon_stt.follower import LiveRules
from antiphon_stt.turn_detector import AdaptiveSilence, Patience
from antiphon_tts.engine import piper
from antiphon_tts.settings import TtsSettings
from command import Options, main, say
from figures import Figure, Report, percentile
from numpy.typing import NDArray

WHOLE = """What time is it?
Turn on the kitchen light.
Set a timer for ten minutes.
What is the weather in Berlin tomorrow?
Who wrote Hamlet?
Stop the music.
Is the front door locked?
What is twelve times seven?
Tell me a joke.
Cancel the timer.
Open the blinds in the bedroom.
When does the sun set today?
Good morning.
Where are my keys?
Call my mother.
Next song.
Never mind.
Turn it off.
Volume up.
Why is the sky blue?""".splitlines()
BROKEN = """Turn on the lamp and, | close the blinds.
Set a timer for, | ten minutes.
Remind me to, | call Ada at seven.
Add milk, | eggs and butter to the shopping list.
What is the weather, | in Berlin tomorrow?
Play some music, | in the living room.
Turn the heating down, | to nineteen degrees.
Um, | what time is it?
Turn off, | the light in the kitchen.
Wake me up, | at six thirty.
How far away is, | the moon?
Tell me, | who wrote Hamlet.
Please, | stop the music.
Remember that, | my bicycle is red.
If it rains tomorrow, | wake me up early.
What is twelve, | times seven?
Open the blinds, | in the bedroom.
Call my, | mother.
Put on something, | quiet please.
Dim the lamp to, | thirty percent.
When does the sun, | set today?
Send a message to Tom, | saying I am late.
Is the front door, | locked?
Set an alarm, | for half past six.
Add bread and, | butter to the list.
Turn on the fan and, um, | the radio.
How many ounces, | are in a pound?
Give me the news, | from today.
Translate thank you, | into French.
What did I, | say yesterday?
Let me know when, | the rain stops.
How do you, | spell necessary?
Switch off everything, | downstairs.
Make it a bit, | warmer in here.
Which day, | is it today?
Cancel the, | timer for the pasta.
I would like to, | hear the news.
Start the vacuum, | in the hall.
Are there any, | eggs left?
Lock the door and, | turn off the lights.""".splitlines()
ROOM_S = 0.4
AFTER_S = 1.8
LONGEST_MS = 900.0
READY_MS = 400.0
"""When a candidate is there on a quiet machine, after the pause begins."""
LOUD = 0.01
FIXED_MS = (300, 400, 500, 600, 700, 800)
SHORT_MS = (350, 400, 450, 500, 550)
THRESHOLDS = (0.3, 0.5, 0.7, 0.9)
FRAME_MS = 40
"""A frame of 80 ms is heard when it is whole: half of it later, in the mean."""


@dataclass(frozen=True)
class Utterance:
    """What is said.

    Attributes:
        sound: 16 kHz.
        end: of its last loud sample, in samples.
    """

    sound: NDArray[np.int16]
    end: int


@dataclass(frozen=True)
class Pause:
    """A silence, inside an utterance or at its end.

    Attributes:
        is_end: whether the utterance is over.
        silence_ms: how long it lasts; what is longer than anybody's patience is its end.
        late_ms: how much later than the last loud sample the voice detector sees it begin.
        text: what was understood up to it.
        done: what Smart Turn says about it.
        ready_ms: from the begin of the pause until text and `done` are known.
    """

    is_end: bool
    silence_ms: float
    late_ms: float
    text: str
    done: float
    ready_ms: float


Policy = Callable[[Pause], float]
"""How long to wait in a pause, in ms."""


def utterances(count: int) -> Iterator[Utterance]:
    """Speak them."""
    store = ModelStore(default_root(load_settings(RuntimeSettings).models_dir))
    voice = piper(TtsSettings(), store)
    voice.load()
    chance = random.Random(11)  # noqa: S311  (the same utterances every time)
    noise = np.random.default_rng(11)
    texts = WHOLE + BROKEN
    chance.shuffle(texts)
    for text in texts[:count]:
        pieces = voice.synthesize(text.replace(" |", ""), voice=None, speed=1.0)
        sound = np.concatenate([resample(p, RATE_HZ).to_float32() for p in pieces])
        if "|" in text:
            share = text.index("|") / len(text)
            sound = _broken(sound, share, chance.uniform(0.2, 0.6))
        loud = np.nonzero(np.abs(sound) > LOUD)[0]
        room, after = (np.zeros(round(s * RATE_HZ), np.float32) for s in (ROOM_S, AFTER_S))
        whole = np.concatenate((room, sound[: loud[-1]], after))
        whole += noise.normal(0, 0.0007, len(whole)).astype(np.float32)
        yield Utterance(Pcm.from_float32(whole, RATE_HZ).samples, len(room) + int(loud[-1]))


def _broken(sound: NDArray[np.float32], share: float, pause_s: float) -> NDArray[np.float32]:
    """Lengthen the voice's own pause near `share` of the sound, or its quietest place there."""
    step = RATE_HZ // 100
    levels = [float(np.abs(sound[i : i + 3 * step]).mean()) for i in range(0, len(sound), step)]
    lo, hi = (round(len(levels) * min(0.95, max(0.05, share + d))) for d in (-0.15, 0.15))
    place = min(range(lo, max(lo + 1, hi)), key=levels.__getitem__)
    cut = place * step + step
    after = next((i for i in range(place, len(levels)) if levels[i] > LOUD), place)
    before = next((i for i in range(place, 0, -1) if levels[i] > LOUD), place)
    own_s = (after - before) / 100
    missing = np.zeros(round(max(0.0, pause_s - own_s) * RATE_HZ), np.float32)
    return np.concatenate((sound[:cut], missing, sound[cut:]))


def pauses(spoken: Utterance, vad: Vad, engine: Transcriber, turns: SmartTurn) -> list[Pause]:
    """Hear an utterance as the worker does, with endless patience."""
    rules, live = EndpointRules(max_silence_ms=60_000), LiveRules()
    endpoint = Endpointer(rules, 0)
    found: list[Pause] = []
    for odds in vad.stream().push(spoken.sound):
        end, begin = endpoint.end, endpoint.begin
        change = endpoint.feed(odds)
        if change is Heard.RESUMED and found:
            gap_ms = (endpoint.heard - end) * 1000 / RATE_HZ
            found[-1] = replace(found[-1], is_end=False, silence_ms=gap_ms)
        if change is not Heard.PAUSED or begin is None:
            continue
        first = max(0, begin - live.preroll_ms * RATE_HZ // 1000)
        speech = Pcm(spoken.sound[first : endpoint.heard], RATE_HZ)
        began = time.perf_counter()
        transcript = engine.transcribe(speech, Hints("en"))
        words_ms = 1000 * (time.perf_counter() - began)
        done = turns.by_sound(speech) or 0.0
        sound_ms = 1000 * (time.perf_counter() - began) - words_ms
        late_ms = (end - spoken.end) * 1000 / RATE_HZ
        ready_ms = rules.pause_ms + FRAME_MS + max(words_ms, sound_ms)
        text = transcript.believed().text  # type: ignore[union-attr]
        found.append(
            Pause(
                is_end=True,
                silence_ms=10_000.0,
                late_ms=late_ms,
                text=text,
                done=done,
                ready_ms=ready_ms,
            )
        )
    return found


@dataclass(frozen=True)
class Outcome:
    """What a policy does to all utterances."""

    cut: int
    missed: int
    median_ms: float
    p90_ms: float


def judged(spoken: list[list[Pause]], policy: Policy, ready_ms: float | None) -> Outcome:
    """Return how often a policy cuts somebody off, and how late it is at the end.

    Args:
        spoken: each utterance's pauses.
        policy: how long it waits.
        ready_ms: when text is there after a pause begins; None takes what was measured.
    """
    cut = missed = 0
    delays = []
    for each in spoken:
        ready = [p.ready_ms if ready_ms is None else ready_ms for p in each]
        # Whoever has no candidate by then ends at the longest patience.
        waits = [min(max(policy(p), r), LONGEST_MS) for p, r in zip(each, ready, strict=True)]
        inner = [(p, w) for p, w in zip(each, waits, strict=True) if not p.is_end]
        if any(p.silence_ms > wait + FRAME_MS for p, wait in inner):
            cut += 1
            continue
        if not each or not each[-1].is_end or waits[-1] > 1000 * AFTER_S:
            missed += 1
            continue
        delays.append(each[-1].late_ms + waits[-1] + FRAME_MS)
    return Outcome(cut, missed, statistics.median(delays), percentile(delays, 0.9))


def fixed(wait_ms: float) -> Policy:
    """Wait always the same."""
    return lambda _pause: wait_ms


def by_words(short: int) -> Policy:
    """Wait as adaptive silence does."""
    words = AdaptiveSilence(Patience(short, 600, 900))
    return lambda pause: float(words.patience_ms(pause.text, None))


def by_sound(short: int, least: float) -> Policy:
    """Wait as Smart Turn does, with another threshold."""
    turn = SmartTurn(ModelStore(default_root()), Patience(short, 600, 900))
    return lambda pause: float(turn.patience_ms(pause.text, float(pause.done >= least)))


def policies() -> Iterator[tuple[str, Policy]]:
    """Name every policy and its settings."""
    for wait_ms in FIXED_MS:
        yield f"fixed {wait_ms}", fixed(wait_ms)
    for short in SHORT_MS:
        yield f"adaptive {short}", by_words(short)
        for least in THRESHOLDS:
            yield f"smart-turn {short} at {least:g}", by_sound(short, least)


async def measure(options: Options) -> Report:
    """Hear all, and judge every policy."""
    store = ModelStore(default_root(load_settings(RuntimeSettings).models_dir))
    settings = SttSettings()
    engine, turns, vad = faster_whisper(settings, store), SmartTurn(store, Patience()), Vad()
    engine.load()
    turns.load()
    spoken = []
    for number, utterance in enumerate(utterances(6 if options.quick else 60)):
        spoken.append(pauses(utterance, vad, engine, turns))
        if number % 10 == 0:
            say(f"utterance {number}")
    report = Report("endpointing", options.quick)
    ready = [pause.ready_ms for each in spoken for pause in each]
    curves = {}
    for name, policy in policies():
        ideal, real = judged(spoken, policy, READY_MS), judged(spoken, policy, None)
        curves[name] = {"ready at 400 ms": ideal.__dict__, "as measured": real.__dict__}
    shortest = settings.min_silence_ms
    chosen = f"smart-turn {shortest} at {DONE:g}"
    if settings.turn_detector == "adaptive":
        chosen = f"adaptive {shortest}"
    ours = judged(spoken, dict(policies())[chosen], READY_MS)
    report.figures = [
        Figure(f"{chosen}: false cut-offs", ours.cut, "", 2),
        Figure(f"{chosen}: missed ends", ours.missed, "", 0),
        Figure(f"{chosen}: median delay after true end", ours.median_ms, "ms", 500),
        Figure(f"{chosen}: p90 delay", ours.p90_ms, "ms"),
        Figure("candidate ready after the pause began, median", statistics.median(ready), "ms"),
    ]
    report.details = {
        "curves": curves,
        "pauses": [[pause.__dict__ for pause in each] for each in spoken],
    }
    return report


if __name__ == "__main__":
    main("endpointing", measure)
