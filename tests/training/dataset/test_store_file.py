from __future__ import annotations

import multiprocessing
import os
import sqlite3
import time
from contextlib import closing
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import pytest
import torch

from perception_clip.perception.vector import PERCEPTION_DIM
from perception_clip.training.dataset.samples import Samples
from perception_clip.training.dataset.store import Store
from perception_clip.training.dataset.store_file import connect, transaction

ROWS = 45  # that the writers which take turns write together


def journal(path: Path) -> str:
    with closing(connect(path)) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    return str(mode)


def fill_and_read(path: Path, number: int) -> list[str]:
    """Append a sample while another reader is there, and read all."""
    vector = torch.zeros(1, PERCEPTION_DIM)
    vector[0, -1] = 1
    with Store(path) as store, Store(path, create=False) as other:
        store.set_provenance("encoder", torch.linspace(-1, 1, 768), "landmarker", "emotion model")
        store.append(
            Samples(vector, torch.zeros(1, 2, dtype=torch.int32), ["p"], torch.ones(1, 768), origins=[f"face {number}"])
        )
        return [origin for samples in other.iterate() for origin in samples.origins]


@pytest.mark.skipif(os.name != "posix", reason="these ways to lock files are for POSIX")
def test_a_file_system_that_grants_no_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's way for drives that lock files but share no memory: asked for a log, it keeps to a plain journal."""
    fill_and_read(tmp_path / "log.db", 0)
    assert journal(tmp_path / "log.db") == "wal"
    original = sqlite3.connect

    def connect_without_shared_memory(path: Path, **options: Any) -> sqlite3.Connection:
        return original(f"{path.as_uri()}?vfs=unix-dotfile", uri=True, **options)

    monkeypatch.setattr(sqlite3, "connect", connect_without_shared_memory)
    assert [len(fill_and_read(tmp_path / "a.db", number)) for number in range(3)] == [1, 2, 3]
    assert journal(tmp_path / "a.db") == "delete"


@pytest.mark.skipif(os.name != "posix", reason="needs links")
@pytest.mark.parametrize(("refusal", "made_elsewhere"), [("no file", False), ("no file", True), ("no writing", False)])
def test_shared_memory_that_is_refused_only_when_it_is_used(tmp_path: Path, refusal: str, made_elsewhere: bool) -> None:
    """As on some FUSE drives: the log is granted, and the first one to use it fails."""
    path, shared_memory = tmp_path / "a.db", tmp_path / "a.db-shm"
    before = fill_and_read(path, 0) if made_elsewhere else []
    assert not made_elsewhere or journal(path) == "wal"
    if refusal == "no file":
        shared_memory.symlink_to(shared_memory)
    else:
        shared_memory.mkdir()
    assert fill_and_read(path, 1) == [*before, "face 1"] and fill_and_read(path, 2) == [*before, "face 1", "face 2"]
    assert journal(path) == "delete"


def write(path: Path, start: Barrier, hold: float) -> None:
    """Long transactions without a pause, until all writers together have written enough."""
    connection = connect(path)
    start.wait(timeout=300)
    while True:
        with transaction(connection):
            if connection.execute("SELECT count(*) FROM rows").fetchone()[0] >= ROWS:
                return
            connection.execute("INSERT INTO rows VALUES (?)", (hold,))
            time.sleep(hold)


def test_writers_take_turns(tmp_path: Path) -> None:
    """SQLite's own waiting would let the first one go on as long as it likes."""
    connection = connect(tmp_path / "a.db")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE rows (writer)")
    holds = [0.06, 0.0601, 0.0602]
    context = multiprocessing.get_context("fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn")
    start = context.Barrier(len(holds))
    processes = [context.Process(target=write, args=(tmp_path / "a.db", start, hold)) for hold in holds]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    counts = [connection.execute("SELECT count(*) FROM rows WHERE writer = ?", (hold,)).fetchone()[0] for hold in holds]
    assert sum(counts) == ROWS and min(counts) >= 5, counts
