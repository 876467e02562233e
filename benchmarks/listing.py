"""How long it takes to list sources: folders of 50,000 files, CSVs of 200,000 rows, FER2013 and Parquet.

    python benchmarks/listing.py

The files are empty and in a temporary folder, so it measures names, tables and decisions, not decoding. Of Parquet, it
also measures the memory, while all pictures are read.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
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


def parquet(root: Path, rows: int) -> Path:
    """Write `rows` pictures of 3,000 bytes with labels."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema({"image": pa.struct({"bytes": pa.binary(), "path": pa.string()}), "label": pa.string()})
    generator = np.random.default_rng(0)
    with pq.ParquetWriter(root / "train.parquet", schema, compression="none") as file:
        for start in range(0, rows, 1000):
            images = [{"bytes": generator.bytes(3000), "path": f"{row}.jpg"} for row in range(start, start + 1000)]
            labels = [EMOTIONS[row % 7] for row in range(start, start + 1000)]
            file.write_table(pa.table({"image": images, "label": labels}, schema))
    return root


def measure_parquet(rows: int) -> None:
    """Print the private memory that listing takes, and how much more reading takes at most."""
    with tempfile.TemporaryDirectory() as folder:
        source = parquet(Path(folder), rows)
        before, start = _private(), time.perf_counter()
        items = find_items(source, "parquet").items
        seconds, listed = time.perf_counter() - start, _private()
        most = listed
        for number, item in enumerate(items):
            item.media.digest()
            if number % 500 == 0:
                most = max(most, _private())
    print(
        f"parquet            {len(items):8,} items, {3 * rows / 1000:.0f} MB of pictures {seconds:6.2f} s; "
        f"listing takes {listed - before:.0f} MB, reading {most - listed:.0f} MB"
    )


def _private() -> float:
    """Return this process's private memory in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("RssAnon"))) / 1000


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
    for rows in (20_000, 100_000):
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as fresh:
            fresh.submit(measure_parquet, rows).result()


if __name__ == "__main__":
    main()
