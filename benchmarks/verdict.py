"""Time the way from a folder of photos to a verdict: the command line, as a user types it, on two cores.

    python benchmarks/verdict.py [--photos FOLDER] [--pictures 50] [--rounds 3] [--cores 2]

Build, train and evaluate are processes of their own, with all that they have to load. Prompts are encoded by the
placeholder text encoder, which is far smaller than CLIP: a real one adds its loading and a few seconds for each
hundred prompts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from build import load_photos, make_pictures
from inputs import need

ROOT = Path(__file__).resolve().parents[1]


def command(*words: str) -> tuple[float, str]:
    """Run `python -m training …`; the seconds it took, and what it printed."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "training", *words], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return time.perf_counter() - started, done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="a folder of further photos (.jpg, .png)")
    parser.add_argument("--pictures", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    arguments = parser.parse_args()
    need(arguments.photos, "give an existing folder of photos with --photos, or leave it out")
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    totals = []
    for round_ in range(arguments.rounds):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make_pictures(folder / "faces", load_photos(arguments.photos), arguments.pictures)
            data = str(folder / "faces.db")
            build, _ = command("build", str(folder / "faces"), "--out", data, "--text-encoder", "random")
            train, printed = command("train", "--data", data, "--out-dir", str(folder / "out"))
            if not round_:
                print(printed)
        totals.append(build + train)
        print(f"build {build:.1f} s, train and evaluate {train:.1f} s, together {totals[-1]:.1f} s", flush=True)
    print(f"\n{arguments.pictures} photos to a verdict: {statistics.median(totals):.0f} s "
          f"({min(totals):.0f} to {max(totals):.0f})")  # fmt: skip


if __name__ == "__main__":
    main()
