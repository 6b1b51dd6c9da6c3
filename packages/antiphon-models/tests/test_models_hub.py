import json
import re
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from antiphon_contracts.errors import ConfigError
from antiphon_models import ModelStore
from antiphon_models.hub import HubName, parse_hub_name
from antiphon_models.testing import CONFIG, TINY, WEIGHTS, FakeRegistry, sha256

pytestmark = pytest.mark.integration

COMMIT = TINY.hub.revision
REPOS: dict[str, dict[str, bytes]] = {
    "acme/tiny": {
        "deep/weights.bin": WEIGHTS,
        "config.json": CONFIG,
        "README.md": b"# Tiny",
    },
    "acme/choice": {
        "model.safetensors": b"weights",
        "tokenizer.json": b"{}",
        "1_Pooling/config.json": b"{}",
        "onnx/model.onnx": b"onnx",
        "pytorch_model.bin": b"a pickle",
        "modeling.py": b"a program",
        ".gitattributes": b"",
    },
    "acme/gguf": {"m.Q4.gguf": b"four", "m.Q8.gguf": b"eight", "[odd].gguf": b"odd"},
    "acme/pickles": {"pytorch_model.bin": b"a pickle"},
}


class Hub(BaseHTTPRequestHandler):
    """The few calls of the hub's HTTP interface that huggingface_hub makes for a snapshot."""

    protocol_version = "HTTP/1.1"
    corrupt = False
    gated = False
    requests: list[str]

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        type(self).requests.append(path)
        if self.gated:
            self.refuse(403, "GatedRepo")
        elif found := re.fullmatch(r"/api/models/(\w+/\w+)/(revision|tree)/([\w.]+)", path):
            self.on_listing(*found.groups())
        elif found := re.fullmatch(rf"/(\w+/\w+)/resolve/{COMMIT}/(.+)", path):
            self.on_file(*found.groups())
        else:
            self.refuse(404, "RepoNotFound")

    def on_listing(self, repo: str, kind: str, revision: str) -> None:
        if repo not in REPOS:
            self.refuse(404, "RepoNotFound")
        elif revision not in {"main", COMMIT}:
            self.refuse(404, "RevisionNotFound")
        elif kind == "tree":
            self.send_json([{"type": "file", "path": n, **b} for n, b in self.blobs(repo)])
        else:
            siblings = [{"rfilename": n, **b} for n, b in self.blobs(repo)]
            self.send_json({"id": repo, "sha": COMMIT, "siblings": siblings})

    def blobs(self, repo: str) -> Iterator[tuple[str, dict[str, object]]]:
        for name, data in REPOS[repo].items():
            blob: dict[str, object] = {"size": len(data), "oid": "a" * 40, "blobId": "a" * 40}
            if name.endswith((".gguf", ".safetensors")):
                lfs = {"sha256": sha256(data), "oid": sha256(data)}
                blob["lfs"] = {**lfs, "size": len(data), "pointerSize": 130}
            yield name, blob

    def on_file(self, repo: str, name: str) -> None:
        data = REPOS[repo][name]
        headers = {"ETag": f'"{sha256(data)}"', "X-Repo-Commit": COMMIT}
        if self.corrupt and name.endswith((".bin", ".gguf")):
            data = data[:-1] + b"?"
        self.send_body(200, data, headers)

    def send_json(self, value: object) -> None:
        self.send_body(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def refuse(self, status: int, code: str) -> None:
        self.send_body(status, b"{}", {"X-Error-Code": code, "X-Error-Message": code})

    def send_body(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  (the base's name)
        """Say nothing."""


class RunningHub:
    def __init__(self) -> None:
        self.handler: type[Hub] = type("OneHub", (Hub,), {"requests": []})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self.handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    @property
    def asked_files(self) -> set[str]:
        paths = self.handler.requests
        return {p.split(f"resolve/{COMMIT}/")[1] for p in paths if "/resolve/" in p}


@pytest.fixture
def hub() -> Iterator[RunningHub]:
    running = RunningHub()
    thread = threading.Thread(target=running.server.serve_forever, args=(0.02,))
    thread.start()
    yield running
    running.server.shutdown()
    thread.join(5)
    running.server.server_close()


def store_on(endpoint: str, root: Path, events: list[tuple[str, int, int, str]]) -> ModelStore:
    return ModelStore(
        root,
        source="hub",
        hub_endpoint=endpoint,
        catalogue={"tiny": TINY},
        downloader=FakeRegistry(),
        progress=lambda *event: events.append(event),
    )


@pytest.fixture
def store(hub: RunningHub, tmp_path: Path) -> ModelStore:
    return store_on(hub.endpoint, tmp_path, [])


def files_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_catalogued_model_comes_from_its_repository(hub: RunningHub, tmp_path: Path) -> None:
    events: list[tuple[str, int, int, str]] = []
    store = store_on(hub.endpoint, tmp_path, events)
    folder = store.fetch("tiny")
    assert files_in(folder) == {"sub/weights.bin", "config.json", "manifest.json"}
    assert (folder / "sub/weights.bin").read_bytes() == WEIGHTS
    assert hub.asked_files == {"deep/weights.bin", "config.json"}
    found = store.manifest("tiny")
    assert found is not None
    assert (found.source, found.version) == ("hub", f"acme/tiny@{COMMIT}")
    assert store.verify("tiny") == []
    assert store.path("tiny") == folder
    assert events[-1] == ("tiny", TINY.size_bytes, TINY.size_bytes, "done")
    assert [path.name for path in (tmp_path / ".fetch").iterdir()] == ["tiny.lock"]


def test_a_second_fetch_asks_nothing(hub: RunningHub, store: ModelStore) -> None:
    store.fetch("tiny")
    hub.handler.requests.clear()
    store.fetch("tiny")
    assert hub.handler.requests == []


def test_a_damaged_file_is_fetched_again(store: ModelStore) -> None:
    config = store.fetch("tiny") / "config.json"
    config.write_bytes(CONFIG[:-1] + b"?")
    assert store.verify("tiny") != []
    store.fetch("tiny")
    assert config.read_bytes() == CONFIG


def test_ones_own_choice_comes_without_pickles_and_programs(
    hub: RunningHub, store: ModelStore, tmp_path: Path
) -> None:
    folder = store.fetch("acme/choice")
    assert folder == tmp_path / "acme--choice" == store.path("acme/choice")
    assert files_in(folder) == {
        "model.safetensors",
        "tokenizer.json",
        "1_Pooling/config.json",
        "manifest.json",
    }
    assert "pytorch_model.bin" not in hub.asked_files
    assert [item.name for item in store.installed()] == ["acme/choice"]


def test_a_hub_name_goes_to_the_hub_also_in_registry_mode(hub: RunningHub, tmp_path: Path) -> None:
    store = ModelStore(tmp_path, hub_endpoint=hub.endpoint, catalogue={"tiny": TINY})
    assert (store.fetch("acme/choice") / "model.safetensors").read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("acme/gguf:*Q4.gguf", "m.Q4.gguf"),
        ("acme/gguf@main:m.Q8*", "m.Q8.gguf"),
        (f"acme/gguf@{COMMIT}:[[]odd*", "[odd].gguf"),
        ("acme/choice:onnx/*", "onnx/model.onnx"),
    ],
)
def test_a_pattern_and_a_revision_choose(store: ModelStore, name: str, file: str) -> None:
    assert files_in(store.fetch(name)) == {file, "manifest.json"}
    assert store.is_ready(name)


@pytest.mark.parametrize("name", ["tiny", "acme/gguf:*Q4.gguf"])
def test_other_bytes_than_expected_are_refused(
    hub: RunningHub, store: ModelStore, tmp_path: Path, name: str
) -> None:
    hub.handler.corrupt = True
    with pytest.raises(ConfigError, match="not the expected file"):
        store.fetch(name)
    assert all(path.suffix == ".lock" for path in tmp_path.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("acme/none", "has no model acme/none"),
        ("acme/gguf@v9", "no such revision"),
        ("acme/gguf:*.onnx", "no file that Antiphon can load"),
        ("acme/pickles", "no file that Antiphon can load"),
        ("acme/a--b", "no valid name"),
    ],
)
def test_what_is_wrong_is_said(store: ModelStore, name: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        store.fetch(name)
    assert not store.is_ready(name)


def test_a_gated_repository_asks_for_consent(hub: RunningHub, store: ModelStore) -> None:
    hub.handler.gated = True
    with pytest.raises(ConfigError, match="accept its terms"):
        store.fetch("acme/gguf")


def test_an_unreachable_hub_says_check_the_network(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        store = store_on(f"http://127.0.0.1:{closed.getsockname()[1]}", tmp_path, [])
        with pytest.raises(ConfigError, match="check the network"):
            store.fetch("tiny")


def test_names() -> None:
    assert parse_hub_name("org/repo") == HubName("org/repo", "main", "")
    assert parse_hub_name("org/repo@v1:*.gguf") == HubName("org/repo", "v1", "*.gguf")
    folders = {
        hub_name.folder
        for name in ("o/r", "o/r@v1", "o/r:*.gguf", "o/r:*.onnx", "o/r@v1:*.onnx")
        if (hub_name := parse_hub_name(name))
    }
    assert len(folders) == 5
    assert all(re.fullmatch(r"[\w.@-]+", folder) for folder in folders)
    for name in ("repo", "a/b/c", "../b", "a/..", "/a/b", "a/b@", "a/b:", "a/b:../x", "-a/b"):
        assert parse_hub_name(name) is None
