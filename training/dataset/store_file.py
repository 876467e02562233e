"""The SQLite file of a dataset: its tables, its version, and how to open it."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from .samples import StoreError

SCHEMA_VERSION = 4
APPLICATION_ID = 0x50434C50  # "PCLP" in the file's header marks a dataset of this pack
BUSY_SECONDS = 60.0  # how long one writer waits for the others
LOOK_AGAIN = (0.0005, 0.0025)  # range of seconds between two tries
LONG = 0.05  # seconds: after a longer transaction, a writer pauses so that others get their turn
PAGE = 4096  # bytes: this gives the smallest file and log; larger pages are not faster (benchmarks/README.md)

# Perceptions have a table of their own: otherwise the small columns would be scattered over the whole file.
_SCHEMA = f"""
    PRAGMA application_id = {APPLICATION_ID};
    PRAGMA user_version = {SCHEMA_VERSION};
    CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
    CREATE TABLE prompts (
        id INTEGER PRIMARY KEY,
        encoder TEXT NOT NULL,
        text TEXT NOT NULL,
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
        sample_key BLOB NOT NULL UNIQUE,
        prompt INTEGER NOT NULL REFERENCES prompts (id),
        height INTEGER NOT NULL,
        width INTEGER NOT NULL,
        "group" TEXT NOT NULL,
        source TEXT NOT NULL,
        label TEXT NOT NULL,
        split TEXT NOT NULL,
        origin TEXT NOT NULL,
        score REAL
    );
    CREATE TABLE perceptions (id INTEGER PRIMARY KEY REFERENCES samples (id), vector BLOB NOT NULL);
    CREATE INDEX samples_prompt ON samples (prompt); -- counting a prompt's samples reads no sample
    CREATE TABLE processed (key TEXT PRIMARY KEY, reason TEXT NOT NULL, pictures INTEGER NOT NULL) WITHOUT ROWID
"""


def connect(path: Path) -> sqlite3.Connection:
    """Return a connection to the file; transactions must be started and ended explicitly."""
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)


def open_or_create(path: Path) -> sqlite3.Connection:
    """Return a connection to the file, after creating the tables of a new file and checking that it is a dataset.

    A write-ahead log is used if the file system supports it: many network drives have no memory that processes can
    share. Raises StoreError for a database of another program or a dataset of another version, sqlite3.Error if the
    file is not a database.
    """
    try:
        return _prepared(path, "WAL")
    except sqlite3.OperationalError as error:
        if "locked" in str(error) or not _leave_log(path):
            raise
    return _prepared(path, "DELETE")


def _prepared(path: Path, journal: str) -> sqlite3.Connection:
    """Open the file as `open_or_create` does; a new file gets the journal mode `journal` if it is supported."""
    connection = connect(path)
    try:
        for pragma in ("synchronous = FULL", "fullfsync = ON", "foreign_keys = ON"):
            connection.execute(f"PRAGMA {pragma}")
        if not _is_dataset(connection, path):
            connection.execute(f"PRAGMA page_size = {PAGE}")
            _when_free(connection, f"PRAGMA journal_mode = {journal}")  # stored in the file
            with transaction(connection):
                if not _is_dataset(connection, path):  # no other process has created the tables meanwhile
                    for statement in _SCHEMA.split(";"):
                        connection.execute(statement)
        version = _pragma(connection, "user_version")
        if version != SCHEMA_VERSION:
            raise StoreError(
                f"{path}: the dataset has version {version}, but this pack reads version {SCHEMA_VERSION}; "
                f"{'update the pack' if version > SCHEMA_VERSION else 'build it again under another name'}"
            )
    except BaseException:
        connection.close()
        raise
    return connection


def _leave_log(path: Path) -> bool:
    """Switch from a write-ahead log, whose shared memory may be unavailable, to a plain journal; False if that fails.

    A connection with exclusive access to the file needs no shared memory.
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
    """Run the block as one transaction: all of it or nothing is stored, and no other process writes in between."""
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
        time.sleep(LOOK_AGAIN[1])  # gives other processes their turn


def _is_dataset(connection: sqlite3.Connection, path: Path) -> bool:
    """Return True for a dataset, False for an empty file. Raises StoreError for a database of another program."""
    # The order matters: another process may create the tables, and with them the id, between the two reads.
    has_tables = connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None
    if _pragma(connection, "application_id") == APPLICATION_ID:
        return True
    if has_tables:
        raise StoreError(f"{path}: this is a database of another program, not a dataset; choose another name")
    return False


def _when_free(connection: sqlite3.Connection, statement: str) -> None:
    """Execute a statement that needs exclusive access as soon as the other processes allow it.

    SQLite itself soon retries only ten times a second, and would almost never find the moment between two
    transactions of a process that writes continuously; for the journal mode it does not wait at all.
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


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
