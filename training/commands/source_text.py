"""How a source was understood, as text: what `build` prints before it perceives anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from ...common.words import counted, listed
from ...perception.vector import EMOTIONS
from ..prompts.labels import visible
from ..prompts.templates import INTENSITY, Templates
from ..sources.files import printable
from ..sources.items import NO_CHOICES, Choices, SourceItem, SourceListing
from ..sources.media import FrameFolder, VideoFile

MOST_LABELS = 12
MOST_GROUPS = 3
MOST_REASONS = 4
EXAMPLES = 3
NO_SPLIT = "none"
FOLDER_FORMATS = ("labels", "fer2013")


def describe(
    listing: SourceListing,
    kind: str,
    templates: Templates,
    prompts_of: Callable[[SourceItem], Sequence[str]],
    given: Sequence[str] = (),
    choices: Choices = NO_CHOICES,
) -> list[str]:
    """Return the lines that describe a listing: its format, numbers, labels, groups, splits and examples.

    `given` are the prompts for items without their own, and `choices` those with which the source was read.
    """
    items = listing.items
    return [
        f"read as {kind}: {_media(items)}{_skips(listing.skipped)}",
        *_labels(items, given, kind),
        _groups(items, choices),
        *_splits(items),
        *_columns(items, templates),
        *(f"note: {note}" for note in listing.notes),
        "examples (file → label → prompt → group):",
        *(f"  {item.source} → {item.label or '–'} → {prompts_of(item)[0]} → {item.group}" for item in _examples(items)),
    ]


def _media(items: Sequence[SourceItem]) -> str:
    media = {item.source: item.media for item in items}
    kinds = Counter(
        "video" if isinstance(each, VideoFile) else "folder of frames" if isinstance(each, FrameFolder) else "picture"
        for each in media.values()
    )
    plurals = {"picture": "", "video": "", "folder of frames": "folders of frames"}
    parts = [counted(kinds[kind], kind, plural) for kind, plural in plurals.items() if kinds[kind]]
    rows = f" in {counted(len(items), 'row')}" if len(items) > len(media) else ""
    return ", ".join(parts) + rows


def _skips(skipped: Sequence[tuple[str, str]]) -> str:
    if not skipped:
        return ""
    reasons = Counter(reason for _, reason in skipped).most_common()
    return f"; {len(skipped):,} skipped ({listed([f'{count:,}: {text}' for text, count in reasons], MOST_REASONS)})"


def _labels(items: Sequence[SourceItem], given: Sequence[str], kind: str) -> list[str]:
    found = Counter(item.label for item in items if item.label)
    if not found:
        prompts = {text.strip() for text in given}
        any_given = any(prompts.issuperset(item.prompts) for item in items)
        return ["labels: none; prompts are given" if any_given else "labels: none; every picture has its own prompts"]
    lines = [f"labels: {_counts(found, MOST_LABELS)}"]
    own = Counter({label: count for label, count in found.items() if label not in EMOTIONS})
    if own:
        which, remedy = "some labels are not among", ""
        if len(own) == len(found):
            which, remedy = "no label is one of", ". To rename them, pass --label-map OLD=NEW"
            remedy += "; to use other folders, --label-level N" if kind in FOLDER_FORMATS else ""
        lines.append(
            f"note: {which} the seven emotions; they are kept as they are: {_counts(own, MOST_LABELS)}{remedy}"
        )
    return lines


def _groups(items: Sequence[SourceItem], choices: Choices) -> str:
    found = Counter(item.group for item in items)
    if all(item.group == item.source for item in items):
        return "groups: every file is its own" + (", because people are not known" if choices.group_level != 0 else "")
    return f"groups: {len(found):,} (people or clips), such as {_counts(found, MOST_GROUPS)}"


def _splits(items: Sequence[SourceItem]) -> list[str]:
    found = Counter(item.split or NO_SPLIT for item in items)
    if set(found) == {NO_SPLIT}:
        return []
    lines = [f"splits: {_counts(found, len(found))}"]
    of_group: dict[str, set[str]] = {}
    for item in items:
        if item.split:
            of_group.setdefault(item.group, set()).add(item.split)
    if divided := [group for group, splits in of_group.items() if len(splits) > 1]:
        lines.append(
            f"note: {counted(len(divided), 'group has', 'groups have')} pictures in several splits "
            f"({listed(divided, MOST_GROUPS)}), which `train` refuses unless you pass --ignore-splits to it"
        )
    return lines


def _columns(items: Sequence[SourceItem], templates: Templates) -> list[str]:
    """Return which columns of the source appear in no prompt."""
    used = {INTENSITY, *(name for each in (*templates.templates, *templates.label_templates) for name in each.names)}
    unused = dict.fromkeys(
        name
        for item in items
        for name, text in item.columns.items()
        if (name.casefold() not in used or item.prompts) and not item.group.endswith(visible(printable(text)))
    )
    return [f"columns that are not used: {', '.join(unused)}"] if unused else []


def _examples(items: Sequence[SourceItem]) -> list[SourceItem]:
    """Return a few items, of different labels if there are any."""
    first = {item.label: item for item in reversed(items)}
    chosen = {id(item): item for item in (*list(first.values())[::-1][:EXAMPLES], *items[:EXAMPLES])}
    return list(chosen.values())[:EXAMPLES]


def _counts(found: Counter[str], most: int) -> str:
    return listed([f"{name} {count:,}" for name, count in found.most_common()], most)
