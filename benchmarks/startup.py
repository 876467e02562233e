"""The pack's share of ComfyUI's start.

    python benchmarks/startup.py [--comfyui ~/ComfyUI] [--rounds 5]

Each round starts a real ComfyUI, without any other pack but the tests' probe, until it answers. The import time of the
pack is what ComfyUI's own log gives, to a tenth of a second.
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
    """Seconds until ComfyUI answers, and those of importing the pack."""
    with tempfile.TemporaryDirectory() as folder:
        host = Host(checkout, python, Path(folder))
        started = time.perf_counter()
        host.start()
        whole = time.perf_counter() - started
        host.stop()
        found = IMPORTED.search(host.log.read_text(errors="replace"))
        if found is None:
            sys.exit(f"ComfyUI's log names no import time of the pack:\n{host.tail()}")
        return whole, float(found[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comfyui", type=Path, default=Path("~/ComfyUI"))
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    checkout = arguments.comfyui.expanduser()
    need(checkout / "main.py", "give ComfyUI's checkout with --comfyui")
    own = checkout / ".venv" / "bin" / "python"
    python = own if own.is_file() else Path(sys.executable)
    start(checkout, python)  # compiles what is imported
    shares = []
    for _ in range(arguments.rounds):
        whole, pack = start(checkout, python)
        shares.append(pack / whole)
        print(f"start {whole:.1f} s, the pack {pack:.1f} s: {shares[-1]:.1%}", flush=True)
    print(f"the pack's share: {statistics.median(shares):.1%} ({min(shares):.1%} to {max(shares):.1%})")


if __name__ == "__main__":
    main()
