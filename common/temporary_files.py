"""Temporary files that are deleted together with the values that refer to them."""

from __future__ import annotations

import os
import time
import weakref
from pathlib import Path
from tempfile import mkstemp

LEFT_OVER = 24 * 60 * 60  # seconds: an older file was left by a server that was killed before it could delete it


class TemporaryPath(str):
    """The path of a file that is deleted when nothing refers to this path any more, or when Python exits.

    It is a string, since ComfyUI's videos keep the string object that they are created with and pass it on to videos
    cut from them.
    """

    _deletion: weakref.finalize[..., TemporaryPath]

    def delete(self) -> None:
        """Delete the file now."""
        self._deletion()


def temporary_file(folder: Path, suffix: str) -> TemporaryPath:
    """Return a new empty file in `folder` that only this user can read. Old leftover files in it are deleted."""
    folder.mkdir(parents=True, exist_ok=True)
    for other in folder.iterdir():
        _delete(other, only_before=time.time() - LEFT_OVER)
    handle, name = mkstemp(suffix, dir=folder)
    os.close(handle)
    path = TemporaryPath(name)
    path._deletion = weakref.finalize(path, _delete, Path(name))
    return path


def _delete(path: Path, only_before: float | None = None) -> None:
    """Delete a file, unless it no longer exists or Windows still locks it."""
    try:
        if only_before is None or path.stat().st_mtime < only_before:
            path.unlink()
    except OSError:
        pass
