"""Measure the pack's share of ComfyUI's startup time.

    python benchmarks/startup.py [--comfyui ~/ComfyUI] [--rounds 5]

Each round starts a real ComfyUI with no other pack than the tests' probe, and waits until it answers. The import time
of the pack is that in ComfyUI's log, to a tenth of a second.
"""

from __future__ import annotations

import argparse
import re
import statistics
import sys
import tempfile
import time
from pathlib import Path

from inputs import need

from perception_clip.tests.host.server import PACK, Host

IMPORTED = re.compile(rf"^\s*([0-9.]+) seconds:.*{re.escape(PACK)}$", re.MULTILINE)


def start(checkout: Path, python: Path) -> tuple[float, float]:
    """Return the seconds until ComfyUI answers, and the seconds of importing the pack."""
    with tempfile.TemporaryDirectory() as folder:
        host = Host(checkout, python, Path(folder))
        started = time.perf_counter()
        host.start()
        whole = time.perf_counter() - started
        host.stop()
        match = IMPORTED.search(host.log.read_text(errors="replace"))
        if match is None:
            sys.exit(f"ComfyUI's log contains no import time of the pack:\n{host.tail()}")
        return whole, float(match[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comfyui", type=Path, default=Path("~/ComfyUI"))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    checkout = arguments.comfyui.expanduser()
    need(checkout / "main.py", "give ComfyUI's checkout with --comfyui")
    venv_python = checkout / ".venv" / "bin" / "python"
    python = venv_python if venv_python.is_file() else Path(sys.executable)
    start(checkout, python)  # compiles the imported modules
    shares = []
    for _ in range(arguments.rounds):
        whole, pack = start(checkout, python)
        shares.append(pack / whole)
        print(f"start {whole:.1f} s, the pack {pack:.1f} s: {shares[-1]:.1%}", flush=True)
    print(f"the pack's share: {statistics.median(shares):.1%} ({min(shares):.1%} to {max(shares):.1%})")


if __name__ == "__main__":
    main()
