"""Rules of the house that no ready-made linter knows, read from the source itself.

Each rule comes with a line that breaks it, so that a rule which sees nothing fails too.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest
from antiphon_contracts import Topic, all_topics

pytestmark = pytest.mark.unit

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [*ROOT.glob("apps/*/src"), *ROOT.glob("packages/*/src")]
MAX_LINES = 400

Found = Iterator[tuple[ast.AST, str]]


@dataclass(frozen=True)
class Module:
    """A source file: its path as `package/…/module.py`, its text and its tree."""

    path: PurePosixPath
    text: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def is_engine(self) -> bool:
        return self.path.name == "engine.py" or "engine" in self.path.parent.parts


def modules() -> list[Module]:
    return [
        Module(PurePosixPath(path.relative_to(source)), path.read_text(encoding="utf-8"))
        for source in SOURCES
        for path in sorted(source.rglob("*.py"))
    ]


# What the rules look for


def _name(node: ast.AST) -> str:
    """Return a dotted name: `asyncio.create_task`; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = _name(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def _imports(module: Module) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node, f"{node.module}.{alias.name}") for alias in node.names)


def _calls(module: Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(module.tree) if isinstance(node, ast.Call))


def _texts(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """Yield every text but docstrings; what an f-string fills in reads `x`."""
    pieces: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            pieces.add(id(node.value))
        elif isinstance(node, ast.JoinedStr):
            pieces |= {id(piece) for piece in node.values}
            yield (
                node,
                "".join(
                    str(piece.value) if isinstance(piece, ast.Constant) else "x"
                    for piece in node.values
                ),
            )
    for node in ast.walk(tree):
        is_text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if is_text and id(node) not in pieces:
            yield node, str(getattr(node, "value", ""))


# The rules


def topic_strings(module: Module) -> Found:
    """No topic and no message type stands anywhere but in the contract's topics."""
    if module.path.parent == PurePosixPath("antiphon_contracts/topics"):
        return
    topics = all_topics().values()
    types = {topic.type for topic in topics if isinstance(topic, Topic)}
    for node, text in _texts(module.tree):
        path = re.sub(r"\{\w+\}|\+", "x", text.removeprefix("antiphon/"))
        is_path = "/" in text and any(topic.match(path) is not None for topic in topics)
        if is_path or text in types:
            yield node, "take the topic from antiphon_contracts: TOPIC.at(…), .filter or .type"


def environment(module: Module) -> Found:
    """Only settings.py reads the environment."""
    if module.path.name == "settings.py":
        return
    forbidden = {"os.environ", "os.environb", "os.getenv", "os.putenv", "os.path.expandvars"}
    message = "read it in settings.py, as a field of the part's Settings"
    for node in ast.walk(module.tree):
        if _name(node) in forbidden:
            yield node, message
    yield from ((node, message) for node, name in _imports(module) if name in forbidden)


def stray_tasks(module: Module) -> Found:
    """Every task lives in a TaskGroup and has a name."""
    forbidden = {
        "asyncio.create_task",
        "asyncio.ensure_future",
        "asyncio.get_event_loop",
        "asyncio.gather",
        "loop.create_task",
    }
    for call in _calls(module):
        name = _name(call.func)
        is_named = any(keyword.arg == "name" for keyword in call.keywords)
        if name in forbidden or name.endswith("get_running_loop.create_task"):
            yield call, "use a TaskGroup, or antiphon_runtime.running(name=coroutine)"
        elif name.endswith(".create_task") and not is_named:
            yield call, "give the task a name: group.create_task(…, name=…)"


# Where unknown errors end; everything else lets them pass.
BOUNDARIES = {
    "antiphon_memory/batching.py": "a foreign engine's crash goes to all who wait for the batch",
    "antiphon_documents/extraction/__init__.py": "a parser's crash on a damaged file",
    "antiphon_runtime/handlers.py": "a handler's crash becomes a refusal",
    "antiphon_runtime/paho_transport/connection.py": "paho would hand the packet over for ever",
    "antiphon_runtime/tasks.py": "a thread hands its error to the waiter",
    "antiphon_stt/guess.py": "a foreign engine's crash becomes a rejection",
    "antiphon_stt/live.py": "a window's crash becomes its final",
    "antiphon_tools/service.py": "a foreign tool's crash becomes a result",
    "antiphon_tts/service.py": "a foreign voice's crash becomes a status",
}


def broad_excepts(module: Module) -> Found:
    """Only the listed boundaries catch everything; an adapter may, if it raises at the end."""
    if str(module.path) in BOUNDARIES:
        return
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ExceptHandler):
            continue
        choices = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
        is_broad = any(c is None or _name(c) in {"Exception", "BaseException"} for c in choices)
        translates = module.is_engine and isinstance(node.body[-1], ast.Raise)
        if is_broad and not translates:
            yield node, "catch what can be raised; unknown errors belong to the message boundary"


