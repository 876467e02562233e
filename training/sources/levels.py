"""What each level of folders in a tree stands for: label, split, intensity, person or clip.

Nothing is known about a level but the names in it. The label's level is the one with the most pictures in folders named
after an emotion. Levels count from 1, the folders directly in the source.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
class _Level:
    """One level of folders and the names in it."""

    number: int  # from 1
    names: Counter[str]  # folder → pictures in it
    emotions: int  # pictures in folders that are named after an emotion

    @property
    def are_strengths(self) -> bool:
        return all(map(strength, self.names))

    def __str__(self) -> str:
        return listed([printable(name) for name in sorted(self.names)], most=NAMED)


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
    levels = _levels(media, choices)
    split = next((level for level in levels if _are_splits(level.names)), None)
    others = [level for level in levels if level is not split]
    with_emotions = [level for level in others if level.emotions]
    intensity = next((level for level in others if level.are_strengths and with_emotions not in ([], [level])), None)
    candidates = [level for level in others if level is not intensity]
    label = max(candidates, key=lambda level: (level.emotions, -level.number), default=None)
    doubt, notes = "", list[str]()
    in_names: Mapping[Parts, str] = {}
    if choices.label_level is None and not (label and label.emotions):
        in_names = labels_in_names(media) or {}
    if in_names:
        notes.append("the labels are the emotions in the file names")
        label, intensity = None, None
        group = _group(len(levels) + 1, [level for level in others if not level.are_strengths])
        if choices.group_level is None and not group:
            notes.append("people are not known: each picture is its own group")
    else:
        if choices.label_level is not None:
            label = _chosen(tree, choices.label_level, levels, "--label-level")
            split, intensity = (None if level is label else level for level in (split, intensity))
        elif label is None:
            doubt = f"{tree.base}: no folder is named after a label"
        else:
            tables = [tree.name(parts) for parts in tree.files if _is_table(PurePath(parts[-1]))]
            doubt = _doubt(tree, media, label, candidates, tables)
            notes.extend(() if doubt else _label_notes(label, candidates, tables))
        group = _group(label.number if label else 0, [level for level in candidates if level is not label])
    if choices.group_level is not None:
        group = _chosen(tree, choices.group_level, levels, "--group-level") if choices.group_level else None
    if group and (in_names or (label and group.number < label.number)):
        notes.append(
            f"the folders of level {group.number} ({group}) are the groups, such as people; if they are not people, "
            "pass --group-level 0"
        )
    codes = {}
    if label and _are_codes(label.names, choices):
        codes = {name: TWO_LETTERS[name] for name in sorted(label.names)}
        notes.append("the folders are read as codes of emotions: " + ", ".join(map(" ".join, codes.items())))
    roles = [level.number if level else 0 for level in (label, split, group, intensity)]
    return Levels(roles[0], roles[1], roles[2], roles[3], in_names, codes, notes, doubt)


def _levels(media: Sequence[Parts], choices: Choices) -> list[_Level]:
    levels = []
    for number in range(1, max(map(len, media), default=0)):
        names = Counter(parts[number - 1] for parts in media if len(parts) > number)
        coded = _are_codes(names, choices)
        known = (count for name, count in names.items() if coded or known_label(name) or name in choices.label_map)
        levels.append(_Level(number, names, sum(known)))
    return levels


def _are_splits(names: Counter[str]) -> bool:
    """Return whether folders are splits: all of them, or half of them beside others that are no labels."""
    exact = sum(bool(part_of(name)) for name in names)
    return all(map(part_of_folder, names)) or (2 * exact >= len(names) and not any(map(known_label, names)))


def _are_codes(names: Counter[str], choices: Choices) -> bool:
    return not choices.label_map and len(names) > 1 and all(name in TWO_LETTERS for name in names)


def strength(name: str) -> str:
    """Return the intensity that a folder's name states, as a template understands it; "" if it states none."""
    if match := _STRENGTH.fullmatch(name):
        return INTENSITIES[int(match[1]) - 1]
    return "" if name.isdecimal() or level_of(name) is None else name


def _label_notes(label: _Level, candidates: Sequence[_Level], tables: Sequence[str]) -> Iterator[str]:
    if tables:
        yield f"{tables[0]} is not used: the labels are the names of folders; pass the file itself to use it"
    if label is not candidates[0] and label.emotions:
        others = [f"--label-level {level.number} ({level})" for level in candidates if level is not label]
        yield (
            f"the labels are the folders of level {label.number} ({label}); to use others, pass {' or '.join(others)}"
        )


