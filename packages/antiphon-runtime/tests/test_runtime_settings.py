"""Settings, and engines chosen by them."""

import importlib.metadata
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import ClassVar

import pytest
from antiphon_contracts import ConfigError
from antiphon_runtime import RuntimeSettings, Settings, engine_names, load_engine, load_settings
from antiphon_runtime.settings import config_path
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict

pytestmark = pytest.mark.unit


class ParrotSettings(Settings):
    model_config = SettingsConfigDict(env_prefix="ANTIPHON_PARROT_")
    section: ClassVar[str] = "parrot"

    voice: str = "hoarse"
    volume: int = Field(default=5, ge=0, le=10)
    words: tuple[str, ...] = ()
    api_key: SecretStr = SecretStr("")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("ANTIPHON_CONFIG", "ANTIPHON_PARROT_VOICE", "ANTIPHON_PARROT_VOLUME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def test_environment_comes_before_file_before_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert load_settings(ParrotSettings).voice == "hoarse"
    (tmp_path / "antiphon.toml").write_text('[parrot]\nvoice = "shrill"\nvolume = 7\n')
    assert load_settings(ParrotSettings).voice == "shrill"
    monkeypatch.setenv("ANTIPHON_PARROT_VOICE", "deep")
    monkeypatch.setenv("ANTIPHON_PARROT_VOLUME", "")  # empty is unset
    settings = load_settings(ParrotSettings)
    assert (settings.voice, settings.volume) == ("deep", 7)
    assert load_settings(ParrotSettings, voice="given").voice == "given"


def test_the_file_is_looked_for_in_three_places(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert config_path() is None
    in_home = tmp_path / "config" / "antiphon" / "antiphon.toml"
    in_home.parent.mkdir(parents=True)
    in_home.write_text("")
    assert config_path() == in_home
    here = tmp_path / "antiphon.toml"
    here.write_text("")
    assert config_path() == here
    named = tmp_path / "other.toml"
    monkeypatch.setenv("ANTIPHON_CONFIG", str(named))
    with pytest.raises(ConfigError, match=r"ANTIPHON_CONFIG names .*other\.toml, which is no file"):
        config_path()
    named.write_text("")
    assert config_path() == named


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[parrot]\nvioce = "x"', r"\[parrot\].*vioce"),
        ("[parrot]\nvolume = 11", "volume .*less than or equal to 10"),
        ('[parrot]\nvolume = "s3cret"', "volume"),
        ("parrot = 's3cret'", "parrot must be a table"),
        ("[parrot", "antiphon.toml cannot be read"),
        ("[parrot]\nwords = 's3cret'", "words"),
    ],
)
def test_what_is_wrong_in_the_file_is_named_and_no_value_shown(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "antiphon.toml").write_text(text)
    with pytest.raises(ConfigError, match=said) as refused:
        load_settings(ParrotSettings)
    assert "s3cret" not in str(refused.value)


def test_a_file_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "antiphon.toml").write_bytes(b"[parrot]\nvoice = '\xff'")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_settings(ParrotSettings)


@pytest.mark.parametrize(("name", "value"), [("VOLUME", "s3cret"), ("WORDS", "s3cret [")])
def test_what_is_wrong_in_the_environment_is_named_and_no_value_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"ANTIPHON_PARROT_{name}", value)
    with pytest.raises(ConfigError, match=name.lower()) as refused:
        load_settings(ParrotSettings)
    assert "s3cret" not in str(refused.value)


def test_a_secret_shows_nowhere_and_settings_are_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTIPHON_PARROT_API_KEY", "s3cret")
    settings = load_settings(ParrotSettings)
    assert settings.api_key.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(settings) + str(settings.model_dump())
    with pytest.raises(ValidationError, match="frozen"):
        settings.voice = "loud"  # type: ignore[misc]


@pytest.mark.parametrize("base", ["a/b", "", "home"])
def test_a_base_may_have_levels(base: str) -> None:
    assert load_settings(RuntimeSettings, base=base).base == base


@pytest.mark.parametrize("wrong", [{"base": "a/+"}, {"base": "/a"}, {"worker_id": "a/b"}])
def test_a_base_or_worker_id_that_would_break_topics_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        load_settings(RuntimeSettings, **wrong)


# Engines


@pytest.fixture
def parrots(monkeypatch: pytest.MonkeyPatch) -> None:
    group = "antiphon.parrots"
    points = [
        EntryPoint("polly", "pathlib:Path", group),
        EntryPoint("broken", "pathlib:NoSuchName", group),
        EntryPoint("absent", "no_such_module:x", group),
    ]
    monkeypatch.setattr(
        "antiphon_runtime.engines.entry_points",
        lambda group: importlib.metadata.EntryPoints(points).select(group=group),
    )


@pytest.mark.usefixtures("parrots")
def test_an_engine_is_found_by_its_name() -> None:
    assert engine_names("antiphon.parrots") == ["absent", "broken", "polly"]
    assert load_engine("antiphon.parrots", "polly") is Path


@pytest.mark.usefixtures("parrots")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("macaw", "no 'macaw' among the parrots; there are: absent, broken, polly"),
        ("broken", "'broken' of antiphon.parrots cannot be loaded.*NoSuchName"),
        ("absent", "'absent' of antiphon.parrots cannot be loaded.*no_such_module"),
    ],
)
def test_an_engine_that_cannot_be_had_is_a_config_error(name: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_engine("antiphon.parrots", name)


def test_a_group_without_engines_says_so() -> None:
    with pytest.raises(ConfigError, match="there are: none"):
        load_engine("antiphon.nothing", "x")
