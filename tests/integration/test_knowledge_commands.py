"""`antiphon knowledge` as people run it: real commands, broker and memory worker."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import orjson
import pytest
from antiphon_runtime.broker import embedded_broker
from chaos import environment_of, worker_process
from loopback_web import Reply, web
from made_documents import docx, epub, pdf

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

HOST = "127.0.0.2"
Run = Callable[..., Coroutine[Any, Any, tuple[int, str, str]]]


@pytest.fixture
async def antiphon(tmp_path: Path) -> AsyncIterator[Run]:
    """Run `antiphon knowledge …` in a process of its own."""
    async with embedded_broker(tmp_path / "broker", persistence=False) as broker:
        environment = environment_of(
            broker.address,
            ANTIPHON_DATA_DIR=str(tmp_path / "data"),
            ANTIPHON_MODELS_DIR=str(tmp_path / "no models"),
            ANTIPHON_MEMORY_DOCUMENT_BYTES="600000",
            ANTIPHON_MEMORY_FETCH_ALLOW=f'["{HOST}"]',
            COLUMNS="200",
        )

        async def run(*arguments: str, given: bytes = b"") -> tuple[int, str, str]:
            command = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "antiphon", "knowledge", *arguments),
                env=environment,
                cwd=tmp_path,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
            )
            out, err = await command.communicate(given)
            return command.returncode or 0, out.decode(), err.decode()

        async with worker_process("antiphon_memory", tmp_path / "log", environment):
            yield run


async def test_documents_of_every_kind_from_the_first_to_the_last(
    antiphon: Run, tmp_path: Path
) -> None:
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    (shelf / "sea.pdf").write_bytes(pdf(["The whale surfaced.", "The harpoon sank."], title="Sea"))
    chapter = "<h1>Tea</h1><p>Oolong wants ninety degrees.</p>"
    (shelf / "tea.epub").write_bytes(epub({"one.xhtml": chapter}, title="All about tea"))
    (shelf / "lease.docx").write_bytes(docx(["The rent is due on Friday."], title="Lease"))
    (shelf / "notes.md").write_text("# Garden\n\n## Roses\n\nCut the roses in March.\n")
    (shelf / "photo.jpg").write_bytes(b"\xff\xd8")
    code, out, err = await antiphon("add", "shelf")
    assert (code, err) == (0, "")
    assert [line.split(":")[0] for line in out.splitlines()] == [
        "Lease", "Garden", "Sea", "All about tea",
    ]  # fmt: skip
    assert (await antiphon("add", "shelf/notes.md"))[1] == "Garden: unchanged\n"
    for question, words, place in (
        ("where did the harpoon go", "harpoon sank", "sea.pdf page 2"),
        ("oolong degrees", "ninety", "tea.epub"),
        ("when is the rent due", "Friday", "lease.docx"),
        ("when are roses cut", "March", "notes.md #roses"),
    ):
        code, out, _ = await antiphon("search", question)
        assert words in out, question
        assert place in out
    (shelf / "notes.md").write_text("# Garden\n\n## Roses\n\nCut the roses in April.\n")
    assert "1 new, 1 gone" in (await antiphon("add", "shelf/notes.md"))[1]
    listed = orjson.loads((await antiphon("list", "--json"))[1])
    assert [one["title"] for one in listed] == ["Lease", "Garden", "Sea", "All about tea"]
    code, out, _ = await antiphon("remove", "garden", given=b"n\n")
    assert "nothing was removed" in out
    code, out, _ = await antiphon("remove", "garden", "--yes")
    assert (code, out) == (0, "removed: Garden\n")
    assert (await antiphon("search", "when are roses cut"))[1] == "nothing found\n"


async def test_pages_and_standard_input(antiphon: Run) -> None:
    body = b"<html><body><main><h1>Shop</h1><p>We open at nine.</p></main></body></html>"
    html = {"Content-Type": "text/html", "ETag": '"1"'}
    async with web({"/": Reply(body, headers=html)}, host=HOST) as served:
        assert (await antiphon("add", served.root))[:2] == (0, "Shop: chunks: 1 new\n")
        served.pages["/"] = Reply(status=304)
        assert (await antiphon("refresh"))[:2] == (0, "Shop: unchanged\n")
        assert served.heard[-1][1]["if-none-match"] == '"1"'
        code, _, err = await antiphon("add", f"{served.root}/gone")
        assert (code, "404" in err) == (1, True)
    code, out, _ = await antiphon("add", "-", "--title", "Rules", given=b"No shoes inside.")
    assert (code, out) == (0, "Rules: chunks: 1 new\n")
    assert "No shoes" in (await antiphon("search", "shoes inside"))[1]


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("scan.pdf", pdf([""]), "text"),
        ("noise.txt", b"\x00\x01" * 99, "no document that can be read"),
        ("long.txt", b"word " * 130_000, "`document_bytes` in [memory]"),
    ],
)
async def test_what_cannot_be_read_is_said_with_what_mends_it(
    antiphon: Run, tmp_path: Path, name: str, body: bytes, words: str
) -> None:
    (tmp_path / name).write_bytes(body)
    code, out, err = await antiphon("add", name)
    assert (code, out) == (1, "")
    assert words in err


async def test_a_private_address_is_refused(antiphon: Run) -> None:
    code, _, err = await antiphon("add", "http://127.0.0.1:8123/secret")
    assert code == 1
    assert "`fetch_allow` in [memory]" in err
