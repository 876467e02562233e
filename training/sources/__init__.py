"""Sources of training data: pictures and videos with prompts or labels.

A listing is stable: the same files yield the same items in the same order, regardless of other files next to them and
of the working directory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from .captions import list_captions
from .detection import detect as detect
from .fer2013 import list_fer2013
from .folders import list_frames, list_labels, list_video
from .items import SourceError, SourceItem, SourceListing
from .ravdess import list_ravdess
from .tables import list_csv, list_jsonl

FOLDER, FILE = "folder", "file"
_LISTERS: dict[str, tuple[Callable[[Path], SourceListing], tuple[str, ...]]] = {  # with what each can list
    "labels": (list_labels, (FOLDER,)),
    "csv": (list_csv, (FILE,)),
    "jsonl": (list_jsonl, (FILE,)),
    "captions": (list_captions, (FOLDER,)),
    "ravdess": (list_ravdess, (FOLDER, FILE)),
    "fer2013": (list_fer2013, (FOLDER, FILE)),
    "frames": (list_frames, (FOLDER,)),
    "video": (list_video, (FILE,)),
}
DATASET = "dataset"  # .db or .npz
FORMATS = (*_LISTERS, DATASET)


def find_items(source: Path, format: str | None = None, prompts: Sequence[str] = (), label: str = "") -> SourceListing:
    """Return the items of `source`, whose format is one of FORMATS; None uses the result of `detect`.

    `prompts` are used for items without prompts of their own, also if they have a label. `label` is used for items
    without a label. Items that then have neither are listed as skipped.

    Raises SourceError, naming the place and the remedy, if nothing can be listed.
    """
    if format is not None and format not in FORMATS:
        raise SourceError(f"the format {format!r} does not exist; choose one of: {', '.join(FORMATS)}")
    if not source.exists():
        raise SourceError(f"{source}: there is no such folder or file")
    name = format or detect(source)
    if name == DATASET:
        raise SourceError(f"{source}: a dataset contains no pictures; its samples can only be copied")
    lister, kinds = _LISTERS[name]
    kind = FOLDER if source.is_dir() else FILE
    if kind not in kinds or (kind == FILE and not source.is_file()):
        raise SourceError(f"{source}: the format {name} needs a {' or '.join(kinds)}, and this is not one")
    return _completed(source, lister(source), tuple(text.strip() for text in prompts if text.strip()), label.strip())


def _completed(source: Path, listing: SourceListing, prompts: tuple[str, ...], label: str) -> SourceListing:
    """Return the listing with the caller's prompts and label for items without their own."""
    items: list[SourceItem] = []
    skipped = list(listing.skipped)
    for item in listing.items:
        if item.prompts or prompts or item.label or label:
            items.append(replace(item, prompts=item.prompts or prompts, label=item.label or label))
        else:
            skipped.append((item.source, "it has no prompt and no label; pass --prompt or --label for such pictures"))
    if not items:
        raise SourceError(f"{source}: there is no prompt and no label; pass --prompt or --label")
    notes = list(listing.notes)
    if prompts and all(item.prompts for item in listing.items):
        notes.append("--prompt is not used: every picture has its own prompt")
    if label and all(item.label for item in listing.items):
        notes.append("--label is not used: every picture has its own label")
    return SourceListing(items, skipped, notes)
