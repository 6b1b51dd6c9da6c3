"""The persona file: into the prompts, onto the bus, and what happens when it is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from antiphon_contracts import HEALTH, LLM_REQUEST, PERSONA, ConfigError, LlmRequest, Persona
from antiphon_llm.engine import persona_file
from antiphon_llm.engine.persona_file import PersonaFile, read_persona
from antiphon_llm.service import PersonaCard, SmallProfile
from antiphon_llm.settings import LlmSettings
from antiphon_llm.testing import ScriptedModel, brain_of, end
from antiphon_runtime.testing import House
from antiphon_runtime.testing.house import Heard

pytestmark = pytest.mark.unit

MARVIN = """
name = "Marvin"
style = "You are gloomy, but helpful."
voice = "en_US-joe-medium"
language = "en"

[[examples]]
user = "How are you?"
assistant = "Life. Don't talk to me about life."
"""


@asynccontextmanager
async def house_of(
    path: Path, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[House, Heard]]:
    monkeypatch.setattr(persona_file, "LOOK_EVERY_S", 0.01)
    settings = LlmSettings(persona=path, context_timeout_s=0.5, history_tokens=0)
    async with asyncio.timeout(20), House(requests=[LLM_REQUEST]) as house:
        personas = await house.hear(PERSONA)
        await house.move_in("llm", settings, brain_of(model, history_tokens=0))
        yield house, personas


async def ask(house: House) -> None:
    request = LlmRequest(text="Well?", use_rag=False)
    await house.bus.request(LLM_REQUEST, request, timeout_s=5)


async def test_a_persona_begins_every_prompt_and_is_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "persona.toml"
    path.write_text(MARVIN)
    model = ScriptedModel(["Hm.", end()])
    async with house_of(path, model, monkeypatch) as (house, personas):
        await personas.until(1)
        await ask(house)

    assert personas[-1].data == Persona(name="Marvin", voice="en_US-joe-medium", language="en")
    system, asked, answered, *_ = model.prompts[0].messages
    assert system.content.startswith("You are Marvin, a voice assistant")
    assert "gloomy" in system.content
    assert "Always answer in English." in system.content
    assert (asked.content, answered.content[:5]) == ("How are you?", "Life.")


async def test_a_change_is_worn_without_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "persona.toml"
    path.write_text(MARVIN)
    model = ScriptedModel(["Hm.", end()])
    async with house_of(path, model, monkeypatch) as (house, personas):
        await personas.until(1)
        path.write_text('name = "Ada"')
        await personas.until(lambda seen: seen[-1].data.name == "Ada")
        await ask(house)

    assert model.prompts[0].messages[0].content.startswith("You are Ada,")
    assert len(model.prompts[0].messages) == 2


async def test_a_wrong_file_changes_nothing_and_stands_in_health_until_it_is_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "persona.toml"
    path.write_text(MARVIN)
    model = ScriptedModel(["Hm.", end()])
    async with house_of(path, model, monkeypatch) as (house, personas):
        heard = await house.hear(HEALTH)
        path.write_text("name = Marvin the second")
        await heard.until(lambda seen: bool(seen) and bool(seen[-1].data.notes))
        note = heard[-1].data.notes[0]
        await ask(house)
        path.write_text(MARVIN.replace("Marvin", "Marvin the second"))
        await personas.until(lambda seen: seen[-1].data.name == "Marvin the second")
        await heard.until(lambda seen: seen[-1].data.state == "ready")

    assert "is no TOML" in note
    assert model.prompts[0].messages[0].content.startswith("You are Marvin, a")


async def test_nobody_in_particular_is_published_too() -> None:
    model = ScriptedModel()
    async with asyncio.timeout(10), House() as house:
        personas = await house.hear(PERSONA)
        await house.move_in("llm", LlmSettings(), brain_of(model))
        await personas.until(1)

    assert personas[0].data == Persona()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name = [", "is no TOML"),
        ("nome = 'x'", r"nome \(Extra inputs"),
        ("language = 'the Queen\\'s'", "is no TOML"),
        ("language = 'German, please'", "language"),
        ("examples = [{user = 'a'}]", "examples.0.assistant"),
        ("style = '" + "x" * 70_000 + "'", "larger than 64 KB"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "persona.toml"
    path.write_text(text)

    with pytest.raises(ConfigError, match=sentence):
        read_persona(path)


async def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read: No such file"):
        await PersonaFile(tmp_path / "none.toml").read()


def test_the_small_prompt_wears_it_too() -> None:
    profile = SmallProfile()
    profile.persona = PersonaCard("Ada", "Be kind.", language="de", examples=(("Hi", "Hello."),))

    system, *rest = profile.prefix()

    assert system.content.startswith("Your name is Ada. You are a helpful voice assistant.")
    assert system.content.endswith("Be kind. Always answer in German.")
    assert [message.content for message in rest[-2:]] == ["Hi", "Hello."]


def test_the_example_of_the_documentation_is_right(tmp_path: Path) -> None:
    page = Path(__file__).parents[3] / "docs" / "persona.md"
    example = page.read_text(encoding="utf-8").partition("```toml\n")[2].partition("```")[0]
    path = tmp_path / "persona.toml"
    path.write_text(example)

    card = read_persona(path)

    assert card.name
    assert card.examples
