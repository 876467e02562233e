"""Data sets with labels in files beside the pictures: RAF-DB, AffectNet, CK+ and ExpW."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path, PurePath

import numpy as np

from .files import Parts, Tree, is_media, unread, walk
from .items import SourceError, SourceItem, SourceListing, part_of_folder
from .media import Media, PicturePart, media_of
from .numbering import LEFT_OUT, NUMBERINGS

LONGEST = 64 << 20  # bytes of a list
PEAKS = 3  # the last frames of a CK+ sequence that show the emotion, as evaluations on CK+ take them
_RAF_LIST = re.compile(r"list_pa\w+_label\.txt", re.IGNORECASE)
_RAF_LINE = re.compile(r"((train|test)_[0-9]+)\.jpg\s+([1-9][0-9]?)")
_CK_LABEL = re.compile(r"(S[0-9]{3}_[0-9]{3})_([0-9]{8})_emotion\.txt", re.IGNORECASE)
_CK_FRAME = re.compile(r"(S[0-9]{3}_[0-9]{3})_([0-9]{8})\.[^.]+", re.IGNORECASE)


def annotation_of(tree: Tree) -> str | None:
    """Return the name of the data set whose label files the tree contains, one of ANNOTATIONS; None if none."""
    for name, (is_annotation, _) in ANNOTATIONS.items():
        if any(is_annotation(parts) for parts in tree.files):
            return name
    return None


def list_annotated(root: Path, name: str) -> SourceListing:
    """Return the pictures that the label files of the data set `name`, one of ANNOTATIONS, give a label.

    All other files are listed as skipped. Raises SourceError if there is no labeled picture.
    """
    tree = walk(root)
    is_annotation, read = ANNOTATIONS[name]
    annotations = [parts for parts in tree.files if is_annotation(parts)]
    listing = SourceListing(skipped=list(tree.skipped))
    used = read(tree, annotations, listing)
    reasons = dict(listing.skipped)
    for parts in tree.files:
        file = tree.name(parts)
        if parts not in used and parts not in annotations and file not in reasons:
            path = PurePath(parts[-1])
            listing.skipped.append((file, "no label file names it" if is_media(path) else unread(path)))
    if not listing.items:
        raise SourceError(
            f"{root}: no picture belongs to the label files of {name}, such as "
            f"{tree.name(annotations[0]) if annotations else 'none'}; pass the folder that contains both"
        )
    return listing


def _rafdb(tree: Tree, annotations: list[Parts], listing: SourceListing) -> set[Parts]:
    """`train_00001.jpg 5` per line; the picture is train_00001_aligned.jpg, or else the original of that name."""
    by_stem = {PurePath(parts[-1]).stem: parts for parts in tree.media()}
    used: set[Parts] = set()
    for parts in annotations:
        for number, line in enumerate(_lines(tree.path(parts)), start=1):
            match = _RAF_LINE.fullmatch(line.strip())
            if match and match[3] not in NUMBERINGS["raf-db"]:
                raise SourceError(
                    f"{tree.path(parts)}: line {number} has the label {match[3]}, but RAF-DB's basic set only has "
                    "1 to 7; the compound set numbers other expressions. Pass the folder of the basic set"
                )
            picture = match and (by_stem.get(f"{match[1]}_aligned") or by_stem.get(match[1]))
            if match and picture:
                used.add(picture)
                listing.items.append(_item(tree, picture, NUMBERINGS["raf-db"][match[3]], split=match[2]))
            elif line.strip():
                reason = "its picture does not exist" if match else "it is not a line such as train_00001.jpg 5"
                listing.skipped.append((f"{tree.name(parts)} line {number}", reason))
    return used


def _affectnet(tree: Tree, annotations: list[Parts], listing: SourceListing) -> set[Parts]:
    """`annotations/12_exp.npy` contains the number of the expression in `images/12.jpg`."""
    by_place = {(parts[:-2], PurePath(parts[-1]).stem): parts for parts in tree.media() if len(parts) > 1}
    used: set[Parts] = set()
    for parts in annotations:
        picture = by_place.get((parts[:-2], parts[-1].removesuffix("_exp.npy")))
        try:
            number = str(np.load(tree.path(parts), allow_pickle=False).item()).strip()
            label = NUMBERINGS["affectnet"][number.removesuffix(".0")]
        except (OSError, ValueError, EOFError, KeyError, AttributeError, MemoryError):
            listing.skipped.append((tree.name(parts), "it does not contain an expression's number from 0 to 10"))
            continue
        if picture is None:
            listing.skipped.append((tree.name(parts), "its picture does not exist"))
        elif label:
            used.add(picture)
            folders = (*parts[:-1], tree.base.name)
            split = next(filter(None, map(part_of_folder, folders)), "")
            listing.items.append(_item(tree, picture, label, split=split))
        else:
            listing.skipped.append((tree.name(picture), LEFT_OUT))
    return used


def _ck(tree: Tree, annotations: list[Parts], listing: SourceListing) -> set[Parts]:
    """`S005_001_00000011_emotion.txt` contains the number of the emotion in the last frame, 11, of S005_001.

    The frames before it come closer and closer to the emotion, from the neutral frame 1 on.
    """
    sequences: dict[str, list[tuple[int, Parts]]] = defaultdict(list)
    for parts in tree.media():
        if match := _CK_FRAME.fullmatch(parts[-1]):
            sequences[match[1].upper()].append((int(match[2]), parts))
    used: set[Parts] = set()
    for parts in annotations:
        match = _CK_LABEL.fullmatch(parts[-1])
        name, last = (match[1].upper(), int(match[2])) if match else ("", 0)
        try:
            label = NUMBERINGS["ck+"][str(int(float(tree.path(parts).read_text("utf-8", "replace")[:40])))]
        except OSError as error:
            listing.skipped.append((tree.name(parts), f"it cannot be read ({error.strerror or error})"))
            continue
        except (ValueError, OverflowError, KeyError):
            listing.skipped.append((tree.name(parts), "it does not contain an emotion's number from 0 to 7"))
            continue
        if not sequences[name]:
            listing.skipped.append((tree.name(parts), "its pictures do not exist"))
        for number, frame in sequences[name]:
            if number == 1 or last - PEAKS < number <= last:
                used.add(frame)
                emotion = "neutral" if number == 1 else label
                listing.items.append(_item(tree, frame, emotion, group=f"CK+ {frame[-1][:4].upper()}"))
            else:
                listing.skipped.append((tree.name(frame), "it is between the neutral face and the peak of the emotion"))
    listing.notes.append(f"of each CK+ sequence, frame 1 is neutral and the last {PEAKS} show the emotion")
    return used


def _expw(tree: Tree, annotations: list[Parts], listing: SourceListing) -> set[Parts]:
    """Lines `name face top left right bottom confidence expression`: one face's box in a picture, and its label."""
    by_name = {parts[-1]: parts for parts in tree.media()}
    used: set[Parts] = set()
    for parts in annotations:
        for number, line in enumerate(_lines(tree.path(parts)), start=1):
            values, where = line.split(), f"{tree.name(parts)} line {number}"
            if not values:
                continue
            picture = by_name.get(values[0])
            if len(values) != 8 or values[7] not in NUMBERINGS["expw"] or not all(map(_is_count, values[2:6])):
                listing.skipped.append((where, "it is not a line such as angry_1.jpg 0 53 90 240 203 12.3 0"))
            elif picture is None:
                listing.skipped.append((where, "its picture does not exist"))
            else:
                used.add(picture)
                top, left, right, bottom = map(int, values[2:6])
                media = PicturePart(tree.path(picture), (left, top, right, bottom))
                label, face = NUMBERINGS["expw"][values[7]], f"{tree.name(picture)}#face={values[1]}"
                listing.items.append(SourceItem(media, source=face, group=tree.name(picture), label=label))
    return used


