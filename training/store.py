"""A dataset while it grows: one SQLite file that many processes may append to at once.

Every append is one transaction that survives a crash or a power cut once it returns (write-ahead log,
synchronous=FULL). A sample is known by the SHA-256 of its perception, picture size and prompt, so appending
it again changes nothing. Each prompt's embedding is stored once per encoder. The write-ahead log needs a
local disk: a folder shared over the network does not do.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

from ..perception.names import is_name
from ..perception.vector import validate
from .samples import (
    EMBEDDING,
    Binding,
    Floats,
    Samples,
    StoreError,
    check_embeddings,
    check_sizes,
    check_text,
    check_texts,
    same_vector,
)
from .snapshot import Snapshot, read_binding, vector

__all__ = ["EMBEDDING", "Binding", "Samples", "Store", "StoreError", "dataset_path"]

SCHEMA_VERSION = 1
APPLICATION_ID = 0x50434C50  # "PCLP" in the file's header: this SQLite file is one of ours
BUSY_SECONDS = 60.0  # how long one writer waits for the others
MAX_NAME = 60  # characters of a dataset name, at most four bytes each: file names end at 255 bytes

_SCHEMA = """
    CREATE TABLE meta (key TEXT PRIMARY KEY, value NOT NULL) WITHOUT ROWID;
    CREATE TABLE prompts (
        id INTEGER PRIMARY KEY,
        encoder TEXT NOT NULL,
        text TEXT NOT NULL,
        embedding BLOB NOT NULL,
        UNIQUE (encoder, text)
    );
    CREATE TABLE samples (
        id INTEGER PRIMARY KEY,
        hash BLOB NOT NULL UNIQUE,
        prompt INTEGER NOT NULL REFERENCES prompts (id),
        height INTEGER NOT NULL,
        width INTEGER NOT NULL,
        "group" TEXT NOT NULL,
        source TEXT NOT NULL,
        perception BLOB NOT NULL
    );
    CREATE TABLE made (key TEXT PRIMARY KEY) WITHOUT ROWID
