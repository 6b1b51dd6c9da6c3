"""Any OpenAI-compatible server's `/v1/audio/speech`."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from antiphon_audio import Pcm
from antiphon_contracts import ConfigError, EngineError
from antiphon_models import ModelStore
from antiphon_runtime.extras import install_command
from antiphon_runtime.upstream import shown

from antiphon_tts.engine.samples import Samples
from antiphon_tts.settings import TtsSettings

if TYPE_CHECKING:
    from openai import AsyncOpenAI

_READ_BYTES = 9_600  # 0.2 s at 24 kHz
_SLOWEST, _FASTEST = 0.25, 4.0  # what the interface allows
_CLIENT_ERROR, _SERVER_ERROR = 400, 500
_AGAIN = frozenset({408, 409, 429})


def openai(settings: TtsSettings, models: ModelStore) -> OpenAiSpeech:  # noqa: ARG001  (the factory's signature)
    """Return the server that the settings name; it is not called yet."""
    return OpenAiSpeech(settings)


class OpenAiSpeech:
    """See `antiphon_tts.voice.Synthesizer`. The sound comes while the server makes it."""

    def __init__(self, settings: TtsSettings) -> None:
        self.name = f"openai {settings.openai_model} {settings.openai_voice}"
        self.rate_hz = settings.openai_rate_hz
        self.language = ""  # such voices read figures well, in any language
        self._settings = settings
        self._client: AsyncOpenAI | None = None

    async def load(self) -> None:
        """Make the client; the server is not asked, it may come later.

        Raises:
            ConfigError: the client is not installed.
        """
        try:
            from openai import AsyncOpenAI
        except ImportError as error:
            msg = f"the openai client is not installed: {install_command('tts')}"
            raise ConfigError(msg) from error
        self._client = AsyncOpenAI(
            base_url=self._settings.openai_base_url,
            # The client insists on a key; local servers want none.
            api_key=self._settings.openai_api_key.get_secret_value() or "none",
            timeout=self._settings.openai_timeout_s,
            max_retries=0,
        )

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def synthesize(self, text: str, *, voice: str | None, speed: float) -> AsyncIterator[Pcm]:
        """Yield the sound as it comes, 0.2 s at a time.

        Raises:
            EngineError: the server is away, refused, or broke off.
        """
        settings, client = self._settings, self._client
        if client is None:
            msg = "The speech server's client is closed."
            raise EngineError(msg)
        samples = Samples(settings.openai_rate_hz if settings.openai_format == "pcm" else None)
        with self._translated():
            async with client.audio.speech.with_streaming_response.create(
                model=settings.openai_model,
                voice=voice or settings.openai_voice,
                input=text,
                response_format=settings.openai_format,
                speed=min(max(speed, _SLOWEST), _FASTEST),
            ) as response:
                async for data in response.iter_bytes(_READ_BYTES):
                    sound = samples.push(data)
                    if sound is not None:
                        yield sound

    @property
    def server(self) -> str:
        """See `antiphon_runtime.Remote`."""
        return f"The speech server at {shown(self._settings.openai_base_url)}"

    async def probe(self) -> None:
        """See `antiphon_runtime.Remote`: asks for the list of models; any answer will do."""
        if self._client is not None:
            with self._translated():
                await self._client.models.with_raw_response.list()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the client's exceptions into ours."""
        import openai

        try:
            yield
        except openai.APIStatusError as error:
            raise _refused(error.status_code) from error
        except openai.APITimeoutError as error:
            msg = f"The speech server said nothing for {self._settings.openai_timeout_s:g} s."
            raise EngineError(msg, retryable=True) from error
        except openai.OpenAIError as error:
            msg = "The speech server cannot be reached; check openai_base_url in [tts]."
            raise EngineError(msg, retryable=True) from error
        except _transport_errors() as error:
            # Raised while the sound is read, which the client leaves untranslated.
            msg = "The speech server broke off in the middle."
            raise EngineError(msg, retryable=True) from error


def _refused(status: int) -> EngineError:
    retryable = status >= _SERVER_ERROR or status in _AGAIN
    mend = "try again later" if retryable else "check the key, model and voice in [tts]"
    return EngineError(f"The speech server refused (HTTP {status}); {mend}.", retryable=retryable)


def _transport_errors() -> tuple[type[Exception], ...]:
    """Return the base errors of the HTTP libraries on which the client's versions are built."""
    installed = [name for name in ("httpx2", "httpx") if importlib.util.find_spec(name)]
    return tuple(importlib.import_module(name).HTTPError for name in installed)
