"""Checks for the input files of the benchmarks."""

from __future__ import annotations

import sys
from pathlib import Path


def need(path: Path | None, remedy: str) -> None:
    """Exit with a message and its remedy if `path` does not exist; None is an input that was not requested."""
    if path is not None and not path.exists():
        sys.exit(f"{path} is missing: {remedy}.")
