"""Write files atomically, and check file names that must not lead to other folders."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import InputError

NO_SYNC = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}  # returned by network drives and FUSE that cannot sync

_NAME = re.compile(r"\w([\w .-]*[\w-])?")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)  # Windows' device names


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; when the block succeeds, it is synced and renamed to `path`.

    If the block raises or the process dies, `path` keeps its previous content. Missing folders are created. The
    temporary name keeps the suffix, since some writers (numpy, torch) choose the format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(8)}{path.suffix}")
    # The system applies the umask, which cannot be read without setting it for other threads too.
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
    mode = stat.S_IMODE(temporary.stat().st_mode)
    try:
        yield temporary
        temporary.chmod(mode)  # safetensors 0.8 replaces the file with one that only its owner can read
        _sync(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync(path: Path) -> None:
    """Make the content of a file durable, if the drive supports it."""
    with path.open("rb+") as file:
        try:
            os.fsync(file.fileno())
        except OSError as error:
            if error.errno not in NO_SYNC:
                raise


def _sync_folder(folder: Path) -> None:
    """Make the rename durable, if permitted. Windows cannot open a folder and needs no such call."""
    if os.name == "posix":
        with suppress(OSError):  # network drives and FUSE refuse it; the file is complete and in place by now
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def check_writable(folder: Path, flag: str) -> None:
    """Create `folder` if it is missing. Raises InputError, which names `flag`, if no file can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be written to ({error.strerror}); choose another folder ({flag})"
        ) from error


def is_name(name: str, longest: int) -> bool:
    """Return whether `name` is a valid file name on every system and cannot leave its folder.

    It must have 1 to `longest` letters, digits, spaces, dots, dashes and underscores, start with a letter, digit or
    underscore, not end with a dot or a space, have no two dots in a row and not be a device name of Windows.
    """
    return len(name) <= longest and ".." not in name and bool(_NAME.fullmatch(name)) and not _RESERVED.fullmatch(name)