# Where a library that computes, or talks to the world, may be imported; "engine" is any engine
# module of a worker.
LIBRARIES: dict[str, tuple[str, ...]] = {
    "faster_whisper": ("antiphon_stt/engine",),
    "ctranslate2": ("antiphon_stt/engine",),
    "piper": ("antiphon_tts/engine",),
    "sentence_transformers": ("antiphon_memory/engine",),
    "torch": ("antiphon_memory/engine",),
    "tokenizers": ("antiphon_memory/engine", "antiphon_stt/engine"),
    "onnxruntime": (
        "antiphon_memory/engine",
        "antiphon_tts/engine",
        "antiphon_runtime/onnx_session",
    ),
    "openai": (
        "antiphon_llm/engine",
        "antiphon_memory/engine",
        "antiphon_stt/engine",
        "antiphon_tts/engine",
    ),
    "voyageai": ("antiphon_memory/engine",),
    "xllamacpp": ("antiphon_llm/engine",),
    "pymicro_wakeword": ("antiphon_wake/engine",),
    "pyopen_wakeword": ("antiphon_wake/engine",),
    "sounddevice": ("antiphon_satellite/engine", "antiphon/doctor"),
    "hassil": ("antiphon_router/engine",),
    "simpleeval": ("antiphon_tools/engine",),
    "jsonschema": ("antiphon_tools/engine",),
    "pint": ("antiphon_tools/engine",),
    "httpx2": ("antiphon_tools/engine",),
    "mcp": ("antiphon_tools/engine/servers", "antiphon/mcp_server"),
    "huggingface_hub": ("antiphon_models/hub",),
    "prometheus_client": ("antiphon/metrics",),
    "paho": ("antiphon_runtime/paho_transport",),
    "amqtt": ("antiphon_runtime/broker",),
    "cryptography": ("antiphon/secure/certificates",),
    "aiosqlite": ("antiphon_memory/sqlite", "antiphon_timer/sqlite", "antiphon_tools/engine"),
    "httpcore2": ("antiphon_documents/connecting",),
    "idna": ("antiphon_documents/urls",),
    "lxml": ("antiphon_documents/extraction",),
    "protego": ("antiphon_documents/robots",),
    "pypdf": ("antiphon_documents/extraction/pdf",),
    "trafilatura": ("antiphon_documents/extraction/markup",),
    "pymilvus": ("antiphon_memory/milvus",),
    "asyncpg": ("antiphon_memory/postgres",),
    "redis": ("antiphon_memory/redis",),
}


def engine_libraries(module: Module) -> Found:
    """A library that computes is known to one adapter alone."""
    place = str(module.path.with_suffix(""))
    for node, name in _imports(module):
        library = name.partition(".")[0]
        allowed = LIBRARIES.get(library)
        if allowed is not None and not any(
            place == room or place.startswith(f"{room}/") for room in allowed
        ):
            yield node, f"{library} belongs into {' or '.join(allowed)}, behind the service's port"


def blocking_http(module: Module) -> Found:
    """Only adapters wait for the network in line, in a thread."""
    if module.path.parts[0] == "antiphon_models" or module.is_engine:
        return
    for node, name in _imports(module):
        if name.partition(".")[0] == "requests" or name.startswith("urllib.request"):
            yield node, "use an async client, or asyncio.to_thread in an engine module"


