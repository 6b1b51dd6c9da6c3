"""The openai client's exceptions, translated into ours in one place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog
from antiphon_contracts import EngineError
from antiphon_runtime.upstream import Later

from antiphon_llm.engine.wire import Assembly
from antiphon_llm.service.model import ToolsUnsupported

if TYPE_CHECKING:
    from openai import APIStatusError

RETRYABLE = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
BAD_REQUEST, UNAUTHORISED, FORBIDDEN, NOT_FOUND, TOO_LARGE = 400, 401, 403, 404, 413
UNPROCESSABLE, TOO_MANY = 422, 429

OPTIONAL = (
    "stream_options",
    "max_completion_tokens",
    "max_tokens",
    "temperature",
    "stop",
    "reasoning_effort",
    "repeat_penalty",
    "repetition_penalty",
)
"""Parameters that an answer can do without; where one name is in another, the longer comes first.
"""

MAX_RETRY_AFTER_S = 3600.0

log = structlog.get_logger(__name__)


class ParameterRefused(EngineError):  # noqa: N818  (a finding about the server)
    """The server does not take a parameter that an answer can do without.

    Attributes:
        name: the parameter.
    """

    def __init__(self, name: str, where: str) -> None:
        super().__init__(f"The language model at {where} does not take {name}.")
        self.name = name


@contextmanager
def translated(
    where: str,
    model: str,
    *,
    answer: Assembly | None = None,
    with_tools: bool = False,
    sent: Iterable[str] = (),
) -> Iterator[None]:
    """Raise EngineError for whatever the client raises in the block; `sent` are its parameters.

    Texts of the server are not passed on: they may quote the prompt. They are logged for debugging.
    """
    import openai

    try:
        yield
    except openai.APIStatusError as error:
        log.debug("model.refused", status=error.status_code, detail=error.message)
        refused = _refused(error, sent)
        if refused:
            raise ParameterRefused(refused, where) from error
        raise _from_status(error, where, model, with_tools=with_tools) from error
    except openai.APIConnectionError as error:
        log.debug("model.unreachable", detail=repr(error.__cause__))
        begun = answer is not None and answer.begun
        what = "broke off its answer" if begun else "does not answer"
        msg = f"The language model at {where} {what}."
        raise EngineError(msg, retryable=True) from error
    except openai.OpenAIError as error:
        log.debug("model.failed", detail=repr(error))
        msg = f"The language model at {where} failed while it was answering."
        raise EngineError(msg, retryable=True) from error
    except ValueError as error:  # a stream that is no JSON
        log.debug("model.garbled", detail=repr(error))
        msg = f"The server at {where} does not speak as a language model does."
        raise EngineError(msg) from error


def _from_status(error: APIStatusError, where: str, model: str, *, with_tools: bool) -> EngineError:
    status, text = error.status_code, error.message.lower()
    if status in {BAD_REQUEST, TOO_LARGE} and "context" in text:
        return EngineError("The conversation is too long for the language model.")
    if status == BAD_REQUEST and with_tools and "tool" in text:
        return ToolsUnsupported(f"The language model at {where} takes no tools.")
    if status == TOO_MANY and error.code == "insufficient_quota":
        return EngineError(f"The account at {where} has no credit left.")
    sentences = {
        UNAUTHORISED: f"The language model at {where} refused the key; check api_key.",
        FORBIDDEN: f"The language model at {where} refused the key; check api_key.",
        NOT_FOUND: f"There is no model {model!r} at {where}; check model and base_url.",
        TOO_MANY: f"The language model at {where} has too much to do just now.",
    }
    sentence = sentences.get(
        status, f"The language model at {where} could not answer (HTTP {status})."
    )
    after_s = _retry_after_s(error)
    if status in RETRYABLE and after_s is not None:
        return Later(sentence, after_s)
    return EngineError(sentence, retryable=status in RETRYABLE)


def _refused(error: APIStatusError, sent: Iterable[str]) -> str:
    """Return the parameter that the server complains of; empty if it is none of the optional."""
    if error.status_code not in {BAD_REQUEST, UNPROCESSABLE}:
        return ""
    named = getattr(error, "param", None)
    text = f"{named or ''} {error.message}"
    known = set(sent)
    return next(
        (n for n in OPTIONAL if n in known and (n == named or re.search(rf"\b{n}\b", text))), ""
    )


def _retry_after_s(error: APIStatusError) -> float | None:
    """Return what the server says of when to come again; None if it says nothing in seconds."""
    try:
        after_s = float(error.response.headers.get("retry-after", ""))
    except ValueError:
        return None
    return min(max(0.0, after_s), MAX_RETRY_AFTER_S)
