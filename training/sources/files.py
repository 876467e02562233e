"""The files of a folder, in an order that is always the same, and which of them are the frames of one clip."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePath

from .media import PICTURES, VIDEOS, FrameFolder, is_picture

Parts = tuple[str, ...]  # a path below a folder: its names, from the top

MEDIA = PICTURES | VIDEOS
FEWEST_FRAMES = 3
SPARSEST = 2  # of so many numbers at most, one is there
_NUMBERED = re.compile(r"(.*?)([0-9]+)", re.DOTALL)
_DIGITS = re.compile(r"([0-9]+)")


@dataclass(frozen=True)
class Tree:
    """What lies in a folder and the folders below it; hidden files are not in it, nor macOS's `._name`."""

    base: Path  # absolute
    files: list[Parts] = field(default_factory=list)  # sorted
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (which, why) of what could not be looked into

    def path(self, parts: Parts) -> Path:
        return self.base.joinpath(*parts)

    def name(self, parts: Parts) -> str:
        """How a file is called in the dataset: from the folder's own name on, with slashes."""
        return printable("/".join((self.base.name, *parts)))

    def media(self) -> list[Parts]:
        """The pictures and videos among the files."""
        return [parts for parts in self.files if is_media(PurePath(parts[-1]))]


def walk(root: Path) -> Tree:
    """All files below the folder `root`.

    Links to folders are followed, after the folders themselves. No folder is looked into twice, and none around
    `root` at all, so that links in a circle come to an end. Names are read, not the files.
    """
    tree = Tree(root.resolve())
    seen = {_identity(folder.stat()) for folder in tree.base.parents}
    folders: deque[Parts] = deque([()])
    links: deque[Parts] = deque()
    while folders or links:
        parts = folders.popleft() if folders else links.popleft()
        try:
            identity = _identity(tree.path(parts).stat())
            if identity in seen:
                tree.skipped.append((tree.name(parts), "it leads to a folder that is listed already, or is around it"))
                continue
            seen.add(identity)
            with os.scandir(tree.path(parts)) as found:
                entries = sorted((entry for entry in found if not is_hidden(entry.name)), key=lambda entry: entry.name)
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
                tree.skipped.append((tree.name(child), "it is no file or folder, or a link that leads nowhere"))
    tree.files.sort()
    return tree


def frame_folder(folder: Path) -> FrameFolder | None:
    """The pictures that lie directly in `folder`, in the order of their numbers; None if there are none.

    Raises OSError if the folder cannot be read.
    """
    names = [path.name for path in folder.iterdir() if is_picture(path) and not is_hidden(path.name) and path.is_file()]
    return FrameFolder(tuple(folder / name for name in in_order(names))) if names else None


def are_frames(names: Sequence[str]) -> bool:
    """Whether the pictures of a folder are the frames of one clip, as far as their names tell.

    They are if there are three or more, all of one type, whose names differ in nothing but the number at their end,
    and if of the numbers from the first to the last, in steps of the smallest distance between two, at least half
    are there.
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
    """Names sorted as people number them: `frame_9` before `frame_10`."""
    return sorted(names, key=lambda name: ([_piece(piece) for piece in _DIGITS.split(name)], name))


def is_hidden(name: str) -> bool:
    return name.startswith(".")


def is_media(path: PurePath) -> bool:
    return path.suffix.lower() in MEDIA


def is_file(path: Path) -> bool:
    """As Path.is_file; False also for a name that no file can have: too long, or with a NUL in it."""
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
    """A file name as text: bytes that are no Unicode, which some systems allow, become question marks."""
    return name.encode("utf-8", "replace").decode()


def unread(path: PurePath) -> str:
    """Why a file that is neither a picture nor a video is skipped."""
    return f"files of the type {printable(path.suffix) or 'without suffix'} are not read"


def _is(entry: os.DirEntry[str], kind: str) -> bool:
    try:
        return entry.is_dir() if kind == "dir" else entry.is_file()
    except OSError:  # a link to itself
        return False


def _identity(state: os.stat_result) -> tuple[int, int]:
    return state.st_dev, state.st_ino


def _piece(piece: str) -> tuple[int, str]:
    return (int(piece), "") if _DIGITS.fullmatch(piece) else (0, piece)
