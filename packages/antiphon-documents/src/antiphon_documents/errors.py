"""What goes wrong with documents: each text is one sentence for people."""

from __future__ import annotations

from antiphon_contracts import AntiphonError


class FetchError(AntiphonError):
    """An address may not be fetched, or could not be.

    Attributes:
        status: the HTTP status that the server answered with, if it answered.
        retryable: whether the same call may succeed later.
    """

    def __init__(self, message: str, *, status: int | None = None, retryable: bool = False) -> None:
        super().__init__(message)
        self.status = status
        self.retryable = retryable


class ForbiddenAddress(FetchError):  # noqa: N818  (the address is what is wrong)
    """The address is one that is never fetched: private, special, or no plain web address."""


class ExtractionError(AntiphonError):
    """No text can be had from a document: what it is, or what is wrong with it."""


class DeniedByRobots(FetchError):  # noqa: N818  (says who denied it)
    """The site's robots.txt asks programs to leave the page alone."""
