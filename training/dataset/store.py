"""A dataset while it grows: one SQLite file that many processes may append to at once.

Every append is one transaction that survives a crash or a power cut once it returns (synchronous=FULL). A sample is
known by what it is made from: the origin of its face, its prompt, and the models that all samples of the dataset have
in common. So appending it again changes nothing, whichever way its numbers were rounded. Each prompt's embedding is
stored once per encoder. Where the file system grants a write-ahead log, readers and writers do not wait for each other;
on many network drives it grants none, and they take turns.
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
from ...projection.spaces import EMBEDDING, EXTRAS, SD15
from .samples import (
    Binding,
    Floats,
    Samples,
    StoreError,
    check_embeddings,
    check_extras,
    check_fingerprint,
    check_scores,
    check_sizes,
    check_splits,
    check_text,
    check_texts,
    same_vector,
)
from .snapshot import Snapshot, read_binding, vector
from .store_file import BUSY_SECONDS, connect, open_dataset, transaction

__all__ = ["EMBEDDING", "Binding", "Finished", "Samples", "Store", "StoreError", "dataset_path"]

MAX_NAME = 60  # characters of a dataset name, at most four bytes each: file names end at 255 bytes

_REMEDIES = {  # by what SQLite's message says
    "not a database": "it is not a dataset of this pack; choose another name",
    "full": "make room and run it again; what was stored before is safe",
    "locked": f"other processes kept it busy for {BUSY_SECONDS:.0f} s; run it again when they are done",
    "unable to open": "see that its folder can be written to, and that it is no folder itself",
    "readonly": "the file or its folder cannot be written to",
    "malformed": "the file is damaged; restore it from a copy",
}


@dataclass(frozen=True)
class Finished:
    """What need not be looked at again."""

    reason: str  # why it gave no sample, or not as many as it has pictures; "" if there is nothing to say
    pictures: int = 1  # in it, those among them that cannot be read


def dataset_path(folder: Path, name: str) -> Path:
    """The file of the dataset `name` in `folder`.

    Raises StoreError unless the name, of up to 60 characters, is a file name on every system and cannot leave the
    folder (common/names.py).
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

        Raises StoreError if there is none and it may not be made, or if the file is no dataset of this pack, is of a
        newer version or cannot be opened.
        """
        self.path = Path(path)
        if not create and not self.path.is_file():
            raise StoreError(f"{self.path}: there is no such dataset; make it with `python -m training build`")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._binding: Binding | None = None
        with self._reporting():
            self._connection = open_dataset(self.path)

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

    def bind(
        self, encoder: str, fingerprint: Tensor | None, landmarker: str, emotion_model: str, space: str = SD15.name
    ) -> None:
        """State what the samples to come are made with; needed before `append`, which stores it.

        `fingerprint` is the encoder's (`training.encoders.fingerprint`), None only for data from elsewhere that
        came without one; `space` is one of `samples.EXTRAS`. Raises StoreError, saying in what they differ and what
        to do, if the samples already stored were made with something else.
        """
        if space not in EXTRAS:
            raise StoreError(f"there is no text space {space!r}; choose {' or '.join(EXTRAS)}")
        probe = None if fingerprint is None else check_fingerprint(fingerprint, space)
        binding = Binding(check_text(encoder), probe, check_text(landmarker), check_text(emotion_model), space)
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
        origins: Sequence[str] | None = None,
        *,
        labels: Sequence[str] | None = None,
        splits: Sequence[str] | None = None,
        scores: Tensor | None = None,
        extras: Mapping[str, Tensor] | None = None,
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
            origins: N names of what the faces are made from: the bytes of a file and the number of a frame, or the
                bytes of a picture and the number of a face in it. A sample is not new if its origin was appended
                before with the same prompt, even if its numbers are rounded differently. "" where it is unknown, as
                in files from elsewhere: such a face is known by its numbers, which are copied, not computed.
            labels: N names of what a sample shows as its source calls it, "" where unknown.
            splits: N parts that a sample belongs to, of `samples.SPLITS`; "" leaves it to training.
            scores: (N,) how sure the detector was, 0…1; NaN where unknown.
            extras: the prompts' further vectors in the space given to `bind`, name → (N, width).

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
        made_from, kinds = check_texts(origins, count, "origins"), check_texts(labels, count, "labels")
        parts, certainties = check_splits(splits, count), check_scores(scores, count)
        further = check_extras(extras, count, self._binding.space)
        new = 0
        with self._reporting(), transaction(self._connection):
            stored = self._check_binding(self._binding)
            self._check_sizes_known(image_sizes is not None)
            for row in range(count):
                perception = perceptions[row].tobytes()
                made = _name(made_from[row] or perception + sizes[row].tobytes(), texts[row])
                if self._select("SELECT 1 FROM samples WHERE hash = ?", made) is not None:
                    continue
                if stored is None:
                    self._write_binding(self._binding)
                    stored = self._binding
                prompt = self._prompt(texts[row], targets[row], {name: v[row] for name, v in further.items()})
                self._connection.execute(
                    "INSERT INTO samples"
                    ' (hash, prompt, height, width, "group", source, label, split, origin, score, perception)'
                    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        *(made, prompt, *sizes[row].tolist(), names[row], notes[row]),
                        *(kinds[row], parts[row], made_from[row], certainties[row], perception),
                    ),
                )
                new += 1
        return new

    def has(self, origin: str, prompt: str) -> bool:
        """Whether there is a sample of the face of that origin with that prompt."""
        with self._reporting():
            return self._select("SELECT 1 FROM samples WHERE hash = ?", _name(origin, prompt)) is not None

    def finish(self, done: Mapping[str, Finished]) -> None:
        """Remember what need not be looked at again, each under a key of its own."""
        with self._reporting(), transaction(self._connection):
            for key, what in done.items():
                values = (check_text(key), what.reason, what.pictures)
                self._connection.execute("INSERT OR REPLACE INTO done VALUES (?, ?, ?)", values)

    def finished(self, key: str) -> Finished | None:
        """What `finish` was told of `key`; None if it was not."""
        with self._reporting():
            row = self._select("SELECT reason, pictures FROM done WHERE key = ?", key)
            return None if row is None else Finished(*row)

    def prompts(self) -> list[str]:
        """The distinct prompts, in the order they came."""
        with self._reporting():
            rows = self._connection.execute("SELECT text FROM prompts GROUP BY text ORDER BY min(id)")
            return [text for (text,) in rows]

    def vectors_of(self, prompt: str) -> tuple[Tensor, dict[str, Tensor]] | None:
        """The stored embedding (768,) of `prompt` under the encoder given to `bind`, and its extras; or None."""
        if self._binding is None:
            raise StoreError(f"{self.path}: call bind() before asking for a prompt's vectors, to name the encoder")
        with self._reporting():
            query = "SELECT id, embedding FROM prompts WHERE encoder = ? AND text = ?"
            row = self._select(query, self._binding.encoder, prompt)
            if row is None:
                return None
            extras = self._extras(row[0])
            if set(extras) != set(EXTRAS[self._binding.space]):
                return None
        return torch.from_numpy(vector(row[1])), {name: torch.from_numpy(value) for name, value in extras.items()}

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """The dataset as it is at this moment, to be read column by column while others append."""
        with self._reporting():
            connection = connect(self.path)
            try:
                connection.execute("BEGIN")
                yield Snapshot(connection)
            finally:
                connection.close()

    def iterate(self, batch: int = 1024) -> Iterator[Samples]:
        """All samples in the order they came, up to `batch` at a time, as of the moment of the first."""
        with self.snapshot() as snapshot:
            yield from snapshot.samples(batch)

    def _select(self, query: str, *values: object) -> tuple[Any, ...] | None:
        """The first row that a query finds."""
        row: tuple[Any, ...] | None = self._connection.execute(query, values).fetchone()
        return row

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
            "space": binding.space,
        }
        self._connection.executemany("INSERT INTO meta VALUES (?, ?)", values.items())

    def _prompt(self, text: str, embedding: Floats, extras: dict[str, Floats]) -> int:
        """The number of a prompt under the encoder given to `bind`; stored now if it is new."""
        assert self._binding is not None
        encoder = self._binding.encoder
        row = self._select("SELECT id, embedding FROM prompts WHERE encoder = ? AND text = ?", encoder, text)
        if row is None:
            insert = "INSERT INTO prompts (encoder, text, embedding) VALUES (?, ?, ?)"
            number = int(self._connection.execute(insert, (encoder, text, embedding.tobytes())).lastrowid or 0)
            for name, value in extras.items():
                self._connection.execute("INSERT INTO vectors VALUES (?, ?, ?)", (number, name, value.tobytes()))
            return number
        known = {"embedding": vector(row[1]), **self._extras(row[0])}
        given = {"embedding": embedding, **extras}
        if any(not same_vector(known[name], value) for name, value in given.items()):
            raise StoreError(
                f"{self.path}: the prompt {text!r} is stored with quite another embedding of the encoder "
                f"{encoder!r}; use another dataset name"
            )
        return int(row[0])

    def _extras(self, prompt: int) -> dict[str, Floats]:
        """The further vectors of the prompt of that number."""
        rows = self._connection.execute("SELECT name, vector FROM vectors WHERE prompt = ?", (prompt,))
        return {name: vector(value) for name, value in rows}

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        """Turn SQLite's errors into ones that name the file and the remedy."""
        try:
            yield
        except sqlite3.Error as error:
            reason = str(error)
            remedy = next((text for key, text in _REMEDIES.items() if key in reason), "see that the disk works")
            raise StoreError(f"{self.path}: {reason}; {remedy}") from error


def _name(origin: str | bytes, prompt: str) -> bytes:
    """SHA-256 of what a sample is made from."""
    face = hashlib.sha256(origin.encode() if isinstance(origin, str) else origin).digest()
    return hashlib.sha256(face + prompt.encode()).digest()
