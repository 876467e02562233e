"""Small trees of files."""

from __future__ import annotations

from pathlib import Path


def touch(*paths: Path) -> None:
    """Make empty files, and the folders that they lie in."""
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    """Write a text file, and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding=encoding, newline="")
    return path
