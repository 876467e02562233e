"""Fills a small disk with samples, then makes room; prints as JSON what happened.

usage: python disk_filler.py FOLDER
"""

from __future__ import annotations

import json
import sqlite3
import sys
from pathlib import Path

import torch

from perception_clip.perception.vector import PERCEPTION_DIM
from perception_clip.training.dataset.npz import export, load
from perception_clip.training.dataset.samples import Samples
from perception_clip.training.dataset.store import Store, StoreError

BALLAST = 3_000_000  # bytes
MOST = 10_000  # samples: more than the disk can hold


def append(store: Store, number: int) -> None:
    vector = torch.zeros(1, PERCEPTION_DIM)
    vector[0, 0], vector[0, -1] = number, 1
    store.append(
        Samples(vector, torch.tensor([[4, 3]]), ["p"], torch.linspace(-1, 1, 768)[None], sources=[str(number)])
    )


def open_store(path: Path) -> Store:
    store = Store(path)
    store.set_provenance("encoder", torch.linspace(-1, 1, 768), "landmarker", "emotion model")
    return store


def main(folder: Path) -> None:
    path, npz, ballast = folder / "a.db", folder / "a.npz", folder / "ballast"
    ballast.write_bytes(b"\0" * BALLAST)
    said = {}
    with open_store(path) as store:
        append(store, 0)
        export(store, npz)
        acknowledged = 1
        try:
            for number in range(1, MOST):
                append(store, number)
                acknowledged += 1
        except StoreError as error:
            said["append"] = str(error)
        try:
            export(store, npz)
        except OSError as error:
            said["export"] = str(error)
    with sqlite3.connect(path) as connection:
        integrity = connection.execute("PRAGMA integrity_check").fetchall()
    with open_store(path) as store:
        kept = [source for batch in store.iterate() for source in batch.sources]
    old = len(load(npz))
    ballast.unlink()
    with open_store(path) as store:
        for number in range(MOST, MOST + 20):
            append(store, number)
        total = len(store)
    print(
        json.dumps(
            {
                "acknowledged": acknowledged,
                "kept": kept == [str(number) for number in range(acknowledged)],
                "said": said,
                "integrity": integrity,
                "rows of the NPZ before": old,
                "after making room": total,
                "files": sorted(file.name for file in folder.iterdir()),
            }
        )
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
