"""Sources with a folder per label, and single clips or pictures, which have no label.

Pictures and videos directly in a label's folder are a separate group each, because the people are unknown. A folder
within a label's folder is one group, a person or a clip; folders with the same name within several labels' folders are
the same group. If the pictures of such a folder are numbered frames (see `are_frames`), they are one clip.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from ...common.words import counted
from ..prompts.labels import visible
from .files import Parts, Tree, are_frames, in_order, is_media, printable, unread, walk
from .items import NO_CHOICES, Choices, SourceError, SourceItem, SourceListing, item_of, part_of, part_of_folder
from .levels import Levels, levels_of, strength
from .media import FrameFolder, Media, is_picture, media_of


def list_labels(root: Path, choices: Choices = NO_CHOICES) -> SourceListing:
    """Return the items of `root`/label/picture, or `root`/label/person or clip/picture.

    Other folders may be above or between these, such as train and test, or people; see levels.py. Files that are
    neither pictures nor videos, and files next to the label folders, are listed as skipped. Raises SourceError if there
    are no pictures or videos in subfolders.
    """
    tree = walk(root)
    levels = levels_of(tree, choices)
    listing = SourceListing(skipped=list(tree.skipped), notes=list(levels.notes), doubt=levels.doubt)
    within, clips = False, 0
    for parts, media in sorted(_media(tree, levels, listing).items(), key=lambda found: found[0]):
        folders = parts if isinstance(media, FrameFolder) else parts[:-1]
        group, intensity = _at(levels.group, folders), _at(levels.intensity, folders)
        split = part_of_folder(_at(levels.split, folders)) or part_of(group) or ""
        group = "" if part_of(group) else group  # a folder called train is no person, whatever is beside it
        within |= bool(group) and levels.group > levels.label > 0
        clips += isinstance(media, FrameFolder)
        listing.items.append(
            SourceItem(
                media=media,
                source=tree.name(parts),
                group=visible(tree.name((group,))) if group else tree.name(parts),
                label=printable(_label(parts, levels)),
                columns={"intensity": strength(intensity)} if intensity else {},
                split=split,
            )
        )
    if within:
        listing.notes.append("a folder within a label's folder is one group (a person or clip), also across labels")
    if clips:
        listing.notes.append(
            f"{counted(clips, 'folder contains', 'folders contain')} numbered pictures: each such folder is one clip"
        )
    if levels.split:
        where = "the top folders" if levels.split == 1 else f"the folders of level {levels.split}"
        listing.notes.append(f"{where} determine the split of a picture: train, validation or test")
    if not listing.items:
        raise SourceError(
            f"{root}: there are no pictures or videos in subfolders. The folder must contain one folder per label: "
            f"{tree.base.name}/happy/1.jpg, {tree.base.name}/sad/2.jpg, …"
        )
    return listing


def _at(level: int, folders: Parts) -> str:
    """Return the folder of a level; "" if there is none."""
    return folders[level - 1] if 0 < level <= len(folders) else ""


def _label(parts: Parts, levels: Levels) -> str:
    if levels.in_names:
        return levels.in_names[parts]
    name = parts[levels.label - 1]
    return levels.codes.get(name, name)


def _media(tree: Tree, levels: Levels, listing: SourceListing) -> dict[Parts, Media]:
    """Return the pictures, videos and folders of frames by their paths; other files are added to `listing.skipped`."""
    media: dict[Parts, Media] = {}
    pictures: dict[Parts, list[str]] = defaultdict(list)  # folders within label folders → pictures in them
    for parts in tree.files:
        if len(parts) <= levels.label or (levels.label == 0 and not levels.in_names):
            listing.skipped.append((tree.name(parts), "it is next to the label folders, not in one"))
        elif not is_media(parts[-1]):
            listing.skipped.append((tree.name(parts), unread(tree.path(parts))))
        else:
            media[parts] = media_of(tree.path(parts))
            inside = len(parts) - 1 > levels.label != 0 and len(parts) - 1 not in (levels.intensity, levels.split)
            if inside and is_picture(parts[-1]):
                pictures[parts[:-1]].append(parts[-1])
    for folder, names in pictures.items():
        if are_frames(names):
            ordered = [(*folder, name) for name in in_order(names)]
            media[folder] = FrameFolder(tuple(tree.path(parts) for parts in ordered))
            for parts in ordered:
                del media[parts]
    return media


def list_pictures(root: Path) -> SourceListing:
    """Return all pictures and videos below `root`, without labels. Raises SourceError if there are none."""
    tree = walk(root)
    media = tree.media()
    if not media:
        raise SourceError(f"{root}: there are no pictures or videos in this folder; pass one that contains some")
    return SourceListing([item_of(tree, parts) for parts in media], [*tree.skipped, *tree.unused(set(media), "")])


def list_frames(folder: Path) -> SourceListing:
    """Return a folder whose pictures are the frames of one clip. Raises SourceError if there are no pictures in it."""
    tree = walk(folder)
    frames = [parts[0] for parts in tree.files if len(parts) == 1 and is_picture(parts[0])]
    if not frames:
        raise SourceError(
            f"{folder}: there are no frames directly in the folder; it must contain frame_0001.png, frame_0002.png, …"
        )
    name, media = printable(tree.base.name), FrameFolder(tuple(tree.base / frame for frame in in_order(frames)))
    others = tree.unused({(frame,) for frame in frames}, "it is in a folder below the frames")
    return SourceListing([SourceItem(media, source=name, group=name)], [*tree.skipped, *others])


def list_video(path: Path) -> SourceListing:
    """Return one video or one picture. Raises SourceError if the file is neither."""
    if not is_media(path):
        raise SourceError(f"{path}: {unread(path)}; pass a video or a picture")
    name = printable(path.name)
    return SourceListing([SourceItem(media_of(path.absolute()), source=name, group=name)])
