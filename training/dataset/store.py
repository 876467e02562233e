"""A growing dataset: one SQLite file that many processes may append to at the same time.

Every append is one transaction that survives a crash or a power cut once it returns (synchronous=FULL). A sample is
identified by the origin of its face, its prompt, and the models that all samples of the dataset share. So appending it
again changes nothing, however its numbers were rounded. Each prompt's embedding is stored once per encoder. If the
file system supports a write-ahead log, readers and writers do not wait for each other; many network drives do not
support it, and there they take turns.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...common.files import is_name
from ...projection.spaces import ADDED_TARGETS, SD15
from .samples import Floats, Provenance, Samples, StoreError, check_text, same_vector
from .snapshot import BATCH, Snapshot, array, read_provenance
from .store_file import BUSY_SECONDS, connect, open_or_create, transaction

MAX_NAME = 60  # characters of a dataset name, at most four bytes each: file names are limited to 255 bytes

_REMEDIES = {  # by a part of SQLite's message
    "not a database": "it is not a dataset of this pack; choose another name",
    "full": "free some disk space and run it again; everything stored so far is safe",
    "locked": f"other processes kept it busy for {BUSY_SECONDS:.0f} s; run it again when they are done",
    "unable to open": "check that its folder is writable and that it is not a folder itself",
    "readonly": "the file or its folder is not writable; change its permissions or use another folder",
    "malformed": "the file is damaged; restore it from a backup",
}


@dataclass(frozen=True)
class Processed:
    """The result for a picture or clip that need not be processed again."""

    reason: str  # why it produced no sample, or fewer samples than it has pictures; "" if there is none
    pictures: int = 1  # the number of its pictures, including unreadable ones


def dataset_path(folder: Path, name: str) -> Path:
    """Return the path of the dataset `name` in `folder`.

    Raises StoreError unless the name has at most 60 characters, is a valid file name on every system and cannot leave
    the folder (common/files.py).
    """
    if not is_name(name, MAX_NAME):
        raise StoreError(
            f"{name!r} cannot be a dataset name. Use up to {MAX_NAME} letters, digits, spaces, dots, dashes and "
            "underscores; start with a letter, digit or underscore and do not end with a dot or a space: 'my faces'"
        )
    return folder / f"{name}.db"


class Store:
    """An open dataset file. Use it in a `with` block, in the thread that opened it."""

    def __init__(self, path: Path, create: bool = True) -> None:
        """Open the dataset `path`; if it does not exist and `create` is true, create it and its folder.

        Raises StoreError if it does not exist and `create` is false, or if the file is not a dataset of this pack, has
        another version or cannot be opened.
        """
        self.path = Path(path)
        if not create and not self.path.is_file():
            raise StoreError(f"{self.path}: there is no such dataset; create it with `python -m training build`")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._declared: Provenance | None = None
        with self._reporting():
            self._connection = open_or_create(self.path)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. Appended samples are safe even without this call."""
        self._connection.close()

    def __len__(self) -> int:
        """Return the number of samples."""
        with self._reporting():
            return int(self._connection.execute("SELECT count(*) FROM samples").fetchone()[0])

    @property
    def provenance(self) -> Provenance | None:
        """The models that the stored samples were created with; None if there are no samples."""
        with self._reporting():
            return read_provenance(self._connection)

    def set_provenance(
        self,
        encoder: str,
        fingerprint: Tensor | Floats | None,
        landmarker: str,
        emotion_model: str,
        space: str = SD15.name,
    ) -> None:
        """Declare the models of the samples to append; required before `append`, which stores them.

        `fingerprint` is the encoder's (`training.encoders.base.fingerprint`), None only for data from elsewhere that
        has none; `space` is a key of `projection.spaces.ADDED_TARGETS`. Raises StoreError, naming the differences and
        the remedy, if the stored samples were created with other models.
        """
        vector = None if fingerprint is None else np.asarray(fingerprint, dtype="<f4")
        provenance = Provenance(encoder, vector, landmarker, emotion_model, space)
        provenance.check()
        with self._reporting():
            self._check_provenance(provenance)
        self._declared = provenance

    def append(self, samples: Samples) -> int:
        """Append the samples, all or none, and return the number of new ones; the others were already in the dataset.

        When this returns, the samples are on the disk. A sample is not new if its origin was appended before with the
        same prompt, even if its numbers are rounded differently. A face without an origin is identified by its
        numbers, which are copied, not computed. The embeddings must be from the encoder passed to `set_provenance`.

        Raises ValueError (mostly StoreError) and stores nothing for invalid perceptions, values that are not
        finite, lengths that differ, a prompt stored with a different embedding, or a full disk.
        """
        provenance = self._require_provenance("append")
        samples.check(provenance.space)
        new = 0
        with self._reporting(), transaction(self._connection):
            if not self._check_provenance(provenance) and len(samples):
                self._write_provenance(provenance)
            self._check_sizes_known(samples)
            for row in range(len(samples)):
                new += self._insert(samples, row, provenance.encoder)
        return new

    def has(self, origin: str, prompt: str) -> bool:
        """Return whether there is a sample of the face of this origin with this prompt."""
        with self._reporting():
            return self._has(sample_key(origin.encode(), prompt))

    def mark_processed(self, processed: Mapping[str, Processed]) -> None:
        """Store what need not be processed again, each under its own key."""
        with self._reporting(), transaction(self._connection):
            for key, result in processed.items():
                check_text(key)
                values = (key, result.reason, result.pictures)
                self._connection.execute("INSERT OR REPLACE INTO processed VALUES (?, ?, ?)", values)

    def processed(self, key: str) -> Processed | None:
        """Return what `mark_processed` stored under `key`; None if nothing."""
        with self._reporting():
            row = self._select("SELECT reason, pictures FROM processed WHERE key = ?", key)
            return None if row is None else Processed(*row)

    def vectors_of(self, prompt: str) -> tuple[Tensor, dict[str, Tensor]] | None:
        """Return the stored embedding (768,) of `prompt` and its `added_targets`; None if it is not stored.

        The subject's vectors are missing if they were not stored with the prompt.
        """
        provenance = self._require_provenance("vectors_of")
        with self._reporting():
            stored = self._targets(self._number(prompt, provenance.encoder))
        targets = {name: torch.from_numpy(vector) for name, vector in stored.items()}
        if not targets.keys() >= {"embeddings", *ADDED_TARGETS[provenance.space]}:
            return None
        return targets.pop("embeddings"), targets

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Yield the dataset as it is at this moment, for reading column by column while others append."""
        with self._reporting():
            connection = connect(self.path)
            try:
                connection.execute("BEGIN")
                yield Snapshot(connection)
            finally:
                connection.close()

    def iterate(self, batch: int = BATCH) -> Iterator[Samples]:
        """Yield all samples in order, up to `batch` at a time, as of the moment of the first."""
        with self.snapshot() as snapshot:
            yield from snapshot.samples(batch)

    def _select(self, query: str, *values: object) -> tuple[Any, ...] | None:
        """Return the first row that a query finds; None if there is none."""
        row: tuple[Any, ...] | None = self._connection.execute(query, values).fetchone()
        return row

    def _has(self, key: bytes) -> bool:
        return self._select("SELECT 1 FROM samples WHERE sample_key = ?", key) is not None

    def _require_provenance(self, caller: str) -> Provenance:
        if self._declared is None:
            raise StoreError(f"{self.path}: call set_provenance() before {caller}(), to declare the models")
        return self._declared

    def _check_provenance(self, provenance: Provenance) -> bool:
        """Return whether any is stored. Raises StoreError if it does not match `provenance`."""
        stored = read_provenance(self._connection)
        differences = [] if stored is None else stored.differences(provenance)
        if differences:
            raise StoreError(
                f"{self.path}: its samples were made with the {', and the '.join(differences)}. Samples of different "
                "models cannot be mixed: use another dataset name, or the models of this dataset"
            )
        return stored is not None

    def _write_provenance(self, provenance: Provenance) -> None:
        values = vars(provenance).copy()
        values["fingerprint"] = b"" if provenance.fingerprint is None else provenance.fingerprint.tobytes()
        self._connection.executemany("INSERT INTO meta VALUES (?, ?)", values.items())

    def _check_sizes_known(self, samples: Samples) -> None:
        first = self._select("SELECT width > 0 FROM samples LIMIT 1")
        if first is not None and len(samples) and bool(first[0]) != samples.has_image_sizes:
            have, come = ("have", "have none") if first[0] else ("have no", "have them")
            raise StoreError(
                f"{self.path}: its samples {have} image sizes, but the new ones {come}; use another dataset name"
            )

    def _insert(self, samples: Samples, row: int, encoder: str) -> bool:
        """Insert a sample unless the dataset has it; return whether it is new."""
        perception, size = samples.perceptions[row].astype("<f4").tobytes(), samples.image_sizes[row].astype("<i4")
        prompt, origin, score = samples.prompts[row], samples.origins[row], float(samples.scores[row])
        key = sample_key(origin.encode() or perception + size.tobytes(), prompt)
        if self._has(key):
            return False
        values = {
            "sample_key": key,
            "prompt": self._prompt(prompt, encoder, {name: value[row] for name, value in samples.targets().items()}),
            "height": int(size[0]),
            "width": int(size[1]),
            "group": samples.groups[row],
            "source": samples.sources[row],
            "label": samples.labels[row],
            "split": samples.splits[row],
            "origin": origin,
            "score": None if np.isnan(score) else score,
        }
        columns = ", ".join(f'"{name}"' for name in values)
        self._connection.execute(
            f"INSERT INTO samples ({columns}) VALUES ({', '.join('?' * len(values))})", tuple(values.values())
        )
        self._connection.execute("INSERT INTO perceptions VALUES (last_insert_rowid(), ?)", (perception,))
        return True

    def _prompt(self, text: str, encoder: str, targets: Mapping[str, Floats]) -> int | None:
        """Return the number of the prompt under the encoder; vectors that it does not have yet are stored."""
        number = self._number(text, encoder)
        stored = self._targets(number)
        if any(not same_vector(stored[name], targets[name]) for name in stored.keys() & targets.keys()):
            raise StoreError(
                f"{self.path}: the prompt {text!r} is stored with a different embedding of the encoder {encoder!r}; "
                "use another dataset name"
            )
        if number is None:
            insert = "INSERT INTO prompts (encoder, text) VALUES (?, ?)"
            number = self._connection.execute(insert, (encoder, text)).lastrowid
        new = {name: vector for name, vector in targets.items() if name not in stored}
        rows = [(number, name, vector.astype("<f4").tobytes()) for name, vector in new.items()]
        self._connection.executemany("INSERT INTO vectors VALUES (?, ?, ?)", rows)
        return number

    def _number(self, text: str, encoder: str) -> int | None:
        """Return the number of the prompt under the encoder; None if it is not stored."""
        row = self._select("SELECT id FROM prompts WHERE encoder = ? AND text = ?", encoder, text)
        return None if row is None else int(row[0])

    def _targets(self, number: int | None) -> dict[str, Floats]:
        """Return the stored vectors of the prompt by name."""
        rows = self._connection.execute("SELECT name, vector FROM vectors WHERE prompt = ?", (number,))
        return {name: array([vector]) for name, vector in rows}

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Convert SQLite's errors to StoreErrors that name the file and the remedy."""
        try:
            yield
        except sqlite3.Error as error:
            reason = str(error)
            remedy = next((text for key, text in _REMEDIES.items() if key in reason), "check the disk")
            raise StoreError(f"{self.path}: {reason}; {remedy}") from error


def sample_key(face: bytes, prompt: str) -> bytes:
    """Return the SHA-256 that identifies a sample by the origin, or the numbers, of its face and by its prompt."""
    return hashlib.sha256(hashlib.sha256(face).digest() + prompt.encode()).digest()
