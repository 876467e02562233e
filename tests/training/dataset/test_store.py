from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

import numpy as np
import pytest
import torch
from torch import Tensor

from perception_clip.training.dataset.samples import Samples
from perception_clip.training.dataset.store import Store, StoreError
from perception_clip.training.dataset.store_file import SCHEMA_VERSION

WRITER = Path(__file__).with_name("store_writer.py")
SIZES = torch.tensor([[480, 640]])
LONGEST_WAIT = 300  # seconds after which a process hangs, however busy the machine is

Faces = Callable[..., Tensor]


def embedding(seed: int) -> Tensor:
    return torch.randn(768, generator=torch.Generator().manual_seed(seed))


def store_at(path: Path, encoder: str = "encoder", probe: int = 0, landmarker: str = "bundled/1") -> Store:
    store = Store(path)
    store.set_provenance(encoder, embedding(probe), landmarker, "expression/1")
    return store


def fill(store: Store, vectors: Tensor, prompt: str = "a happy person") -> int:
    count = len(vectors)
    return store.append(
        Samples(
            vectors,
            SIZES.expand(count, 2),
            [prompt] * count,
            embedding(1).expand(count, -1),
            groups=[f"person {row}" for row in range(count)],
            sources=[f"{row}.png" for row in range(count)],
        )
    )


def all_prompts(store: Store) -> set[str]:
    return {prompt for samples in store.iterate() for prompt in samples.prompts}


def test_appending_the_same_samples_again_changes_nothing(tmp_path: Path, faces: Faces) -> None:
    with store_at(tmp_path / "a.db") as store:
        assert fill(store, faces(4)) == 4
        assert fill(store, faces(4)) == 0
        assert fill(store, torch.cat([faces(4), faces(2, seed=1), faces(2, seed=1)])) == 2
    with store_at(tmp_path / "a.db") as store:
        assert fill(store, faces(4)) == 0
        assert fill(store, faces(4), prompt="someone else's words") == 4
        assert len(store) == 10


def test_a_sample_is_known_by_its_origin_and_prompt_not_by_its_numbers(tmp_path: Path, faces: Faces) -> None:
    with store_at(tmp_path / "a.db") as store:
        for nudge, new in ((0.0, 2), (1e-6, 0)):
            vectors = faces(2)
            vectors[:, 0] += nudge
            rest = (SIZES.expand(2, 2), ["p", "p"], embedding(1).expand(2, -1))
            assert store.append(Samples(vectors, *rest, origins=["x", "y"])) == new
        assert store.has("x", "p") and not store.has("z", "p") and not store.has("x", "q")
        assert len(store) == 2
        same = faces(1).expand(3, -1)
        more = (SIZES.expand(3, 2), ["p", "p", "q"], embedding(1).expand(3, -1))
        assert (
            store.append(Samples(same, *more, origins=["v", "w", "w"])) == 3
        )  # the same numbers, made from something else
        assert next(store.iterate()).origins == ["x", "y", "v", "w", "w"]


def test_a_prompt_is_stored_once_and_found_again(tmp_path: Path, faces: Faces) -> None:
    with store_at(tmp_path / "a.db") as store:
        assert store.vectors_of("a happy person") is None
        fill(store, faces(50))
        found = store.vectors_of("a happy person")
        assert found is not None and torch.equal(found[0], embedding(1))
    with sqlite3.connect(tmp_path / "a.db") as connection:
        assert connection.execute("SELECT count(*) FROM prompts").fetchone() == (1,)
    with store_at(tmp_path / "a.db", encoder="the same encoder by another name") as store:
        assert store.vectors_of("a happy person") is None  # that name has not encoded it yet


def test_subject_vectors_can_be_added_later(tmp_path: Path, faces: Faces) -> None:
    def append(store: Store, rows: slice, subject: float | None) -> int:
        vectors, prompts = faces(8)[rows], ["one", "two"] * 4
        count, targets = len(vectors), torch.stack([embedding(1), embedding(2)] * 4)[rows]
        added = {} if subject is None else {"subject_embeddings": targets * subject}
        return store.append(Samples(vectors, SIZES.expand(count, 2), prompts[rows], targets, added_targets=added))

    with store_at(tmp_path / "a.db") as store:
        for rows, subject, complete in (
            (slice(0, 2), None, False),
            (slice(2, 3), 3.0, False),
            (slice(3, 4), 3.0, True),
        ):
            assert append(store, rows, subject) == len(range(8)[rows])
            with store.snapshot() as snapshot:
                [samples] = snapshot.samples()
                assert snapshot.has_subject == complete == bool(samples.added_targets)
        np.testing.assert_array_equal(samples.added_targets["subject_embeddings"], 3 * samples.embeddings)
        assert append(store, slice(4, 6), None) == 2  # the prompts have them
        with pytest.raises(StoreError, match="'one' is stored with a different embedding"):
            append(store, slice(6, 7), -3.0)
        [samples] = store.iterate()
    np.testing.assert_array_equal(samples.added_targets["subject_embeddings"], 3 * samples.embeddings)


