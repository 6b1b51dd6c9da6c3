"""The collections in a Milvus database.

One collection, whose name begins with `antiphon_memories`, has the memories: with a sparse vector
that the server makes of their words (BM25), and with the vector of their meaning. Vectors of
another model have another length, so another model gets a new collection; which one counts is
noted in `antiphon_seen`, beside what messages did.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from antiphon_contracts import new_id
from pymilvus import DataType, Function, FunctionType, MilvusClient

from antiphon_memory.milvus.rows import MAX_BYTES, MAX_ID_BYTES, quoted

MEMORIES = "antiphon_memories"
SEEN = "antiphon_seen"
SHELF_NOTE = "antiphon:shelf"
NEVER = 1e300
"""The time of a note that is never pruned."""

SCHEMA_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Shelf:
    """The collection of memories that counts.

    Attributes:
        collection: its name.
        model: whose vectors it has; empty is none.
        dimension: their length; 0 is none.
    """

    collection: str
    model: str = ""
    dimension: int = 0


def opened(client: MilvusClient) -> Shelf:
    """Make what is missing, drop what a crash left behind, and return what counts."""
    if not client.has_collection(SEEN):
        _make_seen(client)
    _load(client, SEEN)
    noted = client.query(
        SEEN,
        filter=f"message_id == {quoted(SHELF_NOTE)}",
        output_fields=["outcome"],
        timeout=SCHEMA_TIMEOUT_S,
    )
    shelf = Shelf(**json.loads(noted[0]["outcome"])) if noted else Shelf(MEMORIES)
    if not client.has_collection(shelf.collection):
        _make_memories(client, shelf)
    _load(client, shelf.collection)
    drop_others(client, shelf)
    return shelf


def another(client: MilvusClient, model: str, dimension: int) -> Shelf:
    """Make an empty collection for the vectors of a model."""
    shelf = Shelf(f"{MEMORIES}_{new_id().replace('-', '')}", model, dimension)
    _make_memories(client, shelf)
    _load(client, shelf.collection)
    return shelf


def note_of(shelf: Shelf) -> dict[str, object]:
    """Return the row of `antiphon_seen` that makes this collection the one that counts."""
    return {
        "message_id": SHELF_NOTE,
        "outcome": json.dumps(asdict(shelf)),
        "is_pending": False,
        "ts": NEVER,
        "nothing": [0.0, 0.0],
    }


def drop_others(client: MilvusClient, shelf: Shelf) -> None:
    """Drop the collections of memories that do not count any more."""
    for name in client.list_collections():
        if name.startswith(MEMORIES) and name != shelf.collection:
            client.drop_collection(name, timeout=SCHEMA_TIMEOUT_S)


def _make_seen(client: MilvusClient) -> None:
    schema = MilvusClient.create_schema(auto_id=False)
    schema.add_field("message_id", DataType.VARCHAR, is_primary=True, max_length=MAX_ID_BYTES)
    schema.add_field("outcome", DataType.VARCHAR, max_length=MAX_BYTES)
    schema.add_field("is_pending", DataType.BOOL)
    schema.add_field("ts", DataType.DOUBLE)
    schema.add_field("nothing", DataType.FLOAT_VECTOR, dim=2)  # every collection must have one
    index = MilvusClient.prepare_index_params()
    index.add_index(field_name="nothing", index_type="FLAT", metric_type="L2")
    _create(client, SEEN, schema, index)


def _make_memories(client: MilvusClient, shelf: Shelf) -> None:
    schema = MilvusClient.create_schema(auto_id=False)
    schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=MAX_ID_BYTES)
    for name in ("text", "source", "scope"):
        schema.add_field(name, DataType.VARCHAR, max_length=MAX_BYTES)
    schema.add_field("words", DataType.VARCHAR, max_length=MAX_BYTES, enable_analyzer=True)
    schema.add_field("ts", DataType.DOUBLE)
    schema.add_field("digest", DataType.VARCHAR, max_length=64)
    for name in ("superseded_by", "message_id"):
        schema.add_field(name, DataType.VARCHAR, max_length=MAX_ID_BYTES)
    schema.add_field("is_embedded", DataType.BOOL)
    schema.add_field("by_words", DataType.SPARSE_FLOAT_VECTOR)
    schema.add_function(
        Function(
            name="bm25",
            function_type=FunctionType.BM25,
            input_field_names=["words"],
            output_field_names=["by_words"],
        )
    )
    index = MilvusClient.prepare_index_params()
    index.add_index(field_name="by_words", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
    index.add_index(field_name="digest", index_type="INVERTED")
    if shelf.dimension:
        schema.add_field("by_meaning", DataType.FLOAT_VECTOR, dim=shelf.dimension)
        index.add_index(field_name="by_meaning", index_type="AUTOINDEX", metric_type="IP")
    _create(client, shelf.collection, schema, index)


def _create(client: MilvusClient, name: str, schema: object, index: object) -> None:
    # One shard: a batch is one entry in the server's log, so all of it is written or nothing.
    client.create_collection(
        name,
        schema=schema,
        index_params=index,
        num_shards=1,
        consistency_level="Strong",
        timeout=SCHEMA_TIMEOUT_S,
    )


def _load(client: MilvusClient, name: str) -> None:
    client.load_collection(name, timeout=SCHEMA_TIMEOUT_S)
