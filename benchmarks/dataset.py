"""Datasets: appending to a small and a large store, eight writers at once, exporting, reading back.

    python benchmarks/dataset.py [--samples 200000] [--page 4096 …] [--folder /tmp]

Every part runs in a process of its own, so that its peak of memory (ru_maxrss) is its own; what is compared takes
turns. "Disk" writes the bytes of an export from memory, in pieces of 6 MB, and syncs them: no export can be faster.
The samples are random numbers: 500 prompts, 300 groups, a source, a key, a label and a score each. A sample
takes 6 KB in a store and 9 KB in an NPZ; the whole needs 10 GB of disk.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from inputs import need

PROMPTS = 500
BATCH = 2000
SMALL, LARGE = 100, 100_000
WRITERS, EACH = 8, 1000
PIECE = 6 << 20  # bytes

Result = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=200_000, help="samples to export (default: %(default)s)")
    parser.add_argument("--appends", type=int, default=400, help="appends to each store (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="exports of each kind (default: %(default)s)")
    parser.add_argument("--page", type=int, nargs="+", help="SQLite's page sizes to compare (default: the store's)")
    parser.add_argument("--folder", type=Path, help="where to write, on the disk to be measured (default: temporary)")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)  # what a process of its own is to do
    arguments = parser.parse_args()
    need(arguments.folder, "give an existing folder with --folder, or leave it out")
    if arguments.part:
        name, *values = arguments.part
        print(json.dumps(PARTS[name](*values)))
        return
    versions = run("versions")
    own_page = versions.pop("page")
    libraries = ", ".join(f"{library} {version}" for library, version in versions.items())
    print(f"{time.strftime('%d %B %Y')}, {platform.machine()}, {os.cpu_count()} cores, {libraries}")
    for page in arguments.page or [own_page]:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            measure(Path(folder), page, arguments.samples, arguments.appends, arguments.rounds)


def measure(folder: Path, page: int, samples: int, appends: int, rounds: int) -> None:
    small, large, many = folder / "small.db", folder / "large.db", folder / "many.db"
    print(f"\npage of {page} bytes")
    for path, count in ((small, SMALL), (large, LARGE), (many, samples)):
        filled = run("fill", path, count, page)
        print(f"  {filled['samples']} samples stored, {filled['bytes_each']:.0f} bytes each")

    times = run("append", small, large, appends)
    for name, row in times.items():
        print(f"  append to {name}: {spread(row, 1000)} ms, p95 {sorted(row)[int(0.95 * len(row))] * 1000:.1f}")
    print(f"  large / small: {median(times['large']) / median(times['small']):.2f} (medians)")

    summaries = run("summary", small, large)
    for name, row in summaries.items():
        print(f"  summary of {name}: {spread(row, 1000)} ms")
    print(f"  large / small: {median(summaries['large']) / median(summaries['small']):.1f} (medians)")

    shared = folder / "shared.db"
    seconds, slowest = writers(shared)
    rows = run("count", shared)["samples"]
    print(f"  {WRITERS} writers: {rows} rows in {seconds:.1f} s, longest append {slowest:.2f} s")

    exported: list[Result] = []
    disk, ratios = [], []
    for _ in range(rounds):
        exported.append(run("export", many, folder / "out.npz"))
        disk.append(run("write", folder / "disk.bin", exported[-1]["bytes"])["rate"])
        ratios.append(exported[-1]["rate"] / disk[-1])
    print(f"  export, {exported[0]['bytes'] / 1e9:.2f} GB: {spread([one['rate'] for one in exported])} MB/s", end="; ")
    print(f"disk {spread(disk)}; ratios {spread(ratios)}")
    print(f"  … MB per second of processor time {spread([one['processor'] for one in exported])}", end="; ")
    print(f"peak {max(one['peak'] for one in exported):.0f} MB, of it {exported[0]['before']:.0f} torch and ours")

    for name in ("load", "numpy"):
        read = [run(name, folder / "out.npz") for _ in range(rounds)]
        print(f"  {name}: {spread([one['seconds'] for one in read])} s", end="; ")
        print(f"takes {read[0]['grown']:.0f} MB, {read[0]['touched']:.0f} once all rows are used", end="; ")
        print(f"private memory of the process {read[0]['private']:.0f} MB")
    parquet = run("parquet", many, folder / "out.parquet")
    print(f"  Parquet, {parquet['bytes'] / 1e9:.2f} GB: {parquet['seconds']:.1f} s, peak {parquet['peak']:.0f} MB")


def run(*part: object) -> Result:
    """What a part of the benchmark returns, from a process of its own."""
    command = [sys.executable, __file__, "--part", *map(str, part)]
    result: Result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return result


def writers(path: Path) -> tuple[float, float]:
    """Seconds that all writers together take, and that the slowest append took."""
    go = path.with_suffix(".go")
    commands = [
        [sys.executable, __file__, "--part", "writer", str(path), str(seed), str(go)] for seed in range(WRITERS)
    ]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for command in commands]
    while len(list(path.parent.glob(f"{go.name}.*"))) < WRITERS:  # not all have loaded torch
        time.sleep(0.1)
    start = time.perf_counter()
    go.touch()
    outputs = [process.communicate()[0] for process in processes]
    seconds = time.perf_counter() - start
    if any(process.returncode for process in processes):
        raise SystemExit("a writer failed")
    return seconds, max(json.loads(output)["longest"] for output in outputs)


def spread(values: list[float], scale: float = 1) -> str:
    """Median and range."""
    middle, least, most = (scale * value for value in (median(values), min(values), max(values)))
    return f"{middle:.2f} ({least:.2f} to {most:.2f})" if most < 10 else f"{middle:.1f} ({least:.1f} to {most:.1f})"


def versions() -> Result:
    import sqlite3

    import numpy as np
    import torch

    from perception_clip.training.dataset.store_file import PAGE

    return {"torch": torch.__version__, "numpy": np.__version__, "SQLite": sqlite3.sqlite_version, "page": PAGE}


def batches(count: int, seed: int, size: int = BATCH) -> Iterator[Any]:
    """`count` new samples, `size` at a time."""
    import torch

    from perception_clip.perception.vector import pack
    from perception_clip.training.dataset.samples import Samples

    generator = torch.Generator().manual_seed(seed)
    targets = torch.randn(PROMPTS, 768, generator=torch.Generator().manual_seed(0))
    for start in range(0, count, size):
        n = min(size, count - start)
        prompts = torch.randint(0, PROMPTS, (n,), generator=generator)
        emotions = torch.rand(n, 7, generator=generator).softmax(dim=1)
        numbers = range(start, start + n)
        yield Samples(
            perceptions=pack(torch.rand(n, 478, 3, generator=generator), emotions),
            image_sizes=torch.full((n, 2), 512),
            prompts=[f"a photo of a person who looks {prompt}" for prompt in prompts.tolist()],
            embeddings=targets[prompts],
            groups=[f"person {number % 300}" for number in numbers],
            sources=[f"/home/someone/pictures/faces/happy/{seed:04}_{number:07}.jpg" for number in numbers],
            origins=[f"{seed:04}:{number:07}:0" for number in numbers],
            labels=[f"label {number % 7}" for number in numbers],
            scores=torch.rand(n, generator=generator),
        )


def opened(path: str) -> Any:
    """The store, ready for appending."""
    import torch

    from perception_clip.training.dataset.store import Store

    store = Store(Path(path))
    store.set_provenance("encoder/1", torch.linspace(-1, 1, 768), "bundled/1", "expression/1")
    return store


def fill(path: str, count: str, page: str) -> Result:
    from perception_clip.training.dataset import store_file

    store_file.PAGE = int(page)
    with opened(path) as store:
        for batch in batches(int(count), seed=1):
            store.append(batch)
        samples = len(store)
    return {"samples": samples, "bytes_each": Path(path).stat().st_size / samples}


def count(path: str) -> Result:
    with opened(path) as store:
        return {"samples": len(store)}


def append(small: str, large: str, appends: str) -> Result:
    """Seconds of every append, in turn to both stores."""
    times: dict[str, list[float]] = {"small": [], "large": []}
    with opened(small) as one, opened(large) as other:
        for turn, batch in enumerate(batches(int(appends) + 10, seed=2, size=1)):
            for name, store in (("small", one), ("large", other)):
                start = time.perf_counter()
                store.append(batch)
                if turn >= 10:  # warm
                    times[name].append(time.perf_counter() - start)
    return times


def summary(small: str, large: str) -> Result:
    """Seconds that each summary of the Dataset Writer node takes, of both stores in turn."""
    from perception_clip.training.dataset.store import Store

    times: dict[str, list[float]] = {"small": [], "large": []}
    with Store(Path(small)) as one, Store(Path(large)) as other:
        for _ in range(20):
            for store, row in zip((one, other), times.values(), strict=True):
                start = time.perf_counter()
                with store.snapshot() as snapshot:
                    snapshot.summary()
                row.append(time.perf_counter() - start)
    return times


def writer(path: str, seed: str, go: str) -> Result:
    """Append sample after sample, as soon as the file `go` is there."""
    longest = 0.0
    rows = list(batches(EACH, seed=100 + int(seed), size=1))
    Path(f"{go}.{seed}").touch()
    while not Path(go).exists():
        time.sleep(0.01)
    with opened(path) as store:
        for batch in rows:
            start = time.perf_counter()
            store.append(batch)
            longest = max(longest, time.perf_counter() - start)
    return {"longest": longest}


def timed(work: Callable[[], object], out: Path) -> Result:
    """How long it takes to write `out`, and the memory that it takes; the file replaces no other."""
    out.unlink(missing_ok=True)
    os.sync()  # what was written before does not slow this down
    before, start, processor = peak(), time.perf_counter(), time.process_time()
    work()
    seconds, processor = time.perf_counter() - start, time.process_time() - processor
    size = out.stat().st_size
    rates = {"rate": size / 1e6 / seconds, "processor": size / 1e6 / processor}
    return {"bytes": size, "seconds": seconds, "before": before, "peak": peak(), **rates}


def export(path: str, out: str) -> Result:
    from perception_clip.training.dataset.npz import export as to_npz

    with opened(path) as store:
        return timed(lambda: to_npz(store, Path(out)), Path(out))


def parquet(path: str, out: str) -> Result:
    from perception_clip.training.dataset.parquet import export_parquet

    with opened(path) as store:
        return timed(lambda: export_parquet(store, Path(out)), Path(out))


def write(out: str, size: str) -> Result:
    """The disk's own rate."""
    piece = os.urandom(PIECE)

    def work() -> None:
        with Path(out).open("wb") as file:
            for start in range(0, int(size), PIECE):
                file.write(piece[: int(size) - start])
            file.flush()
            os.fsync(file.fileno())

    result = timed(work, Path(out))
    Path(out).unlink()
    return result


