"""A Dataset Writer that is killed at any moment, while another ComfyUI writes too, loses nothing.

`KILLS=50 pytest tests/host/test_node_writer_killed.py` kills it more often.
"""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from perception_clip.training.dataset.store import Store

from .conftest import Collect
from .server import Host

KILLS = int(os.environ.get("KILLS", "5"))
WRITER = Path(__file__).with_name("node_writer.py")
LINES = 4  # a writer has acknowledged fewer samples than that when it is killed …
LONGEST = 0.5  # … so many seconds later at most


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_writers_killed_at_random_moments(
    host: Host, collect: Collect, weights: str, photos: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    chance, path = random.Random(0), host.datasets / "killed.db"
    acknowledged: list[int] = []
    others = 0
    with writer(host, weights, photos["astronaut"]) as process:
        assert process.stdin is not None and process.stdout is not None
        assert line_of(process, host) == "ready"
        for kill in range(KILLS):
            print(max(acknowledged, default=-1) + 1, file=process.stdin, flush=True)
            child = int(line_of(process, host).removeprefix("started "))
            queued = host.queue(collect(dataset="killed", prompt=f"of the other ComfyUI {kill}"))
            acknowledged += [int(line_of(process, host)) for _ in range(chance.randrange(LINES))]
            time.sleep(chance.random() * LONGEST)
            os.kill(child, signal.SIGKILL)
            while (line := line_of(process, host)) != "ended":
                acknowledged.append(int(line))
            assert "(1 new)" in host.wait(queued).text("writer")
            others += 1
            check(path, acknowledged, others)
        process.stdin.close()
    with capsys.disabled():
        print(
            f"\n{KILLS} writers killed; {len(acknowledged)} samples acknowledged by them, {others} by another ComfyUI"
        )
    assert acknowledged  # else they were killed before they had written anything


def check(path: Path, acknowledged: list[int], others: int) -> None:
    """See that the file is sound and has each sample once: all that were acknowledged, and one more at most."""
    if not path.exists():
        assert not acknowledged and not others
        return
    with Store(path, create=False) as store:
        sources = Counter(source for batch in store.iterate() for source in batch.sources)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert sources.pop("", 0) == others
    assert set(sources.values()) <= {1}
    assert sorted(set(acknowledged)) == sorted(acknowledged)
    assert {str(number) for number in acknowledged} <= sources.keys()
    assert len(sources) <= len(acknowledged) + 1


def writer(host: Host, weights: str, photo: str) -> subprocess.Popen[str]:
    """The process that writes; what it says of itself goes to a file."""
    arguments = [WRITER, host.checkout, host.base, host.pack, "killed", weights, photo]
    with (host.base / "writer.log").open("wb") as log:
        return subprocess.Popen(
            [str(host.python), *map(str, arguments)],
            cwd=host.base,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )


def line_of(process: subprocess.Popen[str], host: Host) -> str:
    """The next line that it prints."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line, (host.base / "writer.log").read_text(errors="replace")[-4000:]
    return line