def _doubt(
    tree: Tree, media: Sequence[Parts], label: _Level, candidates: Sequence[_Level], tables: Sequence[str]
) -> str:
    """Return why the names in `label` may not be the labels, with all readings; "" if there is no reason to doubt."""
    reason = _reason_to_doubt(media, label, candidates, tables)
    if not reason:
        return ""
    readings = [f"--label-level {level.number} reads {level}" for level in candidates]
    if not label.emotions:
        readings.append(f"--label-map {printable(min(label.names))}=happy,… renames them")
    return (
        f"{tree.base}: the labels are unclear: {reason}. {names_without_emotion(tree, media)}Choose: "
        f"{'; '.join(readings)}; --label TEXT gives all pictures one label; or write a CSV with the columns "
        "path,label,group and pass it instead"
    )


def _reason_to_doubt(media: Sequence[Parts], label: _Level, candidates: Sequence[_Level], tables: Sequence[str]) -> str:
    names = label.names
    if label.emotions:
        reason = ""
        for level in candidates:
            if level is not label and level.emotions:
                pairs = _pairs(media, label, level)
                elsewhere = [name for name, one, other in pairs if other and not one]
                if elsewhere:
                    return (
                        f"pictures in the folder {printable(elsewhere[0])} have an emotion in another level of folders"
                    )
                if level.emotions >= CLOSE * label.emotions and any(one != other for _, one, other in pairs if other):
                    reason = "several levels name emotions"
        return reason
    if tables:
        return (
            f"no folder is named after an emotion, and {tables[0]}, which may have the labels, is not read. "
            "Pass that file if it is a table with the columns path and label"
        )
    if len(candidates) == 1 and all(name.isdecimal() for name in names):
        return ""  # numbers are refused with a reason of their own unless --label-map gives their meaning
    if len(names) == 1:
        return f"no folder is named after an emotion, and all pictures would have the label {label}"
    if all(re.search("[0-9]", name) for name in names):
        return f"no folder is named after an emotion, and the names ({label}) look like codes of people or clips"
    if not any(map(is_expression, names)):
        return (
            f"no folder is named after an emotion or another expression, and the names ({label}) may be those of people"
        )
    return ""


def _pairs(media: Sequence[Parts], label: _Level, level: _Level) -> list[tuple[str, str | None, str | None]]:
    """Return each name in the label's level with its emotion and that of the other level, for pictures in both."""
    one, other = label.number, level.number
    pairs = {(parts[one - 1], parts[other - 1]) for parts in media if len(parts) > max(one, other)}
    return [(name, known_label(name), known_label(second)) for name, second in sorted(pairs)]


def names_without_emotion(tree: Tree, media: Sequence[Parts]) -> str:
    """Return which file names lack an emotion if others contain one, as a sentence and a space; "" if all lack it."""
    without = [tree.name(parts) for parts in media if emotion_in_name(parts) is None]
    if len(without) == len(media):
        return ""
    return (
        f"{len(media) - len(without):,} of {counted(len(media), 'file name')} contain one emotion; these do not: "
        f"{listed(without, most=NAMED)}. "
    )


def _group(label: int, others: Sequence[_Level]) -> _Level | None:
    """Return the level of the groups: above the label the one with the most names, else the first below it."""
    people = [level for level in others if not all(name.casefold() in NOT_PEOPLE for name in level.names)]
    above = [level for level in people if level.number < label and len(level.names) > 1]
    below = [level for level in people if level.number > label]
    return max(above, key=lambda level: (len(level.names), -level.number)) if above else next(iter(below), None)


def _chosen(tree: Tree, number: int, levels: Sequence[_Level], flag: str) -> _Level:
    if not 0 < number <= len(levels):
        names = "; ".join(f"{level.number}: {level}" for level in levels) or "none"
        raise SourceError(f"{tree.base}: there is no folder level {number}; {flag} can be one of these: {names}")
    return levels[number - 1]


def _is_table(path: PurePath) -> bool:
    return path.suffix.lower() in LISTS or (path.suffix.lower() == ".txt" and bool(_LIST.search(path.stem)))
