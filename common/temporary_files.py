"""Files that a graph's values point to, and that go with them."""

from __future__ import annotations

import os
import time
import weakref
from pathlib import Path
from tempfile import mkstemp

LEFT_OVER = 24 * 60 * 60  # seconds: a file so old is of a server that was killed before it could remove it


class TemporaryPath(str):
    """A file's path; the file is deleted when nothing refers to this path any more, and when Python ends.

    A string, since ComfyUI's videos keep the very string that they are made with, and hand it on to the videos that
    are cut from them.
    """

    _deletion: weakref.finalize[..., TemporaryPath]

    def delete(self) -> None:
        """Delete the file now."""
        self._deletion()


def temporary_file(folder: Path, suffix: str) -> TemporaryPath:
    """A new empty file in `folder` that only this user can read. Others in it that were left over are deleted."""
    folder.mkdir(parents=True, exist_ok=True)
    for other in folder.iterdir():
        _delete(other, only_before=time.time() - LEFT_OVER)
    handle, name = mkstemp(suffix, dir=folder)
    os.close(handle)
    path = TemporaryPath(name)
    path._deletion = weakref.finalize(path, _delete, Path(name))
    return path


def _delete(path: Path, only_before: float | None = None) -> None:
    """Delete a file; one that is gone already, or that Windows does not let go of yet, is left alone."""
    try:
        if only_before is None or path.stat().st_mtime < only_before:
            path.unlink()
    except OSError:
        pass