def _item(tree: Tree, parts: Parts, label: str, split: str = "", group: str = "") -> SourceItem:
    media: Media = media_of(tree.path(parts))
    return SourceItem(media, source=tree.name(parts), group=group or tree.name(parts), label=label, split=split)


def _lines(path: Path) -> list[str]:
    """Return the lines of a text file. Raises SourceError if it is too long or cannot be read."""
    try:
        if path.stat().st_size > LONGEST:
            raise SourceError(f"{path}: the list is longer than {LONGEST >> 20} MB")
        return path.read_text("utf-8-sig", "replace").splitlines()
    except OSError as error:
        raise SourceError(f"{path}: the list cannot be read ({error.strerror or error})") from error


def _is_count(text: str) -> bool:
    return text.isdecimal() and len(text) < 6


ANNOTATIONS: dict[str, tuple[Callable[[Parts], bool], Callable[[Tree, list[Parts], SourceListing], set[Parts]]]] = {
    "raf-db": (lambda parts: bool(_RAF_LIST.fullmatch(parts[-1])), _rafdb),
    "affectnet": (
        lambda parts: len(parts) > 1 and parts[-2] == "annotations" and parts[-1].endswith("_exp.npy"),
        _affectnet,
    ),
    "ck+": (lambda parts: bool(_CK_LABEL.fullmatch(parts[-1])), _ck),
    "expw": (lambda parts: parts[-1].lower() == "label.lst", _expw),
}
