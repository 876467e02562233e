"""Files that are either complete or absent."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NO_SYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}  # what network drives and FUSE answer that cannot sync


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; when the block ends well, it is synced and renamed onto `path`.

    If the block raises, or the process dies, `path` keeps its former content. Missing folders are made.
    The temporary name keeps the suffix, since some writers (numpy, torch) choose the format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(8)}{path.suffix}")
    # The system applies the umask: it cannot be read without setting it, for other threads too.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
    try:
        yield temporary
        _sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync(path: Path) -> None:
    """Make a file's content durable, where the drive has a way to."""
    with path.open("rb+") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in NO_SYNC:
                raise


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, where that is granted. Windows cannot open a folder, and needs no such call."""
    if os.name == "posix":
        with suppress(OSError):  # network drives and FUSE refuse it; the file is whole and in its place by now
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
