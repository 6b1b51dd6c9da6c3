"""A speech server with OpenAI's HTTP interface."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from antiphon_audio import Pcm, wav
from antiphon_contracts import ConfigError, EngineError
from antiphon_runtime.extras import install_command
from antiphon_runtime.upstream import shown
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from antiphon_stt.transcriber import Hints
from antiphon_stt.transcript import Segment, Transcript

if TYPE_CHECKING:
    from openai import AsyncOpenAI


class _ServerSegment(BaseModel):
    """A segment of OpenAI's `verbose_json`; servers leave figures out."""

    model_config = ConfigDict(extra="ignore")

    text: str = ""
    avg_logprob: float | None = None
    no_speech_prob: float | None = None
    compression_ratio: float | None = None
    tokens: list[int] | None = None


class _ServerAnswer(BaseModel):
    """OpenAI's `json` (only `text`) or `verbose_json`."""

    model_config = ConfigDict(extra="ignore")

    text: str
    language: str | None = None
    segments: list[_ServerSegment] | None = Field(default=None, max_length=10_000)


# OpenAI's own server writes a language's English name where others write its code.
_LANGUAGE_CODES = {
    "arabic": "ar",
    "chinese": "zh",
    "czech": "cs",
    "danish": "da",
    "dutch": "nl",
    "english": "en",
    "finnish": "fi",
    "french": "fr",
    "german": "de",
    "greek": "el",
    "hebrew": "he",
    "hindi": "hi",
    "hungarian": "hu",
    "indonesian": "id",
    "italian": "it",
    "japanese": "ja",
    "korean": "ko",
    "norwegian": "no",
    "polish": "pl",
    "portuguese": "pt",
    "romanian": "ro",
    "russian": "ru",
    "spanish": "es",
    "swedish": "sv",
    "thai": "th",
    "turkish": "tr",
    "ukrainian": "uk",
    "vietnamese": "vi",
}


class SpeechServer:
    """A server with OpenAI's `/audio/transcriptions`; see `Transcriber`.

    Args:
        base_url: what `/audio/transcriptions` is below, e.g. `https://api.openai.com/v1`.
        api_key: empty if the server wants none.
        model: name of the server's model.
        is_verbose: ask for confidence, too.
        timeout_s: for one recording.
    """

    def __init__(
        self, *, base_url: str, api_key: str, model: str, is_verbose: bool, timeout_s: float
    ) -> None:
        self.name = f"openai {model}"
        self._base_url = base_url
        self._api_key = api_key
        self._model = model
        self._is_verbose = is_verbose
        self._timeout_s = timeout_s
        self._client: AsyncOpenAI | None = None

    def load(self) -> None:
        """Make the client; nothing is sent. Blocks for about a second, mostly to import.

        Raises:
            ConfigError: the `openai` package is not installed.
        """
        try:
            from openai import AsyncOpenAI
        except ImportError as error:
            msg = f"the openai package is not installed: {install_command('stt')}"
            raise ConfigError(msg) from error
        # The client refuses an empty key, servers without keys ignore any.
        self._client = AsyncOpenAI(
            api_key=self._api_key or "none",
            base_url=self._base_url,
            timeout=self._timeout_s,
            max_retries=0,
        )

    @property
    def server(self) -> str:
        """See `antiphon_runtime.Remote`."""
        return f"The speech server at {shown(self._base_url)}"

    async def probe(self) -> None:
        """See `antiphon_runtime.Remote`: asks for the list of models; any answer will do."""
        client = self._client
        if client is not None:
            with self._translated():
                await client.models.with_raw_response.list()

    async def transcribe(self, pcm: Pcm, hints: Hints) -> Transcript:
        """See `Transcriber`.

        Raises:
            EngineError: no connection, refused, too slow, or an answer that is none;
                `retryable` if the same recording may succeed later.
        """
        client = self._client
        if client is None:
            raise EngineError("The speech server's client is not loaded.", retryable=True)
        with self._translated():
            async with asyncio.timeout(self._timeout_s):
                body = await self._ask(client, pcm, hints)
        try:
            answer = _ServerAnswer.model_validate_json(body)
        except ValidationError:
            msg = f"{self.server} gave an answer that is no transcript."
            raise EngineError(msg) from None
        return _transcript(answer, hints.language)

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def _ask(self, client: AsyncOpenAI, pcm: Pcm, hints: Hints) -> bytes:
        from openai import omit

        answer = await client.audio.transcriptions.with_raw_response.create(
            file=("speech.wav", wav.wrap(pcm), "audio/wav"),
            model=self._model,
            response_format="verbose_json" if self._is_verbose else "json",
            language=hints.language or omit,
            prompt=hints.prompt or omit,
            temperature=0.0,
        )
        return answer.content

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the client's exceptions into ours; none of them quotes what was said."""
        from openai import (
            APIConnectionError,
            APIStatusError,
            AuthenticationError,
            InternalServerError,
            NotFoundError,
            OpenAIError,
            PermissionDeniedError,
            RateLimitError,
        )

        server = self.server
        try:
            yield
        except TimeoutError as error:
            msg = f"{server} took longer than {self._timeout_s:g} s."
            raise EngineError(msg, retryable=True) from error
        except APIConnectionError as error:
            raise EngineError(f"{server} cannot be reached.", retryable=True) from error
        except (RateLimitError, InternalServerError) as error:
            raise EngineError(f"{server} has trouble or too much to do.", retryable=True) from error
        except (AuthenticationError, PermissionDeniedError) as error:
            msg = f"{server} refused the key: set ANTIPHON_STT_OPENAI_API_KEY."
            raise EngineError(msg) from error
        except NotFoundError as error:
            msg = (
                f"{server} does not know the model {self._model} or the path: "
                "see ANTIPHON_STT_OPENAI_MODEL and ANTIPHON_STT_OPENAI_BASE_URL."
            )
            raise EngineError(msg) from error
        except APIStatusError as error:
            msg = f"{server} refused the recording (HTTP {error.status_code})."
            raise EngineError(msg) from error
        except OpenAIError as error:
            raise EngineError(f"{server} could not be asked.") from error


def _transcript(answer: _ServerAnswer, hinted: str | None) -> Transcript:
    named = (answer.language or hinted or "en").lower()
    language = _LANGUAGE_CODES.get(named, named)
    if not answer.segments:
        return Transcript((Segment(answer.text),), language)
    segments = tuple(
        Segment(
            text=segment.text,
            avg_logprob=segment.avg_logprob,
            no_speech_prob=segment.no_speech_prob,
            compression_ratio=segment.compression_ratio,
            tokens=len(segment.tokens or ()) or 1,
        )
        for segment in answer.segments
    )
    return Transcript(segments, language)
