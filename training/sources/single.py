"""A single clip or picture, which says nothing of what it expresses."""

from __future__ import annotations

from pathlib import Path

from .files import frame_folder, is_media, printable, unread
from .items import Item, Listing, SourceError
from .media import media_of


def list_frames(folder: Path) -> Listing:
    """A folder that directly holds the frames of one clip. Raises SourceError if there are no pictures in it."""
    base = folder.resolve()
    frames = frame_folder(base)
    if frames is None:
        raise SourceError(f"{folder}: no frames lie directly in it, such as frame_0001.png, frame_0002.png, …")
    name = printable(base.name)
    return Listing([Item(frames, source=name, group=name)])


def list_video(path: Path) -> Listing:
    """One video, or one picture. Raises SourceError if it is neither."""
    if not is_media(path):
        raise SourceError(f"{path}: {unread(path)}; give a video or a picture")
    name = printable(path.name)
    return Listing([Item(media_of(path.absolute()), source=name, group=name)])
