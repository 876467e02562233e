"""Kill processes that write into a dataset, and see that it holds what they acknowledged."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from perception_clip.training.dataset.store import Store

FORKS = Path(__file__).with_name("build_forks.py")


@dataclass
class Kills:
    """What came of so many builds."""

    killed: int = 0
    finished: int = 0
    lost: int = 0  # samples that were acknowledged and are not there
    doubled: int = 0  # samples that are there more than once


def kill_builds(folder: Path, dataset: Path, kills: int, seed: int = 0, longest: float = 1.0) -> Kills:
    """Build `folder` into `dataset` until `kills` builds were killed with SIGKILL, each at a random moment.

    A moment lies up to `longest` seconds after the build began. After each, the dataset is checked. A build that has
    finished is followed by one into a fresh dataset.
    """
    chance, outcome = random.Random(seed), Kills()
    path, number = dataset, 0
    with subprocess.Popen(
        [sys.executable, str(FORKS), str(folder), str(dataset.parent)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    ) as forks:  # fmt: skip
        assert forks.stdin is not None and forks.stdout is not None
        while outcome.killed < kills:
            print(path.name, file=forks.stdin, flush=True)
            child = int(forks.stdout.readline().removeprefix("started "))
            time.sleep(chance.random() * longest)
            with suppress(ProcessLookupError):  # it has finished
                os.kill(child, signal.SIGKILL)
            acknowledged, done = 0, False
            while (line := forks.stdout.readline().strip()) != "ended":
                assert line, "the builds' process ended"
                done = done or line == "done"
                if line.startswith("acknowledged "):
                    acknowledged = int(line.removeprefix("acknowledged "))
            check(path, acknowledged, outcome)
            if done:
                outcome.finished, number = outcome.finished + 1, number + 1
                path = dataset.with_stem(f"{dataset.stem}{number}")
            else:
                outcome.killed += 1
        forks.stdin.close()
    return outcome


def check(path: Path, acknowledged: int, outcome: Kills) -> None:
    """See that the file is sound and has every sample once, as many as were acknowledged at least."""
    if not path.exists():
        assert acknowledged == 0
        return
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with Store(path, create=False) as store:
        rows = Counter((s, p) for batch in store.iterate() for s, p in zip(batch.sources, batch.prompts, strict=True))
    outcome.lost += max(0, acknowledged - len(rows))
    outcome.doubled += sum(rows.values()) - len(rows)