def load(path: str) -> Result:
    """As training does it."""
    from perception_clip.training.dataset.npz import load as from_npz
    from perception_clip.training.learning.data import of_dataset

    return reading(lambda: [data.vectors, data.targets] if (data := of_dataset(from_npz(Path(path)))) else [])


def numpy(path: str) -> Result:
    import numpy as np
    import torch

    with np.load(path, allow_pickle=False) as file:
        names = ("perception_embeddings", "clip_embeddings")
        return reading(lambda: [torch.from_numpy(file[name]) for name in names])


def reading(read: Callable[[], list[Any]]) -> Result:
    """Memory before any row is used, and after all are."""
    before, start = peak(), time.perf_counter()
    tensors = read()
    seconds, grown = time.perf_counter() - start, peak() - before
    for tensor in tensors:
        tensor.sum()
    return {"seconds": seconds, "grown": grown, "touched": peak() - before, "private": private()}


def peak() -> float:
    """The most memory that this process has taken so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def private() -> float:
    """Memory that this process alone has and that no file stands behind, MB (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith("RssAnon"))) / 1000


PARTS: dict[str, Callable[..., Result]] = {
    part.__name__: part
    for part in (versions, fill, count, append, summary, writer, export, parquet, write, load, numpy)
}

if __name__ == "__main__":
    main()
