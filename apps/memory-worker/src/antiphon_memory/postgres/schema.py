"""What is in the database, and how it is made and brought up to date."""

from __future__ import annotations

from antiphon_contracts import ConfigError, EngineError
from asyncpg import exceptions as pg

from antiphon_memory.postgres.server import Connection, PostgresServer

VERSION = 1
MIGRATION_TIMEOUT_S = 3600.0

# `fold` drops accents. Vectors and words have columns made apart: their types are a choice.
_TABLES = r"""
CREATE FUNCTION antiphon.fold(text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS
    $$ SELECT regexp_replace(normalize($1, NFKD), '[\u0300-\u036f]', '', 'g') $$;
CREATE TABLE antiphon.memories (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id text COLLATE "C" NOT NULL UNIQUE,
    text text NOT NULL,
    source text NOT NULL,
    scope text NOT NULL,
    ts double precision NOT NULL,
    digest bytea NOT NULL,
    change bigint NOT NULL,
    superseded_by text COLLATE "C"
);
CREATE UNIQUE INDEX memories_by_text ON antiphon.memories (scope, digest)
    WHERE superseded_by IS NULL;
CREATE INDEX memories_superseded ON antiphon.memories (superseded_by)
    WHERE superseded_by IS NOT NULL;
CREATE INDEX memories_by_ts ON antiphon.memories (ts DESC, number DESC);
CREATE SEQUENCE antiphon.changes;
CREATE TABLE antiphon.seen (
    message_id text PRIMARY KEY, ids text[] NOT NULL, replaced text[] NOT NULL,
    count bigint NOT NULL, ts double precision NOT NULL
);
CREATE TABLE antiphon.meta (key text PRIMARY KEY, value text NOT NULL);
"""
_NEW_VECTORS = """
ALTER TABLE antiphon.memories DROP COLUMN IF EXISTS embedding CASCADE;
ALTER TABLE antiphon.memories ADD COLUMN embedding {type};
CREATE INDEX memories_unembedded ON antiphon.memories (number)
    WHERE embedding IS NULL AND superseded_by IS NULL;
CREATE INDEX memories_by_change ON antiphon.memories (change) WHERE embedding IS NOT NULL;
DELETE FROM antiphon.meta WHERE key IN ('model', 'dimension');
"""
# The language is a name that the server knows, quoted by the server.
_NEW_WORDS = """
ALTER TABLE antiphon.memories DROP COLUMN IF EXISTS words CASCADE;
ALTER TABLE antiphon.memories ADD COLUMN words tsvector NOT NULL
    GENERATED ALWAYS AS (to_tsvector({language}::regconfig, antiphon.fold(text))) STORED;
CREATE INDEX memories_by_word ON antiphon.memories USING gin (words);
"""
_PUT = (
    "INSERT INTO antiphon.meta (key, value) VALUES ($1, $2)"
    " ON CONFLICT (key) DO UPDATE SET value = excluded.value"
)


async def prepare(server: PostgresServer, language: str) -> bool:
    """Make what is missing in the database; return whether it keeps vectors in pgvector.

    Raises:
        ConfigError: the server fails, has no such language, or holds a newer Antiphon's tables.
    """
    try:
        has_pgvector = await _add_pgvector(server)
        async with server.transaction() as db:
            await _make(db, language, vectors="vector" if has_pgvector else "bytea")
    except EngineError as error:
        raise ConfigError(str(error)) from error
    return has_pgvector


async def _add_pgvector(server: PostgresServer) -> bool:
    async with server.connection() as db:
        state = await db.fetchrow(
            "SELECT installed_version FROM pg_available_extensions WHERE name = 'vector'"
        )
        if state is None:
            return False
        if state["installed_version"] is None:
            try:
                await db.execute("CREATE EXTENSION IF NOT EXISTS vector SCHEMA public")
            except (pg.InsufficientPrivilegeError, pg.UniqueViolationError):
                # Only the server's master may, or another process just did.
                return bool(await db.fetchval("SELECT to_regtype('vector') IS NOT NULL"))
        return True


async def _make(db: Connection, language: str, *, vectors: str) -> None:
    if not await db.fetchval("SELECT to_regclass('antiphon.meta') IS NOT NULL"):
        await db.execute("CREATE SCHEMA IF NOT EXISTS antiphon")
        await db.execute(_TABLES)
        await db.execute(_PUT, "version", str(VERSION))
    meta = await read_meta(db)
    if int(meta["version"]) > VERSION:
        msg = "The database is of a newer Antiphon; install that one, or choose another database"
        raise ConfigError(msg)
    if meta.get("vectors") != vectors:
        await db.execute(_NEW_VECTORS.format(type=vectors), timeout=MIGRATION_TIMEOUT_S)
        await db.execute(_PUT, "vectors", vectors)
    if meta.get("language") != language:
        known = await db.fetchval(
            "SELECT quote_literal(cfgname) FROM pg_ts_config WHERE cfgname = $1", language
        )
        if known is None:
            msg = f"PostgreSQL has no text search for {language!r}; set postgres_language to simple"
            raise ConfigError(msg)
        await db.execute(_NEW_WORDS.format(language=known), timeout=MIGRATION_TIMEOUT_S)
        await db.execute(_PUT, "language", language)


async def read_meta(db: Connection) -> dict[str, str]:
    """Return what is noted about the database."""
    return {row["key"]: row["value"] for row in await db.fetch("SELECT * FROM antiphon.meta")}


async def adopt(db: Connection, name: str, dimension: int) -> None:
    """Drop the vectors of another model, in a transaction."""
    meta = await read_meta(db)
    if (meta.get("model"), meta.get("dimension")) != (name, str(dimension)):
        await db.execute(
            "UPDATE antiphon.memories SET embedding = NULL WHERE embedding IS NOT NULL",
            timeout=MIGRATION_TIMEOUT_S,
        )
        await db.execute(_PUT, "model", name)
        await db.execute(_PUT, "dimension", str(dimension))
