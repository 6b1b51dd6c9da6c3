"""The cross-encoder engine, on models that are 350 bytes long.

`data/pairs_*.onnx` were made with the `onnx` package: the logit is the sum of the second text's
token ids (`input_ids * attention_mask * token_type_ids`); `no_yes` gives that with either sign,
`three` in three columns.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from antiphon_contracts import ConfigError, EngineError
from antiphon_memory.engine import OnnxReranker, cross_encoder
from antiphon_memory.engine.onnx_reranker import MAX_TOKENS
from antiphon_memory.reranking import Reranking
from antiphon_memory.service import Candidate, Memory
from antiphon_memory.settings import MemorySettings
from antiphon_memory.testing import NoteBook
from antiphon_models import ModelStore
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

pytestmark = pytest.mark.integration

DATA = Path(__file__).parent / "data"
WORDS = {"[CLS]": 0, "one": 1, "two": 2, "three": 3, "[SEP]": 4, "?": 5, "[PAD]": 6}


def model(folder: Path, kind: str = "score", *, file: str = "model.onnx") -> Path:
    """Put a model into the folder; its tokens are the words one, two and three."""
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(DATA / f"pairs_{kind}.onnx", folder / file)
    tokenizer = Tokenizer(WordLevel(WORDS, unk_token="?"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", WORDS["[CLS]"]), ("[SEP]", WORDS["[SEP]"])],
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def loaded(folder: Path) -> OnnxReranker:
    settings = MemorySettings(reranker_model=str(folder))
    engine = cross_encoder(settings, ModelStore(folder / "none"))
    engine.load()
    return engine


@pytest.mark.parametrize(("kind", "times"), [("score", 1), ("no_yes", 2)])
@pytest.mark.parametrize("file", ["model.onnx", "onnx/model.onnx"])
def test_each_text_is_read_with_the_question_and_scores_come_in_the_texts_order(
    tmp_path: Path, kind: str, times: int, file: str
) -> None:
    engine = loaded(model(tmp_path, kind, file=file))
    texts = ["three three", "one", "two two two", "who", *["one two"] * 10, "one one one one"]
    expected = [6, 1, 6, 5, *[3] * 10, 4]  # and 4 of the separator
    assert engine.scores("three three three", texts) == [times * (4 + score) for score in expected]
    assert engine.scores("one", []) == []
    engine.close()


def test_what_is_too_long_is_cut(tmp_path: Path) -> None:
    (score,) = loaded(model(tmp_path)).scores("one", ["one " * 1000])
    assert score == (MAX_TOKENS - 4) + 4


def test_what_is_no_cross_encoder_says_so(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="is no cross-encoder"):
        loaded(model(tmp_path, "three"))


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="ANTIPHON_MEMORY_RERANKER_MODEL"):
        cross_encoder(MemorySettings(), ModelStore(tmp_path)).load()
    with pytest.raises(ConfigError, match=r"onnx/model\.onnx"):
        loaded(tmp_path)
    shutil.copy(DATA / "pairs_score.onnx", tmp_path / "model.onnx")
    with pytest.raises(ConfigError, match="cannot be loaded"):
        loaded(tmp_path)
    (model(tmp_path) / "model.onnx").write_bytes(b"no model")
    with pytest.raises(ConfigError, match="do not load"):
        loaded(tmp_path)


def test_one_that_was_not_loaded_or_is_closed_is_an_engine_error(tmp_path: Path) -> None:
    engine = loaded(model(tmp_path))
    engine.close()
    with pytest.raises(EngineError, match="not loaded"):
        engine.scores("one", ["two"])


async def test_in_its_thread_it_puts_the_best_first(tmp_path: Path) -> None:
    def found(texts: Sequence[str]) -> list[Candidate]:
        return [Candidate(Memory(text, text, "user", "household", 1.0), 0.5) for text in texts]

    settings = MemorySettings(reranker_model=str(model(tmp_path)))
    notes = NoteBook()
    reranking = Reranking(cross_encoder(settings, ModelStore(tmp_path)), notes, timeout_s=10)
    async with asyncio.timeout(30), reranking.open():
        await reranking.ready.wait()
        best = await reranking.reordered("?", found(["one", "three", "two"]))
    assert [one.memory.text for one in best] == ["three", "two", "one"]
    assert notes == {}
