"""Questions with known answers, to measure by how often memory finds the answer.

Two sets. `household` is in `data/household.tsv`: 218 facts as somebody says them at home, and a
question about each in other words, written for this benchmark. `faq` is public: the English half of
the Swedish Construction FAQ, 503 questions that house owners ask and the answers to them (Zaragoza
AB, CC-BY-4.0, https://doi.org/10.5281/zenodo.19630803). It is fetched as a registry pack, checked
by its SHA-256, and not kept in this repository. Questions are not stored, only answers are.

Every other question is for trying things out (`dev`); the rest (`held out`) is only looked at when
something was chosen, so that what was chosen to fit is not told as what is to be expected.
"""

from __future__ import annotations

import csv
import json
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from antiphon_contracts import ConfigError
from antiphon_models import PipDownloader
from antiphon_models.catalog import Pack
from antiphon_models.manifest import hash_of

HOUSEHOLD = Path(__file__).parent / "data" / "household.tsv"
FAQ = Pack(
    "zaragoza-construction-faq",
    "1.2.1",
    "716a1999dd5ad8494c6a4e47d3510f017aa767ea9e55d3b348b0ad70b0e8d3d7",
    566_661,
)
FAQ_MEMBER = "zaragoza_construction_faq/data/faq-en.jsonl"
HALVES = ("dev", "held out")
KINDS = ("in its words", "by name", "in other words")


@dataclass(frozen=True)
class Question:
    """One question, of what kind it is, and the places of what answers it."""

    text: str
    kind: str
    answers: frozenset[int]


@dataclass(frozen=True)
class QuestionSet:
    """Texts to store, and questions about them."""

    texts: tuple[str, ...]
    questions: tuple[Question, ...]

    def half(self, name: str) -> list[Question]:
        """Return the questions of one of `HALVES`: those about every other text."""
        return [
            one for one in self.questions if min(one.answers) % len(HALVES) == HALVES.index(name)
        ]


def of_rows(rows: Iterable[tuple[str, str, str]]) -> QuestionSet:
    """Return the set of rows of text, kind of question, and question.

    A text that stands twice is stored once; a question that stands twice has several answers.
    """
    places: dict[str, int] = {}
    answers: dict[tuple[str, str], set[int]] = defaultdict(set)
    for text, kind, question in rows:
        answers[question, kind].add(places.setdefault(text, len(places)))
    questions = (Question(*asked, frozenset(found)) for asked, found in answers.items())
    return QuestionSet(tuple(places), tuple(questions))


def household() -> QuestionSet:
    """Return the household's facts."""
    with HOUSEHOLD.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return of_rows((row["fact"], kind, row[kind]) for row in rows for kind in KINDS if row[kind])


def faq() -> QuestionSet:
    """Return the public questions; they are downloaded.

    Raises:
        ConfigError: they cannot be had, or are not the pinned ones.
    """
    with tempfile.TemporaryDirectory() as folder:
        PipDownloader(timeout_s=300.0)(FAQ, Path(folder))
        wheels = list(Path(folder).glob("*.whl"))
        if len(wheels) != 1 or hash_of(wheels[0]) != FAQ.sha256:
            msg = f"{FAQ.name}=={FAQ.version} is not the pinned file: its SHA-256 differs."
            raise ConfigError(msg)
        with zipfile.ZipFile(wheels[0]) as archive:
            lines = archive.read(FAQ_MEMBER).decode().splitlines()
    rows = [json.loads(line) for line in lines]
    return of_rows((row["a"], "asked", row["q"]) for row in rows)


SETS: Mapping[str, Callable[[], QuestionSet]] = MappingProxyType(
    {"faq": faq, "household": household}
)
