"""The text of web pages: fetched from public addresses, read in a thread."""

from __future__ import annotations

import asyncio

from antiphon_contracts import ConfigError, EngineError
from antiphon_documents.errors import ExtractionError, FetchError
from antiphon_documents.fetching import Fetcher, FetchRules, Page
from antiphon_runtime import ModelThread
from antiphon_runtime.extras import install_command

from antiphon_tools.builtin.web import PageText
from antiphon_tools.lookup_sections import FetchSection
from antiphon_tools.tool import ToolError

MAX_PAGE_BYTES = 5_000_000
MAX_TEXT_BYTES = 50_000  # a tool's result may have 64 KiB
READ_TIMEOUT_S = 10.0


class WebPages:
    """See `antiphon_tools.builtin.web.PageReader`; two pages are read at once at most."""

    def __init__(self) -> None:
        self._thread: ModelThread | None = None
        self._room = asyncio.Semaphore(2)

    def close(self) -> None:
        """Read nothing more; what is being read in a thread ends by itself."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.close()

    async def read(self, url: str, section: FetchSection) -> PageText:
        """See the port."""
        rules = FetchRules(
            max_bytes=MAX_PAGE_BYTES,
            timeout_s=section.timeout_s,
            allow_private=section.allow_private,
        )
        try:
            async with self._room:
                async with Fetcher(rules) as fetcher:
                    page = await fetcher.fetch(url)
                if page is None:
                    raise ToolError("The page has not changed.")
                return await self._extracted(page, section.max_chars)
        except ImportError as error:
            msg = f"I cannot read web pages without {error.name}: {install_command('documents')}"
            raise ToolError(msg) from error
        except (FetchError, ExtractionError, ConfigError) as error:
            raise ToolError(str(error)) from error

    async def _extracted(self, page: Page, max_chars: int) -> PageText:
        if self._thread is None:
            self._thread = ModelThread("web_pages", queue_limit=2)
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                return await self._thread.call(_text, page, max_chars)
        except TimeoutError:
            self.close()  # that thread may never end
            raise ToolError("The page takes too long to read.") from None
        except EngineError as error:
            raise ToolError(str(error)) from error


def _text(page: Page, max_chars: int) -> PageText:
    from antiphon_documents.extraction import extract

    document = extract(page.body, content_type=page.declared_type, name=page.final_url)
    text = "\n\n".join(section.text for section in document.sections)
    cut = text[:max_chars].encode()[:MAX_TEXT_BYTES].decode(errors="ignore")
    return PageText(document.title[:300], cut, len(text) > len(cut))
