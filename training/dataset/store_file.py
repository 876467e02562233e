"""The SQLite file of a dataset: its tables, its versions, and how it is opened."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from .samples import StoreError

SCHEMA_VERSION = 3
APPLICATION_ID = 0x50434C50  # "PCLP" in the file's header: this SQLite file is one of ours
BUSY_SECONDS = 60.0  # how long one writer waits for the others
LOOK_AGAIN = (0.0005, 0.0025)  # it looks again after so many seconds
LONG = 0.05  # seconds of a transaction that others would otherwise wait for again and again
PAGE = 4096  # bytes: the smallest file and log, and larger pages append and export no faster (benchmarks/README.md)

# The perception stands last: what is behind it is slow to reach.
_SCHEMA = """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
    CREATE TABLE prompts (
        id INTEGER PRIMARY KEY,
        encoder TEXT NOT NULL,
        text TEXT NOT NULL,
        embedding BLOB NOT NULL,
        UNIQUE (encoder, text)
    );
    CREATE TABLE vectors (
        prompt INTEGER NOT NULL REFERENCES prompts (id),
        name TEXT NOT NULL,
        vector BLOB NOT NULL,
        PRIMARY KEY (prompt, name)
    ) WITHOUT ROWID;
    CREATE TABLE samples (
        id INTEGER PRIMARY KEY,
        hash BLOB NOT NULL UNIQUE,
        prompt INTEGER NOT NULL REFERENCES prompts (id),
        height INTEGER NOT NULL,
        width INTEGER NOT NULL,
        "group" TEXT NOT NULL,
        source TEXT NOT NULL,
        label TEXT NOT NULL DEFAULT '',
        split TEXT NOT NULL DEFAULT '',
        origin TEXT NOT NULL DEFAULT '',
        score REAL,
        perception BLOB NOT NULL
    );
    CREATE INDEX samples_prompt ON samples (prompt); -- counting a prompt's samples reads no sample
    CREATE TABLE done (key TEXT PRIMARY KEY, reason TEXT NOT NULL, pictures INTEGER NOT NULL) WITHOUT ROWID
"""


def connect(path: Path) -> sqlite3.Connection:
    """Open the file; transactions begin and end where they are asked to."""
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)


def open_dataset(path: Path) -> sqlite3.Connection:
    """Open the file, make the tables of a new one, and see that it is ours.

    A write-ahead log is used where the file system grants it: many network drives have no memory that processes
    share. Raises StoreError for a database of another program or a dataset of another version, sqlite3.Error for no
    database at all.
    """
    try:
        return _prepared(path, "WAL")
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or not _leave_log(path):
            raise
    return _prepared(path, "DELETE")


def _prepared(path: Path, journal: str) -> sqlite3.Connection:
    """As above; a new file gets this journal mode, if it is granted."""
    connection = connect(path)
    try:
        for pragma in ("synchronous = FULL", "fullfsync = ON", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")
        if not _is_dataset(connection, path):
            connection.execute(f"PRAGMA page_size = {PAGE}")
            _when_free(connection, f"PRAGMA journal_mode = {journal}")  # the file keeps it
            with transaction(connection):
                if not _is_dataset(connection, path):  # no other process has made the tables meanwhile
                    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    _run(connection, _SCHEMA)
        version = _pragma(connection, "user_version")
        if version != SCHEMA_VERSION:
            raise StoreError(
                f"{path}: a dataset of version {version}, and this pack reads version {SCHEMA_VERSION}; "
                f"{'update the pack' if version > SCHEMA_VERSION else 'build it again under another name'}"
            )
    except BaseException:
        connection.close()
        raise
    return connection


def _leave_log(path: Path) -> bool:
    """Go back from a write-ahead log, whose shared memory may be refused here, to a plain journal; False if that fails.

    A connection that has the file for itself needs no shared memory.
    """
    with closing(connect(path)) as connection:
        try:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            (mode,) = connection.execute("PRAGMA journal_mode = DELETE").fetchone()
        except sqlite3.Error:
            return False
    return bool(mode == "delete")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All that the block does, or nothing; no other process writes in between."""
    _when_free(connection, "BEGIN IMMEDIATE")
    start = time.monotonic()
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    if time.monotonic() - start > LONG:
        time.sleep(LOOK_AGAIN[1])  # it would be the others' turn


def _is_dataset(connection: sqlite3.Connection, path: Path) -> bool:
    """True for one of ours, False for an empty file; StoreError for a database of another program."""
    # In this order: another process may make the tables, and with them the id, between the two reads.
    has_tables = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None
    if _pragma(connection, "application_id") == APPLICATION_ID:
        return True
    if has_tables:
        raise StoreError(f"{path}: a database of another program, no dataset; choose another name")
    return False


def _when_free(connection: sqlite3.Connection, statement: str) -> None:
    """Execute what no two processes may do at once, as soon as the others let it.

    SQLite's own waiting soon looks no more than ten times a second, and would hardly ever find the moment between
    two transactions of a process that writes without a pause; for the journal mode it does not wait at all.
    """
    deadline = time.monotonic() + BUSY_SECONDS
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        while True:
            try:
                connection.execute(statement)
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(random.uniform(*LOOK_AGAIN))
    finally:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_SECONDS * 1000:.0f}")


def _run(connection: sqlite3.Connection, statements: str) -> None:
    """Make the tables, in the transaction that is open."""
    for statement in statements.split(";"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
