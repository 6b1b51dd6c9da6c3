"""The chat server: whether the language model that the settings name can be reached."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass

from antiphon_llm.settings import LlmSettings
from antiphon_runtime import load_settings

TIMEOUT_S = 3.0
MAX_LIST_BYTES = 1_000_000
UNAUTHORISED = (401, 403)


@dataclass(frozen=True, slots=True)
class Look:
    """What was found.

    Attributes:
        detail: one sentence, if all is well.
        problem: one sentence, if it is not.
        remedy: what mends it.
    """

    detail: str = ""
    problem: str = ""
    remedy: str = ""


def look() -> Look:
    """Ask the server that the settings name for its models; blocks for up to 3 s.

    Raises:
        ConfigError: the settings are wrong.
    """
    settings = load_settings(LlmSettings)
    if settings.provider == "embedded":
        return Look(f"the embedded {settings.embedded_model}")
    if settings.provider != "ollama" and settings.base_url:
        return _look_at_server(settings, settings.base_url.rstrip("/"))
    if settings.provider == "openai":
        return Look(
            problem="the provider is openai, but no server is named",
            remedy="set ANTIPHON_LLM_BASE_URL, e.g. to http://127.0.0.1:8080/v1",
        )
    return _look_at_ollama(settings)


def _look_at_server(settings: LlmSettings, url: str) -> Look:
    models = _models(f"{url}/models", settings.api_key.get_secret_value())
    if isinstance(models, int):
        if models in UNAUTHORISED:
            return Look(problem=f"{url} refuses the key", remedy="set ANTIPHON_LLM_API_KEY")
        # Some servers list no models and chat all the same.
        return Look(f"{url} answers (without a list of models: HTTP {models})")
    if models is None:
        return Look(
            problem=f"nothing answers at {url}",
            remedy="start that server, or set ANTIPHON_LLM_PROVIDER=embedded",
        )
    if settings.model and models and settings.model not in models:
        return Look(
            problem=f"{url} has no model {settings.model!r}; it has: {', '.join(models[:5])}",
            remedy="set ANTIPHON_LLM_MODEL to one of them",
        )
    return Look(f"{url} answers with {settings.model or (models or ['its model'])[0]}")


def _look_at_ollama(settings: LlmSettings) -> Look:
    url = settings.ollama_url.rstrip("/")
    models = _models(f"{url}/v1/models", "")
    there = isinstance(models, list)
    if isinstance(models, list) and models:
        if settings.model and settings.model not in models:
            return Look(
                problem=f"Ollama has no model {settings.model!r}",
                remedy=f"ollama pull {settings.model}",
            )
        return Look(f"Ollama at {url} with {settings.model or models[0]}")
    if settings.provider == "auto":
        nobody = "Ollama has no models" if there else "no Ollama answers"
        return Look(f"the embedded {settings.embedded_model} ({nobody} at {url})")
    if there:
        return Look(problem=f"Ollama at {url} has no models", remedy="ollama pull qwen3:4b")
    return Look(problem=f"no Ollama answers at {url}", remedy="ollama serve")


def _models(url: str, key: str) -> list[str] | int | None:
    """Return the models listed, the HTTP status of a refusal, or None if nobody answers."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310  (http(s) by the setting)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
            listed = json.loads(response.read(MAX_LIST_BYTES))
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    except OSError:
        return None
    except ValueError:
        return []
    entries = listed.get("data") if isinstance(listed, dict) else None
    return [str(entry.get("id")) for entry in entries or [] if isinstance(entry, dict)]
