"""Data sets with labels in files beside the pictures: RAF-DB, AffectNet, CK+ and ExpW."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePath

import numpy as np

from .files import Parts, Tree, walk
from .items import SourceError, SourceItem, SourceListing, item_of, split_of_folders
from .media import PicturePart
from .numbering import LEFT_OUT, NUMBERINGS

LONGEST = 64 << 20  # bytes of a list
PEAKS = 3  # the last frames of a CK+ sequence that show the emotion, as evaluations on CK+ take them
NO_PICTURE = "its picture does not exist"
_RAF_LINE = re.compile(r"((train|test)_[0-9]+)\.jpg\s+([1-9][0-9]?)")
_CK_LABEL = re.compile(r"(S[0-9]{3}_[0-9]{3})_([0-9]{8})_emotion\.txt", re.IGNORECASE)
_CK_FRAME = re.compile(r"(S[0-9]{3}_[0-9]{3})_([0-9]{8})\.[^.]+", re.IGNORECASE)
_EXPW_BOX = re.compile(r"(\S+) (\S+) ([0-9]{1,5}) ([0-9]{1,5}) ([0-9]{1,5}) ([0-9]{1,5}) \S+ ([0-6])")

Reading = Iterator[SourceItem | tuple[str, str]]  # items, and (path, reason) of what cannot be used


def annotation_of(tree: Tree) -> str | None:
    """Return the name of the data set whose label files the tree contains, one of ANNOTATIONS; None if none."""
    return next((name for name in ANNOTATIONS if any(_annotations(tree, name))), None)


def list_annotated(root: Path, name: str) -> SourceListing:
    """Return the pictures that the label files of the data set `name`, one of ANNOTATIONS, give a label.

    All other files are listed as skipped. Raises SourceError if there is no labeled picture.
    """
    tree = walk(root)
    annotations = list(_annotations(tree, name))
    listing = SourceListing(skipped=list(tree.skipped))
    for result in ANNOTATIONS[name][1](tree, annotations):
        if isinstance(result, SourceItem):
            listing.items.append(result)
        else:
            listing.skipped.append(result)
    if not listing.items:
        raise SourceError(
            f"{root}: no picture belongs to the label files of {name}, such as "
            f"{tree.name(annotations[0]) if annotations else 'none'}; pass the folder that contains both"
        )
    accounted = {item.source.partition("#face=")[0] for item in listing.items} | dict(listing.skipped).keys()
    others = tree.unused(set(annotations), "no label file names it")
    listing.skipped.extend((file, reason) for file, reason in others if file not in accounted)
    if name == "ck+":
        listing.notes.append(f"of each CK+ sequence, frame 1 is neutral and the last {PEAKS} show the emotion")
    return listing


def _annotations(tree: Tree, name: str) -> Iterator[Parts]:
    """Yield the label files of the data set `name`, one of ANNOTATIONS."""
    end = re.compile(rf"(?:^|/)(?:{ANNOTATIONS[name][0]})$", re.IGNORECASE)
    return (parts for parts in tree.files if end.search("/".join(parts)))


def _rafdb(tree: Tree, annotations: Sequence[Parts]) -> Reading:
    """`train_00001.jpg 5` per line; the picture is train_00001_aligned.jpg, or else the original of that name."""
    by_stem = {PurePath(parts[-1]).stem: parts for parts in tree.media()}
    for where, line in _lines(tree, annotations):
        if not (match := _RAF_LINE.fullmatch(line)):
            yield where, "it is not a line such as train_00001.jpg 5"
            continue
        stem, split, number = match.groups()
        if number not in NUMBERINGS["raf-db"]:
            raise SourceError(
                f"{tree.base.parent / where} has the label {number}, but RAF-DB's basic set only has 1 to 7; the "
                "compound set numbers other expressions. Pass the folder of the basic set"
            )
        picture = by_stem.get(f"{stem}_aligned") or by_stem.get(stem)
        label = NUMBERINGS["raf-db"][number]
        yield item_of(tree, picture, label=label, split=split) if picture else (where, NO_PICTURE)


def _affectnet(tree: Tree, annotations: Sequence[Parts]) -> Reading:
    """`annotations/12_exp.npy` contains the number of the expression in `images/12.jpg`."""
    by_place = {(parts[:-2], PurePath(parts[-1]).stem): parts for parts in tree.media() if len(parts) > 1}
    for parts in annotations:
        picture = by_place.get((parts[:-2], parts[-1].removesuffix("_exp.npy")))
        try:
            number = str(np.load(tree.path(parts), allow_pickle=False).item()).strip()
            label = NUMBERINGS["affectnet"][number.removesuffix(".0")]
        except (OSError, ValueError, EOFError, KeyError, AttributeError, MemoryError):
            yield tree.name(parts), "it does not contain an expression's number from 0 to 10"
            continue
        if picture is None:
            yield tree.name(parts), NO_PICTURE
        elif not label:
            yield tree.name(picture), LEFT_OUT
        else:
            yield item_of(tree, picture, label=label, split=split_of_folders((tree.base.name, *parts[:-1])))


def _ck(tree: Tree, annotations: Sequence[Parts]) -> Reading:
    """`S005_001_00000011_emotion.txt` contains the number of the emotion in the last frame, 11, of S005_001.

    The frames before it come closer and closer to the emotion, from the neutral frame 1 on.
    """
    sequences: dict[str, list[tuple[int, Parts]]] = defaultdict(list)
    for parts in tree.media():
        if match := _CK_FRAME.fullmatch(parts[-1]):
            sequences[match[1].upper()].append((int(match[2]), parts))
    for parts in annotations:
        match = _CK_LABEL.fullmatch(parts[-1])
        name, last = (match[1].upper(), int(match[2])) if match else ("", 0)
        try:
            label = NUMBERINGS["ck+"][str(int(float(tree.path(parts).read_text("utf-8", "replace")[:40])))]
        except OSError as error:
            yield tree.name(parts), f"it cannot be read ({error.strerror or error})"
            continue
        except (ValueError, OverflowError, KeyError):
            yield tree.name(parts), "it does not contain an emotion's number from 0 to 7"
            continue
        if not sequences[name]:
            yield tree.name(parts), "its pictures do not exist"
        for number, frame in sequences[name]:
            if number == 1 or last - PEAKS < number <= last:
                yield item_of(tree, frame, label="neutral" if number == 1 else label, group=f"CK+ {name[:4]}")
            else:
                yield tree.name(frame), "it is between the neutral face and the peak of the emotion"


def _expw(tree: Tree, annotations: Sequence[Parts]) -> Reading:
    """Lines `name face top left right bottom confidence expression`: one face's box in a picture, and its label."""
    by_name = {parts[-1]: parts for parts in tree.media()}
    for where, line in _lines(tree, annotations):
        if not (match := _EXPW_BOX.fullmatch(" ".join(line.split()))):
            yield where, "it is not a line such as angry_1.jpg 0 53 90 240 203 12.3 0"
        elif not (picture := by_name.get(match[1])):
            yield where, NO_PICTURE
        else:
            top, left, right, bottom = map(int, match.groups()[2:6])
            media, name = PicturePart(tree.path(picture), (left, top, right, bottom)), tree.name(picture)
            yield SourceItem(media, f"{name}#face={match[2]}", group=name, label=NUMBERINGS["expw"][match[7]])


def _lines(tree: Tree, files: Sequence[Parts]) -> Iterator[tuple[str, str]]:
    """Yield the lines of text files that are not empty, each with its place.

    Raises SourceError if a file is too long or cannot be read.
    """
    for parts in files:
        path = tree.path(parts)
        try:
            if path.stat().st_size > LONGEST:
                raise SourceError(f"{path}: the list is longer than {LONGEST >> 20} MB")
            lines = path.read_text("utf-8-sig", "replace").splitlines()
        except OSError as error:
            raise SourceError(f"{path}: the list cannot be read ({error.strerror or error})") from error
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield f"{tree.name(parts)} line {number}", line.strip()


ANNOTATIONS: dict[str, tuple[str, Callable[[Tree, Sequence[Parts]], Reading]]] = {  # end of the path, reader
    "raf-db": (r"list_pa\w+_label\.txt", _rafdb),
    "affectnet": (r"annotations/[^/]+_exp\.npy", _affectnet),  # other data sets have coefficients in such files
    "ck+": (_CK_LABEL.pattern, _ck),
    "expw": (r"label\.lst", _expw),
}