def pickles(module: Module) -> Found:
    """Nothing is unpickled from disk or bus."""
    for node, name in _imports(module):
        if name.partition(".")[0] in {"pickle", "marshal", "shelve", "dill", "joblib"}:
            yield node, "store JSON, SQLite or numpy arrays (allow_pickle=False)"


def installed_by_name(module: Module) -> Found:
    """No registry has Antiphon: what it lacks is installed from where it came from."""
    place = str(module.path.with_suffix(""))
    if place == "antiphon_runtime/extras":
        return
    for node, text in _texts(module.tree):
        if "pip install 'antiphon" in text or 'pip install "antiphon' in text:
            yield node, "name antiphon_runtime.install_command(extra)"


def unknown_extras(module: Module) -> Found:
    """Only extras that exist are told to be installed."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for call in _calls(module):
        if _name(call.func).rpartition(".")[2] == "install_command":
            for extra in call.args:
                if isinstance(extra, ast.Constant) and (
                    extra.value not in project["optional-dependencies"]
                ):
                    yield extra, f"pyproject.toml has no extra {extra.value!r}"


SAID = {"text", "transcript", "answer", "reply", "question", "prompt", "delta", "query", "words"}


def logged_words(module: Module) -> Found:
    """What people say is not logged at default level."""
    for call in _calls(module):
        head, _, level = _name(call.func).rpartition(".")
        if head not in {"log", "logger", "self._log"} or level in {"debug", "bind"}:
            continue
        if any(keyword.arg in SAID for keyword in call.keywords):
            yield call, "log its length or its id; the words themselves only by log.debug"


def long_modules(module: Module) -> Found:
    """A module that passes 400 lines becomes a folder; a list of a package's names may be long."""
    only_names = module.path.name == "__init__.py" and not re.search(
        r"^(?:async )?(?:def|class) ", module.text, flags=re.MULTILINE
    )
    if module.text.count("\n") > MAX_LINES and not only_names:
        yield module.tree, f"over {MAX_LINES} lines: make it a folder of the same name"


def vague_names(module: Module) -> Found:
    """Modules are nouns of the domain."""
    vague = {"utils", "util", "helpers", "helper", "manager", "common", "misc", "base", "core"}
    if vague & {module.path.stem, *module.path.parent.parts}:
        yield module.tree, "name the module after the thing that it is about"


def unexplained_noqa(module: Module) -> Found:
    """Silencing a linter needs a reason, the first time in a row of lines."""
    lines = module.text.splitlines()
    for number, line in enumerate(lines, start=1):
        codes = re.search(r"# noqa(: ([A-Z0-9, ]+?))?\s*(\(.+\))?$", line)
        if codes is None or codes[3]:
            continue
        earlier = re.compile(rf"# noqa: {re.escape(codes[2] or '-')}\s+\(")
        if codes[2] is None or not any(earlier.search(above) for above in lines[: number - 1]):
            yield ast.Pass(lineno=number), "write '# noqa: CODE  (reason)'"


Rule = Callable[[Module], Found]

BREAKS: dict[Rule, str] = {
    topic_strings: 'bus.send(f"antiphon/audio/{site}/in", "stt.final/1")',
    environment: 'import os\nhome = os.environ["HOME"]\nfrom os import getenv',
    stray_tasks: "asyncio.create_task(x())\ngroup.create_task(x())",
    broad_excepts: "try:\n    x()\nexcept (OSError, Exception):\n    y()\nexcept:\n    pass",
    engine_libraries: "def load():\n    from faster_whisper import WhisperModel\n    import openai",
    blocking_http: "import requests\nfrom urllib.request import urlopen",
    installed_by_name: "x = \"pip install 'antiphon[stt]'\"\ny = f\"pip install 'antiphon[{x}]'\"",
    unknown_extras: "install_command('sst')\nextras.install_command('everything')",
    pickles: "import pickle\nfrom joblib import load",
    logged_words: 'log.info("stt.final", text=text)\nself._log.warning("x", reply=reply)',
    long_modules: "\n" * (MAX_LINES + 1),
    vague_names: "",
    unexplained_noqa: "x = 1  # noqa: S101\ny = 2  # noqa",
}
KEEPS = '''
"""Speaks on `stt/final` by asyncio.create_task."""
ratio = "and/or"
group.create_task(x(), name="x")
log.info("stt.final", chars=len(text))
log.debug("stt.final", text=text)
assert x  # noqa: S101  (narrows the type)
assert y  # noqa: S101
try:
    x()
except OSError:
    pass
'''