def test_nothing_is_stored_of_an_append_that_fails(tmp_path: Path, faces: Faces) -> None:
    with store_at(tmp_path / "a.db") as store:
        fill(store, faces(2))
        with pytest.raises(StoreError, match=r"prompt 'a happy person' is stored with a different embedding"):
            store.append(
                Samples(faces(2, seed=9), SIZES.expand(2, 2), ["new", "a happy person"], embedding(5).expand(2, -1))
            )
        assert len(store) == 2 and all_prompts(store) == {"a happy person"}


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"probe": 7}, "text encoder 'encoder'"),
        ({"landmarker": "mediapipe/1"}, "landmarker 'bundled/1', not 'mediapipe/1'"),
    ],
)
def test_samples_made_differently_are_refused(tmp_path: Path, faces: Faces, changed: dict, named: str) -> None:
    with store_at(tmp_path / "new folder" / "a.db") as store:
        fill(store, faces(2))
    with pytest.raises(StoreError, match=f"(?s){named}.*use another dataset name"):
        store_at(tmp_path / "new folder" / "a.db", **changed)


def test_vectors_identify_an_encoder_and_a_prompt_however_they_are_rounded(tmp_path: Path, faces: Faces) -> None:
    with store_at(tmp_path / "a.db", encoder="on the CPU") as store:
        fill(store, faces(2))
        rounded = embedding(1).half().float()
        assert store.append(Samples(faces(1, seed=9), SIZES, ["a happy person"], rounded[None])) == 1
        assert torch.equal(store.vectors_of("a happy person")[0], embedding(1))
    with Store(tmp_path / "a.db") as store:
        store.set_provenance("on a GPU", embedding(0).half().float(), "bundled/1", "expression/1")
        assert fill(store, faces(2, seed=3)) == 2
        with pytest.raises(StoreError, match="text encoder 'on the CPU', not 'unknown'"):
            store.set_provenance("unknown", None, "bundled/1", "expression/1")


def test_the_first_sample_sets_the_models_not_the_first_writer(tmp_path: Path, faces: Faces) -> None:
    with store_at(tmp_path / "a.db") as first, store_at(tmp_path / "a.db", landmarker="another") as second:
        assert first.provenance is None
        fill(second, faces(1))
        with pytest.raises(StoreError, match="landmarker 'another', not 'bundled/1'"):
            fill(first, faces(1, seed=2))  # its provenance was set before the second one wrote
        assert len(first) == 1


def test_image_sizes_are_known_for_all_or_for_none(tmp_path: Path, faces: Faces) -> None:
    with store_at(tmp_path / "a.db") as store:
        store.append(Samples(faces(1), torch.zeros(1, 2, dtype=torch.int32), ["a happy person"], embedding(1)[None]))
        with pytest.raises(StoreError, match="have no image sizes, but the new ones have them"):
            fill(store, faces(1, seed=2))
        assert next(store.iterate()).image_sizes.tolist() == [[0, 0]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"perceptions": torch.full((1, 1441), torch.nan)}, "perception row 0 contains NaN"),
        ({"perceptions": torch.zeros(1, 1440)}, r"shape \(N, 1441\)"),
        ({"embeddings": torch.full((1, 768), torch.inf)}, "embeddings row 0 contains NaN or infinite"),
        ({"embeddings": torch.zeros(1, 1280)}, r"shape \(1, 768\), not \(1, 1280\)"),
        ({"image_sizes": torch.tensor([[0, 640]])}, "1 pixel or more"),
        ({"image_sizes": torch.tensor([[480.0, 640.0]])}, "whole numbers"),
        ({"prompts": ["one", "two"]}, "1 perception came with 2 prompts"),
        ({"prompts": ["nul\0"]}, "NUL"),
        ({"groups": ["\ud800"]}, "not valid Unicode"),
        ({"splits": ["half"]}, "the split 'half' does not exist; use train, validation, test"),
        ({"scores": torch.tensor([1.5])}, "a detection score must be between 0 and 1, not 1.5"),
        ({"scores": torch.zeros(2)}, r"scores must have the shape \(1,\), not \(2,\)"),
        ({"added_targets": {"sdxl_pooled": torch.zeros(1, 1280)}}, "sd15 needs no further vectors, not sdxl_pooled"),
        ({"added_targets": {"subject_embeddings": torch.zeros(1, 9)}}, r"subject_embeddings must .* \(1, 768\)"),
        ({"added_targets": {"subject_embeddings": torch.full((1, 768), torch.nan)}}, "subject_embeddings row 0 .* NaN"),
    ],
)
def test_bad_values_are_refused(tmp_path: Path, faces: Faces, values: dict, message: str) -> None:
    good = {"perceptions": faces(1), "image_sizes": SIZES, "prompts": ["p"], "embeddings": embedding(1)[None]}
    with store_at(tmp_path / "a.db") as store:
        with pytest.raises(ValueError, match=message):
            store.append(Samples(**{**good, **values}))
        assert len(store) == 0 and store.vectors_of("p") is None


