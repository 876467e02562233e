"""Sources with a folder per label, and single clips or pictures, which have no label.

Pictures and videos directly in a label's folder are a separate group each, because the people are unknown. A folder
within a label's folder is one group, a person or a clip; folders with the same name within several labels' folders are
the same group. If the pictures of such a folder are numbered frames (see `are_frames`), they are one clip.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from ...common.words import counted
from .files import Parts, Tree, are_frames, frame_folder, in_order, is_media, printable, unread, walk
from .items import SourceError, SourceItem, SourceListing, part_of
from .media import FrameFolder, Media, is_picture, media_of


def list_labels(root: Path) -> SourceListing:
    """Return the items of `root`/label/picture, or `root`/label/person or clip/picture.

    Files that are neither pictures nor videos, and files next to the label folders, are listed as skipped. Raises
    SourceError if there are no pictures or videos in subfolders.
    """
    tree = walk(root)
    listing = labeled(tree)
    if not listing.items:
        raise SourceError(
            f"{root}: there are no pictures or videos in subfolders. The folder must contain one folder per label: "
            f"{tree.base.name}/happy/1.jpg, {tree.base.name}/sad/2.jpg, …"
        )
    return listing


def labeled(tree: Tree, split: bool = False) -> SourceListing:
    """Return the items of a tree of label folders; with `split`, these are below folders train, validation or test."""
    above = int(split)  # folders above the label folders
    listing = SourceListing(skipped=list(tree.skipped))
    grouped, clips = False, 0
    for parts, media in sorted(_media(tree, above, listing).items(), key=lambda found: found[0]):
        name, label = tree.name(parts), printable(parts[above])
        inner = parts[above + 1 : above + 2] if _is_within(parts, media, above) else ()
        grouped, clips = grouped or bool(inner), clips + isinstance(media, FrameFolder)
        group = tree.name(inner) if inner else name
        part = part_of(parts[0]) or "" if split else ""
        listing.items.append(SourceItem(media=media, source=name, group=group, label=label, split=part))
    if grouped:
        listing.notes.append("a folder within a label's folder is one group (a person or clip), also across labels")
    if clips:
        listing.notes.append(
            f"{counted(clips, 'folder contains', 'folders contain')} numbered pictures: each such folder is one clip"
        )
    return listing


def _media(tree: Tree, above: int, listing: SourceListing) -> dict[Parts, Media]:
    """Return the pictures, videos and folders of frames by their paths; other files are added to `listing.skipped`."""
    media: dict[Parts, Media] = {}
    pictures: dict[Parts, list[str]] = defaultdict(list)  # folders within label folders → pictures in them
    for parts in tree.files:
        if len(parts) <= above + 1:
            listing.skipped.append((tree.name(parts), "it is next to the label folders, not in one"))
        elif not is_media(path := tree.path(parts)):
            listing.skipped.append((tree.name(parts), unread(path)))
        else:
            media[parts] = media_of(path)
            if len(parts) > above + 2 and is_picture(path):
                pictures[parts[:-1]].append(parts[-1])
    for folder, names in pictures.items():
        if are_frames(names):
            ordered = [(*folder, name) for name in in_order(names)]
            media[folder] = FrameFolder(tuple(tree.path(parts) for parts in ordered))
            for parts in ordered:
                del media[parts]
    return media


def _is_within(parts: Parts, media: Media, above: int) -> bool:
    """Return whether the media is in, or is, a folder within a label's folder."""
    return len(parts) > above + 2 or isinstance(media, FrameFolder)


def list_frames(folder: Path) -> SourceListing:
    """Return a folder whose pictures are the frames of one clip. Raises SourceError if there are no pictures in it."""
    base = folder.resolve()
    frames = frame_folder(base)
    if frames is None:
        raise SourceError(
            f"{folder}: there are no frames directly in the folder; it must contain frame_0001.png, frame_0002.png, …"
        )
    name = printable(base.name)
    return SourceListing([SourceItem(frames, source=name, group=name)])


def list_video(path: Path) -> SourceListing:
    """Return one video or one picture. Raises SourceError if the file is neither."""
    if not is_media(path):
        raise SourceError(f"{path}: {unread(path)}; pass a video or a picture")
    name = printable(path.name)
    return SourceListing([SourceItem(media_of(path.absolute()), source=name, group=name)])
