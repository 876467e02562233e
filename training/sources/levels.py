"""What each level of folders in a tree stands for: label, split, intensity, person or clip.

Nothing is known about a level but the names in it. The label's level is the one with the most pictures in folders named
after an emotion. Levels count from 1, the folders directly in the source.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath

from ...common.words import counted, listed
from ..prompts.labels import INTENSITIES, is_expression, known_label, level_of
from .columns import TABLE_SUFFIXES
from .file_names import emotion_in_name, labels_in_names
from .files import Parts, Tree, printable
from .items import Choices, SourceError, part_of, part_of_folder
from .named import TWO_LETTERS

CLOSE = 0.5  # a second level with this share of the best one's emotions makes the label unclear
NAMED = 5  # the most names of a level that a message shows
LISTS = TABLE_SUFFIXES | {".lst", ".xlsx", ".xls", ".mat", ".npy"}  # files that may have the labels
_LIST = re.compile(r"label|list|annot|emotion|expression", re.IGNORECASE)  # in the name of a text file with labels
NOT_PEOPLE = frozenset(  # names of folders by which data sets divide pictures, but not by people; in lower case
    {"male", "female", "men", "women", "man", "woman", "boys", "girls", "m", "f", "real", "fake", "synthetic"}
    | {"generated", "raw", "original", "cropped", "aligned", "rgb", "gray", "grey", "grayscale", "depth", "color"}
    | {"images", "img", "pictures", "photos", "videos", "frames", "front", "frontal", "left", "right"}
)
_STRENGTH = re.compile(r"(?:level|intensity)[ _-]?([1-3])", re.IGNORECASE)  # MEAD


@dataclass(frozen=True)
class Levels:
    """The levels with a role; 0 if no level has it."""

    label: int = 0
    split: int = 0
    group: int = 0
    intensity: int = 0
    in_names: Mapping[Parts, str] = field(default_factory=dict)  # file → label, if the labels are in the names of files
    codes: Mapping[str, str] = field(default_factory=dict)  # folder → label, if the folders have codes for names
    notes: list[str] = field(default_factory=list)
    doubt: str = ""


def levels_of(tree: Tree, choices: Choices) -> Levels:
    """Return the roles of the tree's levels; `choices` come first. Raises SourceError for a chosen level without names.

    If the names do not decide, or if none of them is an emotion and there is no reason to take them for labels, `doubt`
    gives the readings and the flags that choose one.
    """
    media = tree.media()
    depth = max((len(parts) - 1 for parts in media), default=0)
    names = {level: Counter(parts[level - 1] for parts in media if len(parts) > level) for level in range(1, depth + 1)}
    split = next((level for level, found in names.items() if _are_splits(found)), 0)
    coded = {level for level, found in names.items() if _are_codes(found)} if not choices.label_map else set[int]()
    emotions = {
        level: sum(
            count for name, count in found.items() if level in coded or known_label(name) or name in choices.label_map
        )
        for level, found in names.items()
        if level != split
    }
    intensity = next(
        (
            level
            for level in emotions
            if all(map(strength, names[level])) and any(emotions[other] for other in emotions if other != level)
        ),
        0,
    )
    candidates = [level for level in emotions if level != intensity]
    label = max(candidates, key=lambda level: (emotions[level], -level), default=0)
    doubt, notes = "", list[str]()
    if choices.label_level is None and not emotions.get(label) and (in_names := labels_in_names(media)):
        notes.append("the labels are the emotions in the file names")
        folders = [level for level in emotions if not all(map(strength, names[level]))]
        group = _group(depth + 1, folders, names)
        if choices.group_level is not None:
            group = _explicit_group(tree, choices, names)
        elif not group:
            notes.append("people are not known: each picture is its own group")
        if group:
            notes.append(_group_note(group, names))
        return Levels(split=split, group=group, in_names=in_names, notes=notes)
    if choices.label_level is not None:
        label = _chosen(tree, choices.label_level, names, "--label-level")
        split, intensity = (0 if level == label else level for level in (split, intensity))
    elif not label:
        doubt = f"{tree.base}: no folder is named after a label"
    else:
        tables = [tree.name(parts) for parts in tree.files if _is_table(PurePath(parts[-1]))]
        doubt = _doubt(tree, media, label, candidates, names, emotions, tables)
        if not doubt and tables:
            notes.append(
                f"{tables[0]} is not used: the labels are the names of folders; pass the file itself to use it"
            )
        if not doubt and label != candidates[0] and emotions[label]:
            others = [level for level in candidates if level != label]
            notes.append(
                f"the labels are the folders of level {label} ({_shown(names[label])}); to use others, pass "
                + " or ".join(f"--label-level {level} ({_shown(names[level])})" for level in others)
            )
    group = _group(label, [level for level in candidates if level != label], names)
    if choices.group_level is not None:
        group = _explicit_group(tree, choices, names)
    if 0 < group < label:
        notes.append(_group_note(group, names))
    codes = {name: TWO_LETTERS[name] for name in sorted(names[label])} if label in coded else {}
    if codes:
        notes.append("the folders are read as codes of emotions: " + ", ".join(map(" ".join, codes.items())))
    return Levels(label, split, group, intensity, codes=codes, notes=notes, doubt=doubt)


def _are_splits(found: Counter[str]) -> bool:
    """Return whether folders are splits: all of them, or half of them beside others that are no labels."""
    exact = sum(bool(part_of(name)) for name in found)
    return all(map(part_of_folder, found)) or (2 * exact >= len(found) and not any(map(known_label, found)))


def _are_codes(found: Counter[str]) -> bool:
    return len(found) > 1 and all(name in TWO_LETTERS for name in found)


def strength(name: str) -> str:
    """Return the intensity that a folder's name states, as a template understands it; "" if it states none."""
    if match := _STRENGTH.fullmatch(name):
        return INTENSITIES[int(match[1]) - 1]
    return "" if name.isdecimal() or level_of(name) is None else name