def test_a_full_disk_loses_nothing(tmp_path: Path, faces: Faces) -> None:
    with store_at(tmp_path / "a.db") as store:
        fill(store, faces(3))
        store._connection.execute("PRAGMA max_page_count = 40")
        with pytest.raises(StoreError, match=r"a\.db: database or disk is full; free some disk space"):
            fill(store, faces(100, seed=1))
        assert len(store) == 3
        store._connection.execute("PRAGMA max_page_count = 100000")
        assert fill(store, faces(100, seed=1)) == 100


def test_files_that_are_no_datasets_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database at all, only text " * 100)
    with pytest.raises(StoreError, match=r"text\.db: file is not a database; .*choose another name"):
        Store(tmp_path / "text.db")
    with sqlite3.connect(tmp_path / "other.db") as connection:
        connection.execute("CREATE TABLE notes (text)")
    with pytest.raises(StoreError, match="a database of another program"):
        Store(tmp_path / "other.db")
    with pytest.raises(StoreError, match="it is not a folder itself"):
        Store(tmp_path)
    with pytest.raises(StoreError, match="there is no such dataset"):
        Store(tmp_path / "missing.db", create=False)
    Store(tmp_path / "newer.db").close()
    with sqlite3.connect(tmp_path / "newer.db") as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(StoreError, match="version 5, but this pack reads version 4; update the pack"):
        Store(tmp_path / "newer.db")


def test_reading_sees_one_moment_while_others_append(tmp_path: Path, faces: Faces) -> None:
    with store_at(tmp_path / "a.db") as reader, store_at(tmp_path / "a.db") as writer:
        fill(writer, faces(3))
        batches = reader.iterate(batch=1)
        next(batches)
        fill(writer, faces(3, seed=1))
        assert sum(len(batch) for batch in batches) == 2
        assert len(reader) == 6


def start_writer(path: Path, name: str, count: int, stdout: int | TextIO = subprocess.PIPE) -> subprocess.Popen[str]:
    command = [sys.executable, str(WRITER), str(path), name, str(count), str(path.with_suffix(".go"))]
    return subprocess.Popen(command, stdout=stdout, text=True)


def test_two_processes_append_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    writers = [start_writer(path, name, count=100) for name in "ab"]
    for writer in writers:
        assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
    path.with_suffix(".go").touch()  # both make the file, and then take turns
    for writer in writers:
        writer.communicate(timeout=LONGEST_WAIT)
        assert writer.returncode == 0
    with Store(path, create=False) as store:
        stored = [source for batch in store.iterate() for source in batch.sources]
    assert sorted(stored) == sorted(f"{name} {number}" for name in "ab" for number in range(100))


@pytest.mark.parametrize("moment", [1, 2])
def test_a_killed_writer_loses_nothing_that_it_acknowledged(tmp_path: Path, moment: int) -> None:
    path = tmp_path / "a.db"
    path.with_suffix(".go").touch()
    chance = random.Random(moment)
    printed = tmp_path / "printed"  # a file: nothing of it waits in a pipe or a buffer when the writer is killed
    with printed.open("w") as output:
        writer = start_writer(path, "a", count=1_000_000, stdout=output)
    try:
        wanted, deadline = 1 + chance.randint(1, 40), time.monotonic() + LONGEST_WAIT
        while printed.read_text().count("\n") < wanted:
            assert writer.poll() is None and time.monotonic() < deadline
            time.sleep(0.001)
        time.sleep(chance.random() * 0.02)
    finally:
        writer.kill()
        writer.wait(timeout=LONGEST_WAIT)
    ready, *acknowledged = [line for line in printed.read_text().splitlines(keepends=True) if line.endswith("\n")]
    assert ready == "ready\n" and len(acknowledged) >= wanted - 1
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with Store(path, create=False) as store:
        stored = [source for batch in store.iterate() for source in batch.sources]
    assert len(stored) == len(set(stored)) and len(stored) - len(acknowledged) in (0, 1)
    assert {f"a {int(number)}" for number in acknowledged} <= set(stored)
