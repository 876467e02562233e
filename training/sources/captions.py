"""Pictures with caption files, in the layout of kohya's trainer (sd-scripts)."""

from __future__ import annotations

import re
from collections import defaultdict
from io import BytesIO
from pathlib import Path, PurePath

from .dialects import WINDOWS, encoding_in, read_as_windows
from .files import Parts, Tree, printable, walk
from .items import SourceError, SourceListing, item_of

SUFFIXES = (".txt", ".caption")  # the first one that exists is used
LONGEST = 1 << 16  # bytes
_REPEATED = re.compile(r"[0-9]+_(.*)", re.DOTALL)


def list_captions(root: Path) -> SourceListing:
    """Return the pictures and videos with a `name.txt` or `name.caption` next to them, in any folder below `root`.

    Each line of a caption file is a prompt of its picture; empty lines are ignored. (kohya's trainer reads one caption
    per file.) In folders called `{repeat}_{name}`, `name` is the label, from which the prompts of pictures without a
    caption are generated; the number of repeats is ignored, so each picture is one sample. Each picture is a separate
    group. Captions without a picture, and captions that cannot be read, are listed as skipped.

    Raises SourceError if there are no pictures or videos.
    """
    tree = walk(root)
    media, captions = tree.media(), captions_of(tree)
    listing = SourceListing(skipped=list(tree.skipped))
    windows = list[str]()
    for parts in media:
        prompts: tuple[str, ...] = ()
        if caption := next(iter(captions.get(stem_of(parts), [])), None):
            try:
                prompts, encoding = _prompts(tree.path(caption))
            except ValueError as error:
                listing.skipped.append((tree.name(parts), f"the caption {printable(caption[-1])} {error}"))
                continue
            if encoding == WINDOWS:
                windows.append(printable(caption[-1]))
        label = repeated_name((tree.base.name, *parts)[-2])
        listing.items.append(item_of(tree, parts, prompts=prompts, label=printable(label or "")))
    if not listing.items:
        raise SourceError(
            f"{root}: there is no usable picture. Each picture needs a caption file next to it: 1.jpg, and 1.txt with "
            f"the prompt. {listing.first_skip('its files', 'none is a picture or video')}"
        )
    pictured = {stem_of(parts) for parts in media}
    for stem, files in captions.items():
        used = stem in pictured
        reason = "there is no picture with this name next to it"
        if used:
            reason = f"the caption {printable(files[0][-1])} is used instead"
        listing.skipped.extend((tree.name(parts), reason) for parts in files[used:])
    listing.skipped.extend(tree.unused({*media, *(parts for files in captions.values() for parts in files)}, ""))
    if windows:
        others = f" (and {len(windows) - 1:,} more)" if len(windows) > 1 else ""
        listing.notes.append(read_as_windows(windows[0] + others))
    if any(len(item.prompts) > 1 for item in listing.items):
        listing.notes.append("each line of a caption file is used as a separate prompt")
    if any(item.label for item in listing.items):
        listing.notes.append(
            "the number in a folder's name, such as 10 in 10_happy, is ignored: each picture is one sample"
        )
    return listing


def captions_of(tree: Tree) -> dict[Parts, list[Parts]]:
    """Return the caption files by folder and name without suffix; the first of each list is used."""
    captions: dict[Parts, list[Parts]] = defaultdict(list)
    for suffix in SUFFIXES:
        for parts in tree.files:
            if parts[-1].lower().endswith(suffix):
                captions[stem_of(parts)].append(parts)
    return dict(captions)


def stem_of(parts: Parts) -> Parts:
    """Return what a picture and its caption share: the folders and the name without suffix."""
    return (*parts[:-1], printable(PurePath(parts[-1]).stem))


def repeated_name(folder: str) -> str | None:
    """Return `happy` for a folder called `10_happy`; None if its name does not have this form."""
    match = _REPEATED.fullmatch(folder)
    return match[1].strip() or None if match else None


def _prompts(path: Path) -> tuple[tuple[str, ...], str]:
    """Return the prompts in a caption file and its encoding. Raises ValueError, with what is wrong with the file."""
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST + 1)
        if len(content) > LONGEST:
            raise ValueError(f"is longer than {LONGEST} bytes")
        encoding = encoding_in(BytesIO(content))
        text = content.decode(encoding)
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror or error})") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"is not UTF-8 text ({error.reason})") from error
    if "\0" in text:
        raise ValueError("contains a NUL character")
    return tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip())), encoding
