"""Live listening with the real models on this machine's own voice; frames come at once."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest
from antiphon_audio import Pcm, Place, resample, wrap_frame
from antiphon_contracts import AUDIO_IN, STT_CONTROL, STT_FINAL, STT_PARTIAL, SttControl, SttFinal
from antiphon_models import ModelStore, default_root
from antiphon_runtime.testing import House
from antiphon_runtime.testing.house import Heard
from antiphon_stt import SttSettings
from antiphon_stt.wiring import build
from antiphon_tts.engine.piper_voice import Piper
from antiphon_tts.settings import TtsSettings
from numpy.typing import NDArray

pytestmark = pytest.mark.e2e

RATE_HZ = 16_000
FRAME = 1_280
PHRASE = "Okay Nabu"
# From the first sound of the phrase to its end, as this machine's voice says it.
PHRASE_MS = 700
Samples = NDArray[np.float32]


@pytest.fixture(scope="module")
def voice(tmp_path_factory: pytest.TempPathFactory) -> Piper:
    """Our own voice without its chance: it says a text always in the same way.

    With it, one time in some ten one of the words here was said so that Whisper took it for
    another.
    """
    [source] = ModelStore(default_root()).path(f"piper-{TtsSettings().voice}").glob("*.onnx")
    table = json.loads(source.with_name(f"{source.name}.json").read_text("utf-8"))
    table["inference"] |= {"noise_scale": 0.0, "noise_w": 0.0}
    weights = tmp_path_factory.mktemp("voice") / source.name
    weights.symlink_to(source)
    weights.with_name(f"{source.name}.json").write_text(json.dumps(table), "utf-8")
    engine = Piper(str(weights), ModelStore(default_root()))
    engine.load()
    return engine


def spoken(voice: Piper, text: str) -> Samples:
    """`text` as float32 at 16 kHz, without the silence around it."""
    parts = [
        resample(pcm, RATE_HZ).to_float32() for pcm in voice.synthesize(text, voice=None, speed=1.0)
    ]
    sound = np.concatenate(parts)
    loud = np.nonzero(np.abs(sound) > 0.01)[0]
    return sound[loud[0] : loud[-1]]


def quiet(seconds: float) -> Samples:
    noise = np.random.default_rng(1).normal(0, 0.0005, round(seconds * RATE_HZ))
    return noise.astype(np.float32)


def bare(text: str) -> str:
    return re.sub(r"[^a-z0-9 ]", "", text.lower()).strip()


@dataclass
class Rooms:
    house: House
    finals: Heard
    partials: Heard
    places: dict[str, int] = field(default_factory=dict)

    def sound(self, sound: Samples, site: str = "den") -> None:
        samples = Pcm.from_float32(sound, RATE_HZ).samples
        samples = np.pad(samples, (0, -len(samples) % FRAME))
        for first in range(0, len(samples), FRAME):
            place = self.places.get(site, 0)
            pcm = Pcm(samples[first : first + FRAME], RATE_HZ)
            self.house.bus.publish_raw(AUDIO_IN, wrap_frame(pcm, Place("s", place)), site=site)
            self.places[site] = place + FRAME

    def listen(self, order: SttControl, site: str = "den") -> None:
        self.house.say(STT_CONTROL, order, site_id=site)

    async def final(self, utterance: str) -> SttFinal:
        await self.finals.until(
            lambda all_: any(m.data.utterance_id == utterance for m in all_), timeout_s=60
        )
        (found,) = [m.data for m in self.finals if m.data.utterance_id == utterance]
        assert isinstance(found, SttFinal)
        return found


@asynccontextmanager
async def rooms() -> AsyncIterator[Rooms]:
    async with House() as house:
        finals, partials = await house.hear(STT_FINAL), await house.hear(STT_PARTIAL)
        await house.move_in("stt", SttSettings(), build)
        yield Rooms(house, finals, partials)


@pytest.mark.parametrize("error_ms", [-150, 0, 150])
async def test_one_breath_keeps_its_first_word_and_not_the_phrase(
    voice: Piper, error_ms: int
) -> None:
    commands = ("what time is it", "stop the music", "turn on the kitchen light")
    async with rooms() as den:
        for number, command in enumerate(commands):
            den.sound(quiet(0.5))
            begin_ms = den.places["den"] * 1000 // RATE_HZ + error_ms
            den.sound(np.concatenate((spoken(voice, f"{PHRASE}, {command}."), quiet(0.1))))
            order = SttControl(
                action="listen",
                utterance_id=str(number),
                reason="wake",
                stream="s",
                start_ms=begin_ms + PHRASE_MS,
                phrase_begin_ms=begin_ms,
                phrase="okay_nabu",
                window_s=5.0,
            )
            den.listen(order)
            den.sound(quiet(1.2))
            assert bare((await den.final(str(number))).text) == command
    assert not [m for m in den.partials if "nab" in m.data.text.lower()]


async def test_the_phrase_alone_is_followed_by_the_command(voice: Piper) -> None:
    async with rooms() as den:
        den.sound(np.concatenate((quiet(0.5), spoken(voice, PHRASE), quiet(0.2))))
        order = SttControl(
            action="listen",
            utterance_id="u",
            stream="s",
            start_ms=500 + PHRASE_MS,
            phrase_begin_ms=500,
            phrase="okay_nabu",
            window_s=5.0,
        )
        den.listen(order)
        den.sound(quiet(1.5))
        den.sound(np.concatenate((spoken(voice, "what time is it"), quiet(1.2))))
        assert bare((await den.final("u")).text) == "what time is it"


async def test_four_sites_speak_at_once(voice: Piper) -> None:
    said = {
        "attic": "what time is it",
        "bath": "stop the music",
        "cellar": "who wrote hamlet",
        "den": "turn on the kitchen light",
    }
    async with rooms() as den:
        for site, text in said.items():
            den.listen(SttControl(action="listen", utterance_id=text, window_s=5.0), site)
            den.sound(np.concatenate((quiet(0.5), spoken(voice, text), quiet(1.2))), site)
        for text in said.values():
            assert bare((await den.final(text)).text) == text
    assert {m.site_id: m.data.utterance_id for m in den.finals} == said


async def test_what_is_no_speech_opens_no_mouth() -> None:
    chance = np.random.default_rng(5)
    time_s = np.arange(4 * RATE_HZ) / RATE_HZ
    chord = sum(np.sin(2 * np.pi * hz * time_s) for hz in (262, 330, 392))
    sounds = {
        "white": chance.normal(0, 0.1, 4 * RATE_HZ),
        "loud": chance.uniform(-1, 1, 4 * RATE_HZ),
        "beep": 0.3 * np.sin(2 * np.pi * 1_000 * time_s),
        "chord": 0.1 * np.asarray(chord) * (1 + np.sin(2 * np.pi * 2 * time_s)) / 2,
    }
    async with rooms() as den:
        for site, sound in sounds.items():
            order = SttControl(action="listen", utterance_id=site, reason="open", window_s=3.0)
            den.listen(order, site)
            den.sound(sound.astype(np.float32), site)
        found = {site: await den.final(site) for site in sounds}
    assert {final.text for final in found.values()} == {""}
    assert all(final.rejected and final.detail for final in found.values())
