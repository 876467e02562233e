"""Where pictures and what they express come from.

A listing is stable: the same files give the same items in the same order, whatever else lies beside them and whatever
the working directory is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from .captions import list_captions
from .detection import detect as detect
from .fer2013 import list_fer2013
from .folders import list_frames, list_labels, list_video
from .items import Item, Listing, SourceError
from .ravdess import list_ravdess
from .tables import list_csv, list_jsonl

FOLDER, FILE = "folder", "file"
_LISTERS: dict[str, tuple[Callable[[Path], Listing], tuple[str, ...]]] = {  # and what each can list
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


def find_items(source: Path, format: str | None = None, prompts: Sequence[str] = (), label: str = "") -> Listing:
    """List what is in `source`, in one of FORMATS; the one that `detect` tells if None.

    `prompts` are for the items that have none of their own; where there is a label they win over it. `label` is for
    items without one. Items that then have neither are listed as skipped.

    Raises SourceError, naming the place and the remedy, if nothing can be listed.
    """
    if format is not None and format not in FORMATS:
        raise SourceError(f"there is no format {format!r}; choose one of: {', '.join(FORMATS)}")
    if not source.exists():
        raise SourceError(f"{source}: there is no such folder or file")
    name = format or detect(source)
    if name == DATASET:
        raise SourceError(f"{source}: a dataset has no pictures; its samples can only be copied")
    lister, kinds = _LISTERS[name]
    kind = FOLDER if source.is_dir() else FILE
    if kind not in kinds or (kind == FILE and not source.is_file()):
        raise SourceError(f"{source}: the format {name} is a {' or '.join(kinds)}, and this is not")
    return _completed(source, lister(source), tuple(text.strip() for text in prompts if text.strip()), label.strip())


def _completed(source: Path, listing: Listing, prompts: tuple[str, ...], label: str) -> Listing:
    """The same listing, with the caller's prompts and label where there are none."""
    items: list[Item] = []
    skipped = list(listing.skipped)
    for item in listing.items:
        if item.prompts or prompts or item.label or label:
            items.append(replace(item, prompts=item.prompts or prompts, label=item.label or label))
        else:
            skipped.append((item.source, "nothing says what it expresses; pass --prompt or --label for such pictures"))
    if not items:
        raise SourceError(f"{source}: nothing says what it expresses; pass --prompt or --label")
    notes = list(listing.notes)
    if prompts and all(item.prompts for item in listing.items):
        notes.append("the given prompts are not used: each picture comes with its own")
    if label and all(item.label for item in listing.items):
        notes.append("the given label is not used: each picture comes with its own")
    return Listing(items, skipped, notes)
