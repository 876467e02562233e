from __future__ import annotations

import multiprocessing
import sqlite3
import subprocess
import sys
import time
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from perception_clip.training.store import Store
from perception_clip.training.store_file import PAGE, connect, transaction

WRITER = Path(__file__).with_name("store_writer.py")
ROWS = 45  # that the writers which take turns write together


def test_pages(tmp_path: Path) -> None:
    Store(tmp_path / "a.db").close()
    with sqlite3.connect(tmp_path / "a.db") as connection:
        assert connection.execute("PRAGMA page_size").fetchone() == (PAGE,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


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


@pytest.mark.slow
def test_eight_writers_at_once(tmp_path: Path) -> None:
    path, go = tmp_path / "a.db", tmp_path / "go"
    command = [sys.executable, str(WRITER), str(path)]
    processes = [
        subprocess.Popen([*command, f"writer {number}", "250", str(go)], stdout=subprocess.PIPE, text=True)
        for number in range(8)
    ]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    go.touch()
    acknowledged = [len(process.communicate()[0].splitlines()) for process in processes]
    assert [process.returncode for process in processes] == [0] * 8
    assert acknowledged == [250] * 8
    with Store(path, create=False) as store, store.snapshot() as snapshot:
        assert len(store) == 2000
        sources = [text for texts in snapshot.texts("sources") for text in texts]
    assert sorted(sources) == sorted(f"writer {number} {row}" for number in range(8) for row in range(250))
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
