"""Documents: fetched safely, read, cut into chunks; sites crawled politely."""

from __future__ import annotations

from antiphon_documents.chunking import Chunk, chunks, estimated_tokens
from antiphon_documents.crawling import CrawlRules, FetchFailure, crawl
from antiphon_documents.errors import DeniedByRobots, ExtractionError, FetchError, ForbiddenAddress
from antiphon_documents.extraction import (
    KINDS,
    MAX_CHARS,
    Document,
    Kind,
    Section,
    extract,
    kind_of,
)
from antiphon_documents.fetching import Fetcher, FetchRules, Page, Resolver

__all__ = [
    "KINDS",
    "MAX_CHARS",
    "Chunk",
    "CrawlRules",
    "DeniedByRobots",
    "Document",
    "ExtractionError",
    "FetchError",
    "FetchFailure",
    "FetchRules",
    "Fetcher",
    "ForbiddenAddress",
    "Kind",
    "Page",
    "Resolver",
    "Section",
    "chunks",
    "crawl",
    "estimated_tokens",
    "extract",
    "kind_of",
]