@pytest.mark.parametrize("rule", BREAKS, ids=lambda rule: rule.__name__)
def test_the_house_keeps(rule: Rule) -> None:
    broken = [
        f"{module.path}:{getattr(node, 'lineno', 1)}: {message}"
        for module in modules()
        for node, message in rule(module)
    ]
    assert not broken, f"{rule.__doc__}\n" + "\n".join(broken)


@pytest.mark.parametrize("rule", BREAKS, ids=lambda rule: rule.__name__)
def test_the_rule_sees_what_breaks_it_and_nothing_else(rule: Rule) -> None:
    expected = 1 if rule in {long_modules, vague_names} else 2
    bad = Module(PurePosixPath("antiphon_router/utils.py"), BREAKS[rule])
    assert len({getattr(node, "lineno", 1) for node, _ in rule(bad)}) >= expected - 1
    assert len(list(rule(bad))) >= expected
    assert not list(rule(Module(PurePosixPath("antiphon_router/turns.py"), KEEPS)))


def test_an_adapter_may_translate_everything() -> None:
    text = "try:\n    x()\nexcept Exception as error:\n    raise EngineError('x') from error"
    assert not list(broad_excepts(Module(PurePosixPath("antiphon_stt/engine/whisper.py"), text)))
    assert list(broad_excepts(Module(PurePosixPath("antiphon_stt/service.py"), text)))


def test_all_sources_are_read() -> None:
    packages = {module.path.parts[0] for module in modules()}
    assert len(packages) == len(SOURCES) >= 12


# The tests themselves


def _test_files() -> list[Path]:
    places = [*ROOT.glob("apps/*/tests"), *ROOT.glob("packages/*/tests"), ROOT / "tests"]
    return sorted(path for place in places for path in place.rglob("test_*.py"))


def test_test_files_have_names_of_their_own() -> None:
    doubled = {name: n for name, n in Counter(p.name for p in _test_files()).items() if n > 1}
    assert not doubled, "prefix them with their package"


@pytest.mark.parametrize("path", _test_files(), ids=lambda path: path.name)
def test_every_test_module_says_what_it_needs(path: Path) -> None:
    marks = r"pytest\.mark\.(unit|integration|e2e|st)\b"
    assert re.search(marks, path.read_text(encoding="utf-8")), (
        "write: pytestmark = pytest.mark.unit (or integration, e2e, st)"
    )


@pytest.mark.parametrize("path", _test_files(), ids=lambda path: path.name)
def test_unit_tests_do_not_sleep(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if not re.search(r"^pytestmark = pytest\.mark\.unit\b", text, re.MULTILINE):
        return
    lines = text.splitlines()
    slept = [
        f"{path.name}:{call.lineno}"
        for call in _calls(Module(PurePosixPath(path.name), text))
        if _name(call.func) in {"asyncio.sleep", "time.sleep"}
        and not (isinstance(call.args[0], ast.Constant) and call.args[0].value == 0)
        and "noqa: ASYNC110  (" not in lines[call.lineno - 2]  # what a thread did is polled
    ]
    assert not slept, "wait for what happens (Heard.until, an Event) under asyncio.timeout"


def test_the_listed_places_are_still_there() -> None:
    assert set(BOUNDARIES) <= {str(module.path) for module in modules()}
    for module in modules():
        if str(module.path) in BOUNDARIES:
            elsewhere = Module(PurePosixPath("antiphon_router/elsewhere.py"), module.text)
            assert list(broad_excepts(elsewhere)), f"{module.path} is a boundary no more: unlist it"
