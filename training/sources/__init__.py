"""Sources of training data: pictures and videos with prompts or labels.

A listing is stable: the same files yield the same items in the same order, regardless of other files next to them and
of the working directory.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..prompts.labels import LabelNames
from .annotated import ANNOTATIONS, list_annotated
from .captions import list_captions
from .columns import TABLE_SUFFIXES
from .detection import detect as detect
from .fer2013 import list_fer2013
from .files import FILE, FOLDER
from .folders import list_frames, list_labels, list_pictures, list_video
from .imagefolder import list_imagefolder
from .items import NO_CHOICES, Choices, SourceError, SourceItem, SourceListing
from .named import NAMINGS, list_named
from .numbering import LEFT_OUT, number_of, refuse_numbers
from .parquet import list_parquet
from .tables import list_csv, list_jsonl

_LISTERS: dict[str, tuple[Callable[[Path], SourceListing], tuple[str, ...]]] = {  # with what each can list
    "labels": (list_labels, (FOLDER,)),
    "csv": (list_csv, (FILE,)),
    "jsonl": (list_jsonl, (FILE,)),
    "imagefolder": (list_imagefolder, (FOLDER,)),
    "parquet": (list_parquet, (FOLDER, FILE)),
    "captions": (list_captions, (FOLDER,)),
    "fer2013": (list_fer2013, (FOLDER, FILE)),
    "frames": (list_frames, (FOLDER,)),
    "pictures": (list_pictures, (FOLDER,)),
    "video": (list_video, (FILE,)),
    **{name: (partial(list_named, name=name), (FOLDER, FILE)) for name in NAMINGS},
    **{name: (partial(list_annotated, name=name), (FOLDER,)) for name in ANNOTATIONS},
}
_OF_FOLDERS: dict[str, Callable[[Path, Choices], SourceListing]] = {"labels": list_labels, "fer2013": list_fer2013}
DATASET = "dataset"  # .db or .npz
FORMATS = (*_LISTERS, DATASET)


def find_items(
    source: Path,
    format: str | None = None,
    prompts: Sequence[str] = (),
    label: str = "",
    choices: Choices = NO_CHOICES,
) -> SourceListing:
    """Return the items of `source`, whose format is one of FORMATS; None uses the result of `detect`.

    `prompts` are used for items without prompts of their own, also if they have a label. `label` is used for items
    without a label, or whose label is in doubt. Items that then have neither are listed as skipped. All spellings of a
    label become one; `choices.label_map` renames labels first.

    Raises SourceError, naming the place and the remedy, if nothing can be listed, or if the labels are unclear.
    """
    if format is not None and format not in FORMATS:
        raise SourceError(f"the format {format!r} does not exist; choose one of: {', '.join(FORMATS)}")
    if not source.exists():
        raise SourceError(f"{source}: there is no such folder or file")
    name = format or detect(source, described=bool(prompts or label))
    if name == DATASET:
        raise SourceError(f"{source}: a dataset contains no pictures; its samples can only be copied")
    lister, kinds = _LISTERS[name]
    kind = FOLDER if source.is_dir() else FILE
    if kind not in kinds or (kind == FILE and not source.is_file()):
        raise SourceError(f"{source}: the format {name} needs a {' or '.join(kinds)}, and this is not one")
    if name in _OF_FOLDERS:
        listing = _OF_FOLDERS[name](source, choices)
    elif (choices.label_level, choices.group_level) != (None, None):
        raise SourceError(f"{source}: --label-level and --group-level are for folders of labels; add --format labels")
    else:
        listing = lister(source)
    listing = _labeled(source, listing, choices, bool(prompts), label.strip())
    return _completed(source, listing, tuple(text.strip() for text in prompts if text.strip()), label.strip())


def _labeled(source: Path, listing: SourceListing, choices: Choices, prompted: bool, label: str) -> SourceListing:
    """Return the listing with one name per label. Raises SourceError if labels that are needed are unclear."""
    if listing.doubt and not prompted and not label:
        raise SourceError(listing.doubt)
    name_of, names = LabelNames(), defaultdict[str, set[str]](set)
    items: list[SourceItem] = []
    skipped, used = list(listing.skipped), set()
    for item in listing.items:
        own = "" if listing.doubt else item.label
        old = own if own in choices.label_map else number_of(own)
        mapped = choices.label_map.get(old)
        if mapped == "":
            skipped.append((item.source, LEFT_OUT))
            continue
        if mapped is not None:
            used.add(old)
        named = name_of(mapped or own) if own else ""
        if named.casefold() != own.casefold():
            names[named].add(own)
        items.append(item if named == item.label else replace(item, label=named))
    if not prompted:
        refuse_numbers(source, {item.label for item in items if not item.prompts})
    notes = list(listing.notes)
    if names:
        notes.append("labels renamed: " + "; ".join(f"{', '.join(sorted(names[name]))} → {name}" for name in names))
    if unused := [f"{old}={new}" for old, new in choices.label_map.items() if new and old not in used]:
        notes.append(f"--label-map: no picture has these labels: {', '.join(unused)}")
    return SourceListing(items, skipped, notes)


def _completed(source: Path, listing: SourceListing, prompts: tuple[str, ...], label: str) -> SourceListing:
    """Return the listing with the caller's prompts and label for items without their own."""
    if not listing.items:
        (reason, count), *_ = Counter(reason for _, reason in listing.skipped).most_common()
        raise SourceError(f"{source}: --label-map leaves out all pictures ({count:,} skipped: {reason}); correct it")
    items: list[SourceItem] = []
    skipped = list(listing.skipped)
    for item in listing.items:
        if (item.prompts or not prompts) and (item.label or not label) and (item.prompts or item.label):
            items.append(item)
        elif item.prompts or prompts or item.label or label:
            items.append(replace(item, prompts=item.prompts or prompts, label=item.label or label))
        else:
            skipped.append((item.source, "it has no prompt and no label; pass --prompt or --label for such pictures"))
    if not items:
        tables = [name for name, _ in listing.skipped if name.lower().endswith(tuple(TABLE_SUFFIXES))]
        remedy = f", or the file {tables[0]} itself if it has them" if tables else ""
        raise SourceError(f"{source}: there is no prompt and no label; pass --prompt or --label{remedy}")
    notes = list(listing.notes)
    if prompts and all(item.prompts for item in listing.items):
        notes.append("--prompt is not used: every picture has its own prompt")
    if label and all(item.label for item in listing.items):
        notes.append("--label is not used: every picture has its own label")
    return SourceListing(items, skipped, notes)
