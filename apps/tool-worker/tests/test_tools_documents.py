"""The examples for people: every one of them is read as the tool worker would read it."""

import asyncio
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from antiphon_contracts import BusError
from antiphon_tools.builtin.home_assistant import Exposed
from antiphon_tools.builtin.home_plan import plan_of
from antiphon_tools.offering import REQUESTS
from antiphon_tools.tools_file import ToolsFile, read_tools_file

pytestmark = pytest.mark.unit

DOCS = Path(__file__).resolve().parents[3] / "docs"


class NoBus:
    async def request(self, *_args: Any, **_more: Any) -> Any:
        raise BusError("nobody is there")

    def publish_elsewhere(self, topic: str, payload: bytes) -> asyncio.Future[None]:
        raise BusError("nobody is there")


def examples(name: str) -> list[str]:
    text = (DOCS / name).read_text(encoding="utf-8")
    return re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)


@pytest.mark.parametrize("name", ["home.md", "builtin-tools.md"])
def test_examples_can_be_followed(name: str, tmp_path: Path) -> None:
    found = examples(name)
    assert found
    for text in found:
        path = tmp_path / "tools.toml"
        path.write_text(text, encoding="utf-8")
        plan_of(read_tools_file(path), Exposed(), NoBus(), "antiphon")


def test_the_complete_example_offers_what_the_page_says() -> None:
    file = ToolsFile.model_validate(tomllib.loads(examples("home.md")[0]))
    plan = plan_of(file, Exposed(), NoBus(), "antiphon")
    said = {"desk lamp", "led strip", "blind", "office", "study lights", "all lights", "downstairs"}
    assert said <= plan.targets.keys()
    assert set(plan.scenes) == {"film night", "good night"}


def test_every_request_of_our_tools_is_declared_once() -> None:
    assert len(set(REQUESTS)) == len(REQUESTS) == 5
