"""What a benchmark needs from outside: without it, it ends with a sentence that says how to get it."""

from __future__ import annotations

import sys
from pathlib import Path


def need(path: Path | None, remedy: str) -> None:
    """End the script if there is nothing at `path`. None is an input that was not asked for."""
    if path is not None and not path.exists():
        sys.exit(f"{path} is missing: {remedy}.")
