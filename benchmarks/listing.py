"""How long it takes to list sources: folders of 50,000 files, CSVs of 200,000 rows, FER2013 and Parquet.

    python benchmarks/listing.py

The files are empty and in a temporary folder, so it measures names, tables and decisions, not decoding.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from perception_clip.perception.vector import EMOTIONS
from perception_clip.training.sources import detect, find_items

FILES, ROWS, FACES = 50_000, 200_000, 35_887
LIMITS = {"folders": 6.0, "people": 6.0, "csv": 15.0, "csv of one folder": 15.0, "fer2013": 5.0}  # seconds


def folders(root: Path) -> Path:
    for number in range(FILES):
        _touch(root / "train" / EMOTIONS[number % 7] / f"{number:06}.jpg")
    return root


def people(root: Path) -> Path:
    for number in range(FILES):
        _touch(root / f"person_{number % 500}" / EMOTIONS[number // 500 % 7] / f"{number:06}_x.jpg")
    return root


def csv(root: Path) -> Path:
    lines = ["path,label,person"]
    for number in range(ROWS):
        name = f"images/{number % 1000:03}/{number:06}.jpg"
        _touch(root / name)
        lines.append(f"{name},{EMOTIONS[number % 7]},p{number % 300}")
    (root / "faces.csv").write_text("\n".join(lines))
    return root / "faces.csv"


def csv_of_one_folder(root: Path) -> Path:
    lines = ["file_name;emotion"]
    for number in range(ROWS):
        _touch(root / "images" / f"{number:06}.jpg")
        lines.append(f"{number:06}.jpg;{EMOTIONS[number % 7]}")
    (root / "faces.csv").write_text("\n".join(lines))
    return root / "faces.csv"


def fer2013(root: Path) -> Path:
    pixels = " ".join(map(str, np.random.default_rng(0).integers(0, 256, 48 * 48)))
    rows = (f"{number % 7},{pixels},Training\n" for number in range(FACES))
    with (root / "fer2013.csv").open("w") as file:
        file.write("emotion,pixels,Usage\n")
        file.writelines(rows)
    return root / "fer2013.csv"


def _touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def measure(make: Callable[[Path], Path], limit: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = make(Path(folder))
        start = time.perf_counter()
        kind = detect(source)
        count = len(find_items(source, kind).items)
        seconds = time.perf_counter() - start
    name = make.__name__.replace("_", " ")
    print(f"{name:18} {count:8,} items as {kind:8} {seconds:6.2f} s (at most {limit:g} s)")


def main() -> None:
    for make in (folders, people, csv, csv_of_one_folder, fer2013):
        measure(make, LIMITS[make.__name__.replace("_", " ")])


if __name__ == "__main__":
    main()
