"""RAVDESS, whose file names state the actor and the emotion.

The meaning of the names is from Livingstone & Russo (2018), "The Ryerson Audio-Visual Database of Emotional Speech and
Song (RAVDESS)", doi:10.1371/journal.pone.0196391: modality, vocal channel, emotion, intensity, statement, repetition,
actor, with two digits each.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path, PurePath
from typing import NamedTuple

from ...common.words import counted
from .files import Parts, Tree, unread, walk
from .items import SourceError, SourceItem, SourceListing
from .media import VideoFile, is_video

EMOTIONS = {
    "01": "neutral",
    "02": "neutral",  # calm
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
CALM = "02"
INTENSITIES = {"01": "normal", "02": "strong"}
FULL, SILENT, SOUND = "01", "02", "03"  # modalities: video with sound, video only, sound only
_NAME = re.compile("-".join(["([0-9]{2})"] * 7))
_FIELDS = {  # the valid values of each field
    "modality": (FULL, SILENT, SOUND),
    "vocal channel": ("01", "02"),
    "emotion": tuple(EMOTIONS),
    "intensity": tuple(INTENSITIES),
    "statement": ("01", "02"),
    "repetition": ("01", "02"),
    "actor": tuple(f"{actor:02}" for actor in range(1, 25)),
}


class Take(NamedTuple):
    """The fields of a file name."""

    modality: str
    channel: str
    emotion: str
    intensity: str
    statement: str
    repetition: str
    actor: str

    @property
    def without_sound(self) -> Take:
        return self._replace(modality=SILENT)


def list_ravdess(source: Path) -> SourceListing:
    """Return the videos of a folder and the folders below it, or one video: emotion as label, `Actor NN` as group.

    The columns are `intensity` (normal or strong), `actor` (01…24) and `gender` (male or female). `calm` counts as
    neutral. Files with only sound are not used; if a take exists with and without sound, the one with sound is used.
    Other files are listed as skipped.

    Raises SourceError if there is no such video.
    """
    tree = walk(source) if source.is_dir() else Tree(source.absolute().parent, [(source.name,)])
    listing = SourceListing(skipped=list(tree.skipped))
    takes: dict[Parts, Take] = {}
    for parts in tree.files:
        take = parse(parts[-1])
        if isinstance(take, Take):
            takes[parts] = take
        else:
            listing.skipped.append((tree.name(parts), take))
    complete = {take.without_sound: parts for parts, take in reversed(takes.items()) if take.modality == FULL}
    for parts, take in takes.items():
        if take in complete:
            twin = tree.name(complete[take])
            listing.skipped.append((tree.name(parts), f"it is the same take as {twin}, without sound"))
        else:
            listing.items.append(_item(tree, parts, take))
    if not listing.items:
        raise SourceError(f"{source}: no video has a RAVDESS file name, such as 01-01-03-02-01-01-12.mp4")
    emotions = Counter(takes[parts].emotion for parts in takes)
    if emotions[CALM]:
        listing.notes.append(f"RAVDESS's calm counts as neutral ({counted(emotions[CALM], 'file')})")
    return listing


def parse(name: str) -> Take | str:
    """Return the fields of a video's name, or the reason why the file is not used."""
    path = PurePath(name)
    match = _NAME.fullmatch(path.stem)
    if not is_video(Path(name)):
        return "it contains only sound" if match and match[1] == SOUND else unread(path)
    if not match:
        return "its name is not a RAVDESS file name, such as 01-01-03-02-01-01-12.mp4"
    for (field, allowed), value in zip(_FIELDS.items(), match.groups(), strict=True):
        if value not in allowed:
            return f"its name has {field} {value}, which does not exist in RAVDESS"
    return "it contains only sound" if match[1] == SOUND else Take(*match.groups())


def is_take(name: str) -> bool:
    """Return whether a video has a RAVDESS file name."""
    return is_video(Path(name)) and bool(_NAME.fullmatch(PurePath(name).stem))


def _item(tree: Tree, parts: Parts, take: Take) -> SourceItem:
    return SourceItem(
        media=VideoFile(tree.path(parts)),
        source=tree.name(parts),
        group=f"RAVDESS {take.actor}",
        label=EMOTIONS[take.emotion],
        columns={
            "intensity": INTENSITIES[take.intensity],
            "actor": take.actor,
            "gender": "male" if int(take.actor) % 2 else "female",
        },
    )