def _doubt(
    tree: Tree,
    media: Sequence[Parts],
    label: int,
    candidates: Sequence[int],
    names: dict[int, Counter[str]],
    emotions: dict[int, int],
    tables: Sequence[str],
) -> str:
    """Return why the names in `label` may not be the labels, with all readings; "" if there is no reason to doubt."""
    found = names[label]
    if emotions[label]:
        others = [level for level in candidates if level != label and emotions[level]]
        rivals = [level for level in others if emotions[level] >= CLOSE * emotions[label]]
        several = any(_differ(media, label, level) for level in rivals)
        elsewhere = [name for level in others for name in _elsewhere(media, label, level)]
        reason = "several levels name emotions" if several else ""
        if elsewhere:
            reason = f"pictures in the folder {printable(elsewhere[0])} have an emotion in another level of folders"
    elif tables:
        reason = (
            f"no folder is named after an emotion, and {tables[0]}, which may have the labels, is not read. "
            "Pass that file if it is a table with the columns path and label"
        )
    elif len(candidates) == 1 and all(name.isdecimal() for name in found):
        return ""  # numbers are refused with a reason of their own unless --label-map gives their meaning
    elif len(found) == 1:
        reason = f"no folder is named after an emotion, and all pictures would have the label {_shown(found)}"
    elif all(re.search("[0-9]", name) for name in found):
        reason = (
            f"no folder is named after an emotion, and the names ({_shown(found)}) look like codes of people or clips"
        )
    elif not any(map(is_expression, found)):
        reason = (
            f"no folder is named after an emotion or another expression, and the names ({_shown(found)}) may be those "
            "of people"
        )
    else:
        return ""
    if not reason:
        return ""
    readings = [f"--label-level {level} reads {_shown(names[level])}" for level in candidates]
    if not emotions[label]:
        readings.append(f"--label-map {printable(min(found))}=happy,… renames them")
    return (
        f"{tree.base}: the labels are unclear: {reason}. {names_without_emotion(tree, media)}Choose: "
        f"{'; '.join(readings)}; --label TEXT gives all pictures one label; or write a CSV with the columns "
        "path,label,group and pass it instead"
    )


def names_without_emotion(tree: Tree, media: Sequence[Parts]) -> str:
    """Return which file names lack an emotion if others contain one, as a sentence and a space; "" if all lack it."""
    without = [tree.name(parts) for parts in media if emotion_in_name(parts) is None]
    if len(without) == len(media):
        return ""
    return (
        f"{len(media) - len(without):,} of {counted(len(media), 'file name')} contain one emotion; these do not: "
        f"{listed(without, most=NAMED)}. "
    )


def _pairs(media: Sequence[Parts], label: int, level: int) -> list[tuple[str, str | None, str | None]]:
    """Return each name in the label's level with its emotion and that of the other level, for pictures in both."""
    pairs = {(parts[label - 1], parts[level - 1]) for parts in media if len(parts) > max(label, level)}
    return [(one, known_label(one), known_label(other)) for one, other in sorted(pairs)]


def _differ(media: Sequence[Parts], label: int, level: int) -> bool:
    """Return whether the two levels name different emotions for any picture."""
    return any(one and other and one != other for _, one, other in _pairs(media, label, level))


def _elsewhere(media: Sequence[Parts], label: int, level: int) -> list[str]:
    """Return the names in the label's level that are no emotions while the other level names one."""
    return [name for name, one, other in _pairs(media, label, level) if other and not one]


def _group(label: int, others: Sequence[int], names: dict[int, Counter[str]]) -> int:
    """Return the level of the groups: above the label the one with the most names, else the first below it."""
    people = [level for level in others if not all(name.casefold() in NOT_PEOPLE for name in names[level])]
    above = [level for level in people if level < label and len(names[level]) > 1]
    below = [level for level in people if level > label]
    if above:
        return max(above, key=lambda level: (len(names[level]), -level))
    return below[0] if below else 0


def _group_note(group: int, names: dict[int, Counter[str]]) -> str:
    return (
        f"the folders of level {group} ({_shown(names[group])}) are the groups, such as people; "
        "if they are not people, pass --group-level 0"
    )


def _explicit_group(tree: Tree, choices: Choices, names: dict[int, Counter[str]]) -> int:
    return _chosen(tree, choices.group_level, names, "--group-level") if choices.group_level else 0


def _chosen(tree: Tree, level: int, names: dict[int, Counter[str]], flag: str) -> int:
    if level not in names:
        levels = "; ".join(f"{number}: {_shown(found)}" for number, found in names.items()) or "none"
        raise SourceError(f"{tree.base}: there is no folder level {level}; {flag} can be one of these: {levels}")
    return level


def _shown(found: Counter[str]) -> str:
    return listed([printable(name) for name in sorted(found)], most=NAMED)


def _is_table(path: PurePath) -> bool:
    return path.suffix.lower() in LISTS or (path.suffix.lower() == ".txt" and bool(_LIST.search(path.stem)))
