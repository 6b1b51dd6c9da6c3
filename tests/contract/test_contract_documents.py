"""The generated documents are current, true, and complete."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
from antiphon_contracts import (
    CONTROL,
    DEAD,
    DEAD_RETRY,
    WORKERS,
    Payload,
    RequestTopic,
    __version__,
    all_topics,
)
from antiphon_contracts.documentation import documents
from antiphon_contracts.documentation.__main__ import main
from antiphon_contracts.documentation.docstrings import field_texts, summary
from antiphon_contracts.documentation.examples import typed_topics
from antiphon_contracts.documentation.schemas import payload_models

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs/contract"
MAKE = "run: .venv/bin/python -m antiphon_contracts.documentation"


def _json(path: Path) -> dict[str, Any]:
    node: dict[str, Any] = orjson.loads(path.read_bytes())
    return node


def test_the_documents_are_current() -> None:
    for name, text in documents(__version__).items():
        path = ROOT / name
        assert path.is_file(), f"{name} is missing; {MAKE}"
        assert path.read_text(encoding="utf-8") == text, f"{name} has drifted; {MAKE}"


def test_no_document_is_left_over() -> None:
    found = {str(path.relative_to(ROOT)) for path in FOLDER.rglob("*") if path.is_file()}
    assert found == set(documents(__version__)), f"{MAKE}"


@pytest.mark.parametrize("model", payload_models(), ids=lambda model: model.__name__)
def test_every_field_is_documented_and_no_other(model: type[Payload]) -> None:
    assert summary(model).endswith(".")
    assert list(field_texts(model)) != []
    assert set(field_texts(model)) == set(model.model_fields), (
        f"'Attributes:' of {model.__name__} must name each of its fields"
    )


@pytest.mark.parametrize(
    "path", sorted((FOLDER / "schemas").glob("*.*.json")), ids=lambda p: p.stem
)
def test_a_schema_takes_the_golden_message_and_refuses_an_empty_one(path: Path) -> None:
    schema = _json(path)
    jsonschema.Draft202012Validator.check_schema(schema)
    golden = _json(ROOT / "tests/contract/golden" / path.name)
    data = golden if path.name.startswith("plain.") else golden["data"]
    jsonschema.validate(data, schema)
    for name in schema.get("required", []):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({k: v for k, v in data.items() if k != name}, schema)


def test_the_envelope_schema_takes_every_golden_message() -> None:
    schema = _json(FOLDER / "schemas/envelope.json")
    for path in (ROOT / "tests/contract/golden").glob("*.1.json"):
        jsonschema.validate(_json(path), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"id": "1", "type": "x/1", "data": {}, "site_id": "a/b"}, schema)


def test_asyncapi_has_every_topic_and_no_dead_reference() -> None:
    document = _json(FOLDER / "asyncapi.json")
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert addresses == {f"antiphon/{topic.pattern}" for topic in all_topics().values()}
    references = re.findall(r'"\$ref":\s*"#/([^"]+)"', (FOLDER / "asyncapi.json").read_text())
    assert len(references) > 100
    for reference in references:
        node: Any = document
        for key in reference.split("/"):
            node = node[key]


def test_asyncapi_says_where_a_request_is_answered() -> None:
    operations = _json(FOLDER / "asyncapi.json")["operations"]
    reply = operations["send_memory_query"]["reply"]
    assert reply == {"channel": {"$ref": "#/channels/memory_results"}}
    requests = [t for t in all_topics().values() if isinstance(t, RequestTopic)]
    assert sum("reply" in operation for operation in operations.values()) == len(requests)


def test_the_page_marks_what_is_reserved() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    reserved = {topic.pattern for topic in all_topics().values() if topic.reserved}
    marked = re.findall(r"### `(.+)`\n\n\*\*Reserved", page)
    assert set(marked) == reserved
    assert reserved == set()


def test_links_within_the_page_lead_somewhere() -> None:
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    headings = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}
    links = set(re.findall(r"\]\(#([^)]+)\)", page))
    assert len(links) > len(typed_topics())
    assert links <= anchors
    for target in re.findall(r"\]\(([^#)][^)]*)\)", page):
        assert (FOLDER / target).exists(), target


@pytest.mark.parametrize("name", all_topics())
def test_a_topic_says_who_speaks_to_whom(name: str) -> None:
    topic = all_topics()[name]
    assert topic.flow.senders
    assert topic.flow.receivers
    assert topic.addressed == (topic in {CONTROL, DEAD, DEAD_RETRY})
    assert topic.summary.endswith(".")
    assert topic.qos in {0, 1}
    if isinstance(topic, RequestTopic):
        assert topic.flow.receivers in WORKERS, f"{name} is answered by no worker"
        assert len(topic.flow.receivers) == 1, f"one kind of worker answers {name}"
        assert topic.flow.receivers == topic.reply.flow.senders, f"who answers {name}?"
        assert topic.flow.senders in topic.reply.flow.receivers, f"who reads {name}'s answer?"
        assert topic.qos == topic.reply.qos == 1
        assert not topic.retain


def test_the_generator_writes_a_checkout_and_keeps_golden_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["docs", "--root", str(tmp_path)])
    assert "is no checkout" in capsys.readouterr().err
    (tmp_path / "pyproject.toml").touch()
    stale = tmp_path / "docs/contract/schemas/gone.1.json"
    stale.parent.mkdir(parents=True)
    stale.touch()
    assert main(["docs", "--root", str(tmp_path)]) == 0
    assert not stale.exists()
    assert (tmp_path / "docs/contract/README.md").read_text() == (FOLDER / "README.md").read_text()
    assert main(["golden", "--root", str(tmp_path)]) == 0
    golden = tmp_path / "tests/contract/golden/stt.final.1.json"
    golden.write_bytes(b"old")
    capsys.readouterr()
    assert main(["golden", "--root", str(tmp_path)]) == 0
    assert golden.read_bytes() == b"old"
    assert "stt.final.1.json differs" in capsys.readouterr().out
