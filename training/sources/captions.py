"""Pictures with caption files, in the layout of kohya's trainer (sd-scripts)."""

from __future__ import annotations

import re
from collections import defaultdict
from io import BytesIO
from pathlib import Path, PurePath

from .dialects import WINDOWS, encoding_in, read_as_windows
from .files import Parts, Tree, is_media, printable, unread, walk
from .items import SourceError, SourceItem, SourceListing
from .media import media_of

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
    listing = SourceListing(skipped=list(tree.skipped))
    captions = captions_of(tree)
    several = repeated = False
    used, windows = set[Parts](), list[str]()
    for parts in tree.files:
        if not is_media(parts[-1]):
            continue
        name, label = tree.name(parts), repeated_name((tree.base.name, *parts)[-2])
        candidates = captions.get(_stem(parts), [])
        used.update(candidates)
        prompts, encoding = _prompts(tree.path(candidates[0])) if candidates else ((), "")
        if encoding == WINDOWS:
            windows.append(printable(candidates[0][-1]))
        if isinstance(prompts, str):
            listing.skipped.append((name, f"the caption {printable(candidates[0][-1])} {prompts}"))
            continue
        several, repeated = several or len(prompts) > 1, repeated or label is not None
        item = SourceItem(
            media_of(tree.path(parts)), source=name, group=name, prompts=prompts, label=printable(label or "")
        )
        listing.items.append(item)
    if not listing.items:
        raise SourceError(
            f"{root}: there is no usable picture. Each picture needs a caption file next to it: 1.jpg, and 1.txt with "
            f"the prompt. {listing.first_skip('its files', 'none is a picture or video')}"
        )
    listing.skipped.extend(_left_over(tree, captions, used))
    if windows:
        others = f" (and {len(windows) - 1:,} more)" if len(windows) > 1 else ""
        listing.notes.append(read_as_windows(windows[0] + others))
    if several:
        listing.notes.append("each line of a caption file is used as a separate prompt")
    if repeated:
        listing.notes.append(
            "the number in a folder's name, such as 10 in 10_happy, is ignored: each picture is one sample"
        )
    return listing


def captions_of(tree: Tree) -> dict[Parts, list[Parts]]:
    """Return the caption files by folder and name without suffix; the first of each list is used."""
    captions: dict[Parts, list[Parts]] = defaultdict(list)
    for parts in tree.files:
        if PurePath(parts[-1]).suffix.lower() in SUFFIXES:
            captions[_stem(parts)].append(parts)
    for candidates in captions.values():
        candidates.sort(key=lambda parts: (SUFFIXES.index(PurePath(parts[-1]).suffix.lower()), parts))
    return dict(captions)


def has_caption(parts: Parts, captions: dict[Parts, list[Parts]]) -> bool:
    return _stem(parts) in captions


def repeated_name(folder: str) -> str | None:
    """Return `happy` for a folder called `10_happy`; None if its name does not have this form."""
    match = _REPEATED.fullmatch(folder)
    return match[1].strip() or None if match else None


def _prompts(path: Path) -> tuple[tuple[str, ...] | str, str]:
    """Return the prompts in a caption file, or what is wrong with it; and its encoding."""
    try:
        with path.open("rb") as file:
            content = file.read(LONGEST + 1)
        if len(content) > LONGEST:
            return f"is longer than {LONGEST} bytes", ""
        encoding = encoding_in(BytesIO(content))
        text = content.decode(encoding)
    except OSError as error:
        return f"cannot be read ({error.strerror or error})", ""
    except UnicodeDecodeError as error:
        return f"is not UTF-8 text ({error.reason})", ""
    if "\0" in text:
        return "contains a NUL character", ""
    return tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip())), encoding


def _left_over(tree: Tree, captions: dict[Parts, list[Parts]], used: set[Parts]) -> list[tuple[str, str]]:
    """Return the files that were not used, each with the reason."""
    skipped = []
    for parts in tree.files:
        name = PurePath(parts[-1])
        if is_media(name):
            continue
        candidates = captions.get(_stem(parts), [])
        if parts not in candidates:
            skipped.append((tree.name(parts), unread(name)))
        elif parts not in used:
            skipped.append((tree.name(parts), "there is no picture with this name next to it"))
        elif parts != candidates[0]:
            skipped.append((tree.name(parts), f"the caption {printable(candidates[0][-1])} is used instead"))
    return skipped


def _stem(parts: Parts) -> Parts:
    return (*parts[:-1], printable(PurePath(parts[-1]).stem))
