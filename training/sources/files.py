"""The files of a folder in a stable order, and detection of the frames of one clip."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import deque
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePath

from .columns import TABLE_SUFFIXES
from .media import PLUGINS, FrameFolder, is_picture, is_sound, is_video

FILE, FOLDER = "file", "folder"  # kinds of sources and of what a path leads to
Parts = tuple[str, ...]  # a path below a folder: its names, from the top

TOOL_FILES = frozenset(  # of file servers, archives and operating systems, in lower case
    {
        "@eadir",
        "@recycle",
        "#recycle",
        "#snapshot",
        "__macosx",
        "__pycache__",
        "$recycle.bin",
        "system volume information",
        "lost+found",
    }
    | {"thumbs.db", "ehthumbs.db", "desktop.ini"}
)
CONVERTIBLE = dict.fromkeys((".zip", ".tar", ".gz", ".tgz", ".7z", ".rar"), "unpack it and pass the folder") | (
    dict.fromkeys((".xlsx", ".xls", ".ods", ".numbers"), "save the sheet as a CSV")
)  # suffix of files with pictures or a table → what to do
FEWEST_FRAMES = 3
SPARSEST = 2  # at least one of this many consecutive numbers must exist, on average
_NUMBERED = re.compile(r"(.*?)([0-9]+)", re.DOTALL)
_DIGITS = re.compile(r"([0-9]+)")


@dataclass(frozen=True)
class Tree:
    """The files in a folder and the folders below it, without hidden files and those of tools (see `is_hidden`)."""

    base: Path  # absolute
    files: list[Parts] = field(default_factory=list)  # sorted
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (path, reason) of what could not be read

    def path(self, parts: Parts) -> Path:
        return self.base.joinpath(*parts)

    def name(self, parts: Parts) -> str:
        """Return the name of a file in the dataset: its path from the folder's own name on, with slashes."""
        return printable("/".join((self.base.name, *parts)))

    def media(self) -> list[Parts]:
        """Return the pictures and videos among the files."""
        return [parts for parts in self.files if is_media(parts[-1])]

    def unused(self, used: Container[Parts], why: str) -> list[tuple[str, str]]:
        """Return the files that are not `used`, each with the reason, which is `why` for pictures and videos."""
        return [
            (self.name(parts), why if is_media(parts[-1]) else unread(PurePath(parts[-1])))
            for parts in self.files
            if parts not in used
        ]


def walk(root: Path) -> Tree:
    """Return all files below the folder `root`, or only `root` if it is a file; only names are read, not the files.

    Links to folders are followed, after the folders themselves. No folder is visited twice, and no folder above `root`
    at all, so circular links are harmless.
    """
    if not root.is_dir():
        return Tree(root.absolute().parent, [(root.name,)])
    tree = Tree(root.resolve())
    seen = {_identity(folder.stat()) for folder in tree.base.parents}
    folders: deque[Parts] = deque([()])
    links: deque[Parts] = deque()
    while folders or links:
        parts = folders.popleft() if folders else links.popleft()
        try:
            identity = _identity(tree.path(parts).stat())
            if identity in seen:
                tree.skipped.append((tree.name(parts), "it links to a folder that is already listed or contains it"))
                continue
            seen.add(identity)
            with os.scandir(tree.path(parts)) as scan:
                entries = sorted((entry for entry in scan if not is_hidden(entry.name)), key=lambda entry: entry.name)
        except OSError as error:
            tree.skipped.append((tree.name(parts), f"the folder cannot be read ({error.strerror or error})"))
            continue
        for entry in entries:
            child = (*parts, entry.name)
            if _is(entry, "dir"):
                (links if entry.is_symlink() else folders).append(child)
            elif _is(entry, "file"):
                tree.files.append(child)
            else:
                tree.skipped.append((tree.name(child), "it is not a file or folder, or it is a broken link"))
    tree.files.sort()
    return tree


def frame_folder(folder: Path) -> FrameFolder | None:
    """Return the pictures directly in `folder`, in the order of their numbers; None if there are none.

    Raises OSError if the folder cannot be read.
    """
    names = [path.name for path in folder.iterdir() if is_picture(path) and not is_hidden(path.name) and path.is_file()]
    return FrameFolder(tuple(folder / name for name in in_order(names))) if names else None


def are_frames(names: Sequence[str]) -> bool:
    """Return whether the pictures of a folder are the frames of one clip, according to their names.

    They are if there are at least three, all of one type, whose names differ only in the number at the end, and if at
    least half of the numbers from the first to the last exist, counted in steps of the smallest distance between two.
    """
    if len(names) < FEWEST_FRAMES or len({PurePath(name).suffix for name in names}) > 1:
        return False
    matches = [_NUMBERED.fullmatch(PurePath(name).stem) for name in names]
    if not all(matches) or len({match[1] for match in matches if match}) > 1:
        return False
    numbers = sorted(int(match[2]) for match in matches if match)
    step = min(after - before for before, after in pairwise(numbers))
    return step > 0 and (numbers[-1] - numbers[0]) // step < SPARSEST * len(numbers)


def in_order(names: Iterable[str]) -> list[str]:
    """Return the names in natural order: `frame_9` before `frame_10`."""
    return sorted(names, key=lambda name: ([_piece(piece) for piece in _DIGITS.split(name)], name))


def is_hidden(name: str) -> bool:
    """Return whether a file or folder is hidden, such as macOS's `._name`, or belongs to a tool, such as `@eaDir`."""
    return name.startswith(".") or name.casefold() in TOOL_FILES


def is_media(path: PurePath | str) -> bool:
    return is_picture(path) or is_video(path)


def is_file(path: Path) -> bool:
    """Return Path.is_file; False also for a name that no file can have: too long, or with a NUL character."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def printable(name: str) -> str:
    """Return a file name as valid text in NFC, whatever form the file system has.

    Bytes that are not Unicode, which some systems allow, become question marks.
    """
    return unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode())


def unread(path: PurePath) -> str:
    """Return the reason why a file that is neither a picture nor a video is skipped."""
    suffix = path.suffix.lower()
    if suffix in TABLE_SUFFIXES:
        return "a table is only read if it is passed itself"
    if remedy := CONVERTIBLE.get(suffix):
        return f"files ending in {path.suffix} are not supported; {remedy}"
    if plugin := PLUGINS.get(suffix):
        return f"files ending in {path.suffix} cannot be decoded here; convert them to JPEG or PNG, or install {plugin}"
    if is_sound(suffix):
        return f"files ending in {path.suffix} contain only sound"
    kind = f"files ending in {printable(path.suffix)}" if path.suffix else "files without a suffix"
    return f"{kind} are not supported"


def _is(entry: os.DirEntry[str], kind: str) -> bool:
    try:
        return entry.is_dir() if kind == "dir" else entry.is_file()
    except OSError:  # a link to itself
        return False


def _identity(state: os.stat_result) -> tuple[int, int]:
    return state.st_dev, state.st_ino


def _piece(piece: str) -> tuple[int, str]:
    return (int(piece), "") if _DIGITS.fullmatch(piece) else (0, piece)
