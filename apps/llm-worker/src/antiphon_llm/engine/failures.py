"""The openai client's exceptions, translated into ours in one place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog
from antiphon_contracts import EngineError

from antiphon_llm.engine.wire import Assembly
from antiphon_llm.service.model import ToolsUnsupported

if TYPE_CHECKING:
    from openai import APIStatusError

RETRYABLE = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
BAD_REQUEST, UNAUTHORISED, FORBIDDEN, NOT_FOUND, TOO_LARGE, TOO_MANY = 400, 401, 403, 404, 413, 429

log = structlog.get_logger(__name__)


@contextmanager
def translated(
    where: str, model: str, *, answer: Assembly | None = None, with_tools: bool = False
) -> Iterator[None]:
    """Raise EngineError for whatever the client raises in the block.

    Texts of the server are not passed on: they may quote the prompt. They are logged for debugging.
    """
    import openai

    try:
        yield
    except openai.APIStatusError as error:
        log.debug("model.refused", status=error.status_code, detail=error.message)
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
    return EngineError(sentence, retryable=status in RETRYABLE)
