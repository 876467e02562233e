"""Detection of a source's format from the names of its files and the first line of tables."""

from __future__ import annotations

from collections import Counter
from pathlib import Path, PurePath

from ...common.words import counted
from .annotated import annotation_of
from .captions import captions_of, repeated_name, stem_of
from .columns import CSV_SUFFIXES, JSON_SUFFIXES, PARQUET_SUFFIX, TABLE_SUFFIXES
from .fer2013 import is_fer2013_csv
from .file_names import labels_in_names
from .files import CONVERTIBLE, Tree, are_frames, is_media, printable, unread, walk
from .imagefolder import metadata_of
from .items import SourceError, part_of
from .levels import names_without_emotion
from .media import PLUGINS
from .named import ENOUGH, named_counts

DATASETS = frozenset({".db", ".npz"})
NAMED_FILE_TYPES = 5  # the most file types that an error names


def detect(source: Path, described: bool = False) -> str:
    """Return the format of `source`, one of FORMATS, detected from file names and the first line of tables.

    Pictures in any other arrangement are a source, too, if they are `described` by one label or prompt for all.

    Raises SourceError if the source does not exist, or if no format or several formats fit.
    """
    if source.is_dir():
        return _format_of_folder(source, described)
    if not source.exists():
        raise SourceError(f"{source}: there is no such folder or file")
    return _format_of_file(source)


def _format_of_file(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix in DATASETS:
        return "dataset"
    if suffix in JSON_SUFFIXES:
        return "jsonl"
    if suffix in CSV_SUFFIXES and path.is_file():
        return "fer2013" if is_fer2013_csv(path) else "csv"
    if suffix == PARQUET_SUFFIX:
        return "parquet"
    if is_media(path):
        return next((name for name, count in named_counts([(path.name,)]).items() if count), "video")
    if suffix in CONVERTIBLE:
        raise SourceError(f"{path}: {unread(path)}")
    kind = f"files ending in {suffix}" if suffix else "files without a suffix"
    raise SourceError(
        f"{path}: {kind} cannot be used as a source. Pass a folder with one subfolder per label, a .csv, .jsonl or "
        ".parquet file with the columns path, prompt (or label) and optionally group, a video or a picture"
    )


def _format_of_folder(folder: Path, described: bool) -> str:
    tree = walk(folder)
    if annotated := annotation_of(tree):
        return annotated
    media = tree.media()
    if metadata_of(tree):
        return "imagefolder"
    if not media and any(parts[-1].lower().endswith(PARQUET_SUFFIX) for parts in tree.files):
        return "parquet"
    named = named_counts(media)
    if names := [name for name, count in named.items() if count and count >= ENOUGH * len(media)]:
        return names[0]
    captions = captions_of(tree)
    captioned = sum(stem_of(parts) in captions for parts in media)
    # A number before a name alone proves nothing: 03_fearful may be the third label.
    repeated = all(len(parts) == 2 and repeated_name(parts[0]) for parts in media)
    direct = [parts[0] for parts in media if len(parts) == 1]
    in_folders = len(media) - len(direct)
    counts = {  # how many pictures and videos each format fits
        "labels": in_folders,
        "captions": len(media) if repeated else captioned,
        "ravdess": named["ravdess"],
        "fer2013": in_folders if all(len(parts) > 2 and part_of(parts[0]) for parts in media) else 0,
        "frames": len(direct) if are_frames(direct) and not captioned else 0,
    }
    # A format that fits every picture, and is not just a folder of folders, is the intended one.
    if whole := [name for name, count in counts.items() if count == len(media) > 0 and name != "labels"]:
        return whole[0]
    possible = [name for name, count in counts.items() if count]
    if len(possible) > 1:
        shows = {
            "labels": "in subfolders",
            "captions": "with a caption file or in folders such as 10_happy",
            "ravdess": "with file names of RAVDESS",
            "frames": "numbered and directly in the folder",
        }
        contents = "; ".join(f"{counts[name]} {shows[name]} ({name})" for name in possible)
        raise SourceError(
            f"{folder}: more than one format fits its {counted(len(media), 'picture or video', 'pictures and videos')}:"
            f" {contents}. Choose one: pass {' or '.join(f'--format {name}' for name in possible)}"
        )
    if possible:
        return possible[0]
    if labels_in_names(media):
        return "labels"
    if media and described:
        return "pictures"
    raise SourceError(_unknown(folder, tree))


def _unknown(folder: Path, tree: Tree) -> str:
    """Return the error message for a folder that fits no format."""
    types = Counter(printable(PurePath(parts[-1]).suffix.lower()) or "without suffix" for parts in tree.files)
    contents = ", ".join(f"{count} {suffix}" for suffix, count in types.most_common(NAMED_FILE_TYPES)) or "no files"
    tables = [parts for parts in tree.files if PurePath(parts[-1]).suffix.lower() in TABLE_SUFFIXES]
    remedy = f" Or pass the file {tree.name(tables[0])} itself." if tables else ""
    name, media = printable(tree.base.name), tree.media()
    described = " To give all pictures one label or prompt, pass --label TEXT or --prompt TEXT." if media else ""
    if coded := [parts for parts in tree.files if PurePath(parts[-1]).suffix.lower() in PLUGINS]:
        return (
            f"{folder}: it contains {contents}, and no picture can be decoded here: {tree.name(coded[0])}: "
            f"{unread(PurePath(coded[0][-1]))}"
        )
    return (
        f"{folder}: the folder fits no known format (it contains {contents}). {names_without_emotion(tree, media)}"
        f"It must contain one folder per label: {name}/happy/1.jpg, {name}/sad/2.jpg, … or pictures with one emotion "
        f"in each file name: {name}/p01_happy_3.jpg, … or pictures with caption files: {name}/1.jpg, {name}/1.txt, … "
        f"or the numbered frames of one clip.{described}{remedy}"
    )
