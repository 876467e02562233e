"""Loads files with a gigabyte of memory at most, and prints for each what came of it as a line of JSON.

usage: python npz_loader.py FILE …
"""

import json
import resource
import sys
from pathlib import Path

from perception_clip.training.dataset.npz import DatasetError, load

LIMIT = 10**9  # bytes of address space beyond what is taken when the limit is set


def status(name: str) -> int:
    """A figure of /proc/self/status, bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024


def main(paths: list[str]) -> None:
    limit = status("VmSize") + LIMIT
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    for path in paths:
        try:
            outcome = f"{len(load(Path(path)))} rows"
        except DatasetError as error:
            outcome = str(error)
        print(json.dumps({"outcome": outcome, "peak": status("VmHWM")}), flush=True)


if __name__ == "__main__":
    print(json.dumps({"outcome": "start", "peak": status("VmHWM")}), flush=True)
    main(sys.argv[1:])