"""
_REMEDIES = {  # by what SQLite's message says
    "not a database": "it is not a dataset of this pack; choose another name",
    "full": "make room and run it again; what was stored before is safe",
    "locked": f"other processes kept it busy for {BUSY_SECONDS:.0f} s; run it again when they are done",
    "unable to open": "see that its folder can be written to, and that it is no folder itself",
    "readonly": "the file or its folder cannot be written to",
    "malformed": "the file is damaged; restore it from a copy",
}


def dataset_path(folder: Path, name: str) -> Path:
    """The file of the dataset `name` in `folder`.

    Raises StoreError unless the name, of up to 60 characters, is a file name on every system and cannot leave the
    folder (perception/names.py).
    """
    if not is_name(name, MAX_NAME):
        raise StoreError(
            f"{name!r} cannot be a dataset name. Use up to {MAX_NAME} letters, digits, spaces, dots, dashes "
            "and underscores, beginning with a letter and not ending with a dot or a space: 'my faces'"
        )
    return folder / f"{name}.db"


class Store:
    """An open dataset file. Use it in a `with` block, in the thread that opened it."""

    def __init__(self, path: Path, create: bool = True) -> None:
        """Open the dataset `path`, making it and its folder first if `create` and there is none.

        Raises FileNotFoundError if there is none and it may not be made, StoreError if the file is no dataset
        of this pack, is of a newer version or cannot be opened.
        """
        self.path = Path(path)
        if not create and not self.path.is_file():
            raise FileNotFoundError(f"{self.path}: there is no such dataset; make it with `python -m training build`")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._binding: Binding | None = None
        with self._reporting():
            self._connection = _connect(self.path)
        try:
            with self._reporting():
                self._open()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. What was appended is safe with or without it."""
        self._connection.close()

    def __len__(self) -> int:
        """The number of samples."""
        with self._reporting():
            return int(self._connection.execute("SELECT count(*) FROM samples").fetchone()[0])

    @property
    def binding(self) -> Binding | None:
        """What the stored samples were made with; None while there are none."""
        with self._reporting():
            return read_binding(self._connection)

    def bind(self, encoder: str, fingerprint: Tensor | None, landmarker: str, emotion_model: str) -> None:
        """State what the samples to come are made with; needed before `append`, which stores it.

        `fingerprint` (768,) is the encoder's vector for the probe sentence (`training.encoders.fingerprint`),
        None only for data from elsewhere that came without one. Raises StoreError, saying in what they differ
        and what to do, if the samples already stored were made with something else.
        """
        probe = None if fingerprint is None else check_embeddings(fingerprint[None], count=1)[0]
        binding = Binding(check_text(encoder), probe, check_text(landmarker), check_text(emotion_model))
        with self._reporting():
            self._check_binding(binding)
        self._binding = binding

    def append(
        self,
        vectors: Tensor,
        image_sizes: Tensor | None,
        prompts: Sequence[str],
        embeddings: Tensor,
        groups: Sequence[str] | None = None,
        sources: Sequence[str] | None = None,
        keys: Sequence[str] | None = None,
    ) -> int:
        """Append N samples, all or none, and return how many were new; the others were there already.

        When this returns, the samples are on the disk.

        Args:
            vectors: (N, 1441) perceptions.
            image_sizes: (N, 2) whole numbers: height and width of their pictures in pixels; None if unknown,
                and then for every sample of the dataset.
            prompts: N texts.
            embeddings: (N, 768) their text vectors, from the encoder given to `bind`.
            groups: N names of the person or clip that a sample is from, "" where unknown; None: all unknown.
            sources: N notes of where a sample is from, for people to read.
            keys: N names of what the samples are made from, if that can be told without perceiving it: a sample
                with a key that was appended before is not new, even if its numbers are rounded otherwise.

        Raises ValueError (mostly StoreError) and stores nothing for invalid perceptions, values that are not
        finite, lengths that differ, a prompt stored with quite another embedding, or a disk that is full.
        """
        if self._binding is None:
            raise StoreError(f"{self.path}: call bind() before append(), to say what the samples are made with")
        perceptions = validate(torch.as_tensor(vectors).detach().cpu()).numpy().astype("<f4")
        count = len(perceptions)
        sizes = check_sizes(image_sizes, count)
        targets = check_embeddings(embeddings, count)
        texts = check_texts(prompts, count, "prompts")
        names, notes = check_texts(groups, count, "groups"), check_texts(sources, count, "sources")
        origins = None if keys is None else check_texts(keys, count, "keys")
        new = 0
        with self._reporting(), self._transaction():
            stored = self._check_binding(self._binding)
            self._check_sizes_known(image_sizes is not None)
            for row in range(count):
                perception = perceptions[row].tobytes()
                digest = hashlib.sha256(perception + sizes[row].tobytes() + texts[row].encode()).digest()
                if origins is not None and not self._insert_key(origins[row]):
                    continue
                if self._connection.execute("SELECT 1 FROM samples WHERE hash = ?", (digest,)).fetchone():
                    continue
                if stored is None:
                    self._write_binding(self._binding)
                    stored = self._binding
                prompt = self._prompt(self._binding.encoder, texts[row], targets[row])
                self._connection.execute(
                    'INSERT INTO samples (hash, prompt, height, width, "group", source, perception)'
                    " VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (digest, prompt, *sizes[row].tolist(), names[row], notes[row], perception),
                )
                new += 1
        return new

    def has(self, key: str) -> bool:
        """Whether a sample was appended with this key."""
        with self._reporting():
            return self._connection.execute("SELECT 1 FROM made WHERE key = ?", (key,)).fetchone() is not None

    def prompts(self) -> list[str]:
        """The distinct prompts, in the order they came."""
        with self._reporting():
            rows = self._connection.execute("SELECT text FROM prompts GROUP BY text ORDER BY min(id)")
            return [text for (text,) in rows]

    def embedding_of(self, prompt: str) -> Tensor | None:
        """The stored embedding (768,) of `prompt` under the encoder given to `bind`, or None."""
        if self._binding is None:
            raise StoreError(f"{self.path}: call bind() before embedding_of(), to name the encoder")
        with self._reporting():
            row = self._connection.execute(
                "SELECT embedding FROM prompts WHERE encoder = ? AND text = ?",
                (self._binding.encoder, prompt),
            ).fetchone()
        return None if row is None else torch.from_numpy(vector(row[0]))

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """The dataset as it is at this moment, to be read column by column while others append."""
        with self._reporting():
            connection = _connect(self.path)
            try:
                connection.execute("BEGIN")
                yield Snapshot(connection)
            finally:
                connection.close()

    def iterate(self, batch: int = 1024) -> Iterator[Samples]:
        """All samples in the order they came, up to `batch` at a time, as of the moment of the first."""
        with self.snapshot() as snapshot:
            yield from snapshot.samples(batch)

    def _open(self) -> None:
        """Make the tables of a new file, or see that an existing one is ours."""
        for pragma in ("synchronous = FULL", "fullfsync = ON", "foreign_keys = ON"):
            self._connection.execute(f"PRAGMA {pragma}")
        if not self._is_dataset():
            self._use_write_ahead_log()
            with self._transaction():
                if not self._is_dataset():  # no other process has made the tables meanwhile
                    for statement in _SCHEMA.split(";"):
                        self._connection.execute(statement)
                    self._connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                    self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        version = self._pragma("user_version")
        if version != SCHEMA_VERSION:
            raise StoreError(
                f"{self.path}: a dataset of version {version}, and this pack reads version {SCHEMA_VERSION}; "
                "update the pack"
            )

    def _is_dataset(self) -> bool:
        """True for one of ours, False for an empty file; StoreError for a database of another program."""
        # In this order: another process may make the tables, and with them the id, between the two reads.
        has_tables = self._connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone() is not None
        if self._pragma("application_id") == APPLICATION_ID:
            return True
        if has_tables:
            raise StoreError(f"{self.path}: a database of another program, no dataset; choose another name")
        return False

    def _use_write_ahead_log(self) -> None:
        """Set the journal mode, which the file keeps. Here SQLite does not wait for other processes."""
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def _pragma(self, name: str) -> int:
        return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])

    def _check_binding(self, binding: Binding) -> Binding | None:
        """The stored binding, if any; StoreError if `binding` does not go with it."""
        stored = read_binding(self._connection)
        differences = [] if stored is None else stored.differences(binding)
        if differences:
            raise StoreError(
                f"{self.path}: its samples were made with the {', and the '.join(differences)}. Such samples "
                "do not mix: use another dataset name, or what this dataset was made with"
            )
        return stored

    def _check_sizes_known(self, known: bool) -> None:
        first = self._connection.execute("SELECT width > 0 FROM samples LIMIT 1").fetchone()
        if first is not None and bool(first[0]) != known:
            have, come = ("have", "come without") if first[0] else ("have no", "come with")
            raise StoreError(
                f"{self.path}: its samples {have} image sizes and the new ones {come} them; use another name"
            )

    def _write_binding(self, binding: Binding) -> None:
        values = {
            "encoder": binding.encoder,
            "fingerprint": b"" if binding.fingerprint is None else binding.fingerprint.tobytes(),
            "landmarker": binding.landmarker,
            "emotion_model": binding.emotion_model,
        }
        self._connection.executemany("INSERT INTO meta VALUES (?, ?)", values.items())

    def _insert_key(self, key: str) -> bool:
        """Remember a key; False if it was known."""
        return self._connection.execute("INSERT OR IGNORE INTO made VALUES (?)", (key,)).rowcount == 1

    def _prompt(self, encoder: str, text: str, embedding: Floats) -> int:
        """The id of a prompt under an encoder; stored now if it is new."""
        row = self._connection.execute(
            "SELECT id, embedding FROM prompts WHERE encoder = ? AND text = ?", (encoder, text)
        ).fetchone()
        if row is None:
            insert = "INSERT INTO prompts (encoder, text, embedding) VALUES (?, ?, ?)"
            return int(self._connection.execute(insert, (encoder, text, embedding.tobytes())).lastrowid or 0)
        if not same_vector(vector(row[1]), embedding):
            raise StoreError(
                f"{self.path}: the prompt {text!r} is stored with quite another embedding of the encoder "
                f"{encoder!r}; use another dataset name"
            )
        return int(row[0])

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All that the block does, or nothing; no other process writes in between."""
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Turn SQLite's errors into ones that name the file and the remedy."""
        try:
            yield
        except sqlite3.Error as error:
            reason = str(error)
            remedy = next((text for key, text in _REMEDIES.items() if key in reason), "see that the disk works")
            raise StoreError(f"{self.path}: {reason}; {remedy}") from error


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
