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
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from ...common.files import is_name
from ...perception.vector import validate
from ...projection.spaces import ADDED_TARGETS, EMBEDDING, SD15
from .samples import (
    Floats,
    Provenance,
    Samples,
    StoreError,
    check_embeddings,
    check_fingerprint,
    check_scores,
    check_sdxl_targets,
    check_sizes,
    check_splits,
    check_text,
    check_texts,
    same_vector,
)
from .snapshot import Snapshot, read_provenance, vector
from .store_file import BUSY_SECONDS, connect, open_or_create, transaction

__all__ = ["EMBEDDING", "Processed", "Provenance", "Samples", "Store", "StoreError", "dataset_path"]

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
        self._provenance: Provenance | None = None
        with self._reporting():
            self._connection = open_or_create(self.path)

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        self, encoder: str, fingerprint: Tensor | None, landmarker: str, emotion_model: str, space: str = SD15.name
    ) -> None:
        """Declare the models of the samples to append; required before `append`, which stores them.

        `fingerprint` is the encoder's (`training.encoders.base.fingerprint`), None only for data from elsewhere that
        has none; `space` is a key of `projection.spaces.ADDED_TARGETS`. Raises StoreError, naming the differences and
        the remedy, if the stored samples were created with other models.
        """
        if space not in ADDED_TARGETS:
            raise StoreError(f"the text space {space!r} does not exist; choose {' or '.join(ADDED_TARGETS)}")
        probe = None if fingerprint is None else check_fingerprint(fingerprint, space)
        provenance = Provenance(check_text(encoder), probe, check_text(landmarker), check_text(emotion_model), space)
        with self._reporting():
            self._check_provenance(provenance)
        self._provenance = provenance

    def append(
        self,
        vectors: Tensor,
        image_sizes: Tensor | None,
        prompts: Sequence[str],
        embeddings: Tensor,
        groups: Sequence[str] | None = None,
        sources: Sequence[str] | None = None,
        origins: Sequence[str] | None = None,
        *,
        labels: Sequence[str] | None = None,
        splits: Sequence[str] | None = None,
        scores: Tensor | None = None,
        sdxl_targets: Mapping[str, Tensor] | None = None,
    ) -> int:
        """Append N samples, all or none, and return the number of new ones; the others were already in the dataset.

        When this returns, the samples are on the disk.

        Args:
            vectors: (N, 1441) perceptions.
            image_sizes: (N, 2) whole numbers: height and width of the pictures in pixels; None if unknown, which must
                then be so for every sample of the dataset.
            prompts: N texts.
            embeddings: (N, 768) text vectors of the prompts, from the encoder passed to `set_provenance`.
            groups: N names of the person or clip of a sample, "" if unknown; None: all unknown.
            sources: N readable names of a sample's source.
            origins: N identifiers of the data a face was computed from: the bytes of a file and the number of a frame,
                or the bytes of a picture and the number of a face in it. A sample is not new if its origin was appended
                before with the same prompt, even if its numbers are rounded differently. "" if unknown, as in files
                from elsewhere: such a face is identified by its numbers, which are copied, not computed.
            labels: N labels of a sample, as its source names them, "" if unknown.
            splits: N splits of a sample, of `samples.SPLITS`; "" lets training choose.
            scores: (N,) detection scores, 0…1; NaN if unknown.
            sdxl_targets: the prompts' further vectors in the space passed to `set_provenance`, name → (N, width).

        Raises ValueError (mostly StoreError) and stores nothing for invalid perceptions, values that are not
        finite, lengths that differ, a prompt stored with a different embedding, or a full disk.
        """
        if self._provenance is None:
            raise StoreError(
                f"{self.path}: call set_provenance() before append(), to declare the models of the samples"
            )
        perceptions = validate(torch.as_tensor(vectors).detach().cpu()).numpy().astype("<f4")
        count = len(perceptions)
        sizes = check_sizes(image_sizes, count)
        targets = check_embeddings(embeddings, count)
        texts = check_texts(prompts, count, "prompts")
        names, notes = check_texts(groups, count, "groups"), check_texts(sources, count, "sources")
        made_from, kinds = check_texts(origins, count, "origins"), check_texts(labels, count, "labels")
        parts, certainties = check_splits(splits, count), check_scores(scores, count)
        further = check_sdxl_targets(sdxl_targets, count, self._provenance.space)
        new = 0
        with self._reporting(), transaction(self._connection):
            stored = self._check_provenance(self._provenance)
            self._check_sizes_known(image_sizes is not None)
            for row in range(count):
                perception = perceptions[row].tobytes()
                made = sample_key(made_from[row] or perception + sizes[row].tobytes(), texts[row])
                if self._select("SELECT 1 FROM samples WHERE sample_key = ?", made) is not None:
                    continue
                if stored is None:
                    self._write_provenance(self._provenance)
                    stored = self._provenance
                prompt = self._prompt(texts[row], targets[row], {name: v[row] for name, v in further.items()})
                self._connection.execute(
                    "INSERT INTO samples"
                    ' (sample_key, prompt, height, width, "group", source, label, split, origin, score, perception)'
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        *(made, prompt, *sizes[row].tolist(), names[row], notes[row]),
                        *(kinds[row], parts[row], made_from[row], certainties[row], perception),
                    ),
                )
                new += 1
        return new

    def has(self, origin: str, prompt: str) -> bool:
        """Return whether there is a sample of the face of this origin with this prompt."""
        with self._reporting():
            return self._select("SELECT 1 FROM samples WHERE sample_key = ?", sample_key(origin, prompt)) is not None

    def mark_processed(self, done: Mapping[str, Processed]) -> None:
        """Store what need not be processed again, each under its own key."""
        with self._reporting(), transaction(self._connection):
            for key, what in done.items():
                values = (check_text(key), what.reason, what.pictures)
                self._connection.execute("INSERT OR REPLACE INTO processed VALUES (?, ?, ?)", values)

    def processed(self, key: str) -> Processed | None:
        """Return what `mark_processed` stored under `key`; None if nothing."""
        with self._reporting():
            row = self._select("SELECT reason, pictures FROM processed WHERE key = ?", key)
            return None if row is None else Processed(*row)

    def prompts(self) -> list[str]:
        """Return the distinct prompts in the order in which they were added."""
        with self._reporting():
            rows = self._connection.execute("SELECT text FROM prompts GROUP BY text ORDER BY min(id)")
            return [text for (text,) in rows]

    def vectors_of(self, prompt: str) -> tuple[Tensor, dict[str, Tensor]] | None:
        """Return the stored embedding (768,) of `prompt` and its `sdxl_targets`; None if the encoder has none."""
        if self._provenance is None:
            raise StoreError(f"{self.path}: call set_provenance() before vectors_of(), to declare the encoder")
        with self._reporting():
            query = "SELECT id, embedding FROM prompts WHERE encoder = ? AND text = ?"
            row = self._select(query, self._provenance.encoder, prompt)
            if row is None:
                return None
            sdxl_targets = self._sdxl_targets(row[0])
            if set(sdxl_targets) != set(ADDED_TARGETS[self._provenance.space]):
                return None
        return torch.from_numpy(vector(row[1])), {name: torch.from_numpy(value) for name, value in sdxl_targets.items()}

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

    def iterate(self, batch: int = 1024) -> Iterator[Samples]:
        """Yield all samples in order, up to `batch` at a time, as of the moment of the first."""
        with self.snapshot() as snapshot:
            yield from snapshot.samples(batch)

    def _select(self, query: str, *values: object) -> tuple[Any, ...] | None:
        """Return the first row that a query finds; None if there is none."""
        row: tuple[Any, ...] | None = self._connection.execute(query, values).fetchone()
        return row

    def _check_provenance(self, provenance: Provenance) -> Provenance | None:
        """Return the stored provenance, if any. Raises StoreError if `provenance` does not match it."""
        stored = read_provenance(self._connection)
        differences = [] if stored is None else stored.differences(provenance)
        if differences:
            raise StoreError(
                f"{self.path}: its samples were made with the {', and the '.join(differences)}. Samples of different "
                "models cannot be mixed: use another dataset name, or the models of this dataset"
            )
        return stored

    def _check_sizes_known(self, known: bool) -> None:
        first = self._connection.execute("SELECT width > 0 FROM samples LIMIT 1").fetchone()
        if first is not None and bool(first[0]) != known:
            have, come = ("have", "have none") if first[0] else ("have no", "have them")
            raise StoreError(
                f"{self.path}: its samples {have} image sizes, but the new ones {come}; use another dataset name"
            )

    def _write_provenance(self, provenance: Provenance) -> None:
        values = {
            "encoder": provenance.encoder,
            "fingerprint": b"" if provenance.fingerprint is None else provenance.fingerprint.tobytes(),
            "landmarker": provenance.landmarker,
            "emotion_model": provenance.emotion_model,
            "space": provenance.space,
        }
        self._connection.executemany("INSERT INTO meta VALUES (?, ?)", values.items())

    def _prompt(self, text: str, embedding: Floats, sdxl_targets: dict[str, Floats]) -> int:
        """Return the number of a prompt under the encoder passed to `set_provenance`; a new prompt is stored."""
        assert self._provenance is not None
        encoder = self._provenance.encoder
        row = self._select("SELECT id, embedding FROM prompts WHERE encoder = ? AND text = ?", encoder, text)
        if row is None:
            insert = "INSERT INTO prompts (encoder, text, embedding) VALUES (?, ?, ?)"
            number = int(self._connection.execute(insert, (encoder, text, embedding.tobytes())).lastrowid or 0)
            for name, value in sdxl_targets.items():
                self._connection.execute("INSERT INTO vectors VALUES (?, ?, ?)", (number, name, value.tobytes()))
            return number
        known = {"embedding": vector(row[1]), **self._sdxl_targets(row[0])}
        given = {"embedding": embedding, **sdxl_targets}
        if any(not same_vector(known[name], value) for name, value in given.items()):
            raise StoreError(
                f"{self.path}: the prompt {text!r} is stored with a different embedding of the encoder {encoder!r}; "
                "use another dataset name"
            )
        return int(row[0])

    def _sdxl_targets(self, prompt: int) -> dict[str, Floats]:
        """Return the further vectors of the prompt with this number."""
        rows = self._connection.execute("SELECT name, vector FROM vectors WHERE prompt = ?", (prompt,))
        return {name: vector(value) for name, value in rows}

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Convert SQLite's errors to StoreErrors that name the file and the remedy."""
        try:
            yield
        except sqlite3.Error as error:
            reason = str(error)
            remedy = next((text for key, text in _REMEDIES.items() if key in reason), "check the disk")
            raise StoreError(f"{self.path}: {reason}; {remedy}") from error


def sample_key(origin: str | bytes, prompt: str) -> bytes:
    """Return the SHA-256 that identifies a sample."""
    face = hashlib.sha256(origin.encode() if isinstance(origin, str) else origin).digest()
    return hashlib.sha256(face + prompt.encode()).digest()
