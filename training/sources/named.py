"""Data sets whose file names state the emotion and the person: a table of patterns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path, PurePath

from ..prompts.labels import INTENSITIES, known_label
from .files import Parts, Tree, is_media, printable, unread, walk
from .items import SourceError, SourceItem, SourceListing, part_of_folder
from .media import media_of
from .numbering import NUMBERINGS

ENOUGH = 0.9  # share of a folder's pictures that must have such names
TWO_LETTERS = {
    **{"AF": "fear", "FE": "fear", "AN": "angry", "DI": "disgust", "HA": "happy", "NE": "neutral", "SA": "sad"},
    "SU": "surprise",
}
GENDERS = {"F": "female", "W": "female", "M": "male"}


@dataclass(frozen=True)
class Naming:
    """How one data set names its files."""

    title: str
    example: str
    pattern: str  # of the end of the path, without the suffix; `emotion`, `person`, and columns for templates
    emotions: Mapping[str, str] = field(default_factory=dict)  # code → emotion; none: the words are understood
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)  # column → code → value

    def match(self, path: str) -> re.Match[str] | None:
        """Return the fields of a path."""
        return _compiled(self.pattern).search(path)


@lru_cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?:^|/){pattern}\.[^./]+$", re.IGNORECASE)


NAMINGS = {
    "kdef": Naming(  # Lundqvist et al. (1998), "The Karolinska Directed Emotional Faces": session, gender, person
        title="KDEF",
        example="AF01HAS.JPG",
        pattern="[AB](?P<person>(?P<gender>[FM])[0-9]{2})(?P<emotion>AF|AN|DI|HA|NE|SA|SU)(?P<angle>FL|HL|S|HR|FR)",
        emotions=TWO_LETTERS,
        values={
            "gender": GENDERS,
            "angle": {
                "FL": "full left profile",
                "HL": "half left profile",
                "S": "straight",
                "HR": "half right profile",
                "FR": "full right profile",
            },
        },
    ),
    "jaffe": Naming(  # Lyons et al. (1998), "Coding Facial Expressions with Gabor Wavelets"
        title="JAFFE",
        example="KA.HA1.29.tiff",
        pattern=r"(?P<person>[A-Z]{2})\.(?P<emotion>AN|DI|FE|HA|NE|SA|SU)[0-9]\.[0-9]+",
        emotions=TWO_LETTERS,
    ),
    "crema-d": Naming(  # Cao et al. (2014), "CREMA-D", doi:10.1109/TAFFC.2014.2336244
        title="CREMA-D",
        example="1001_DFA_ANG_XX.flv",
        pattern="(?P<person>1[0-9]{3})_(?P<sentence>[A-Z]{3})_(?P<emotion>ANG|DIS|FEA|HAP|NEU|SAD)"
        "_(?P<intensity>LO|MD|HI|XX?)",
    ),
    "mead": Naming(  # Wang et al. (2020), "MEAD", doi:10.1007/978-3-030-58589-1_42
        title="MEAD",
        example="M003/video/front/happy/level_1/001.mp4",
        pattern="(?P<person>(?P<gender>[MW])[0-9]{3})/(?:video/)?(?P<camera>front|down|top|left_?[36]0|right_?[36]0)"
        "/(?P<emotion>[a-z]+)/level_(?P<intensity>[1-3])/[0-9]+",
        values={"gender": GENDERS, "intensity": dict(zip("123", INTENSITIES, strict=True))},
    ),
    "ck+48": Naming(
        title="CK+48",
        example="happy/S010_006_00000014.png",
        pattern="(?P<emotion>[a-z]+)/(?P<person>S[0-9]{3})_[0-9]{3}_[0-9]{8}",
    ),
    "rafd": Naming(  # Langner et al. (2010), "The Radboud Faces Database"
        title="RaFD",
        example="Rafd090_01_Caucasian_female_angry_frontal.jpg",
        pattern="Rafd(?P<angle>[0-9]{3})_(?P<person>[0-9]{2})_[A-Z]+_(?P<gender>female|male)_(?P<emotion>[a-z]+)"
        "_(?P<gaze>frontal|left|right)",
    ),
    "raf-db-folders": Naming(
        title="RAF-DB",
        example="train/5/train_00001_aligned.jpg",
        pattern="(?:train|test)/(?P<emotion>[1-7])/(?:train|test)_[0-9]{4,}_aligned",
        emotions=NUMBERINGS["raf-db"],
    ),
}


def named_counts(media: list[Parts]) -> dict[str, int]:
    """Return how many pictures and videos have names of each data set; 0 unless nearly all of them do."""
    paths = ["/".join(parts) for parts in media]
    counts = {name: sum(naming.match(path) is not None for path in paths) for name, naming in NAMINGS.items()}
    return {name: count if count and count >= ENOUGH * len(media) else 0 for name, count in counts.items()}


def list_named(source: Path, name: str) -> SourceListing:
    """Return the pictures and videos whose paths follow the naming called `name`, one of NAMINGS.

    The person is the group; without one, each file is its own. The other fields are columns for templates. Folders
    called train, test or similar determine the split. Raises SourceError if no file has such a name.
    """
    naming = NAMINGS[name]
    tree = walk(source) if source.is_dir() else Tree(source.absolute().parent, [(source.name,)])
    listing = SourceListing(skipped=list(tree.skipped))
    for parts in tree.files:
        match, file = naming.match("/".join(parts)) if is_media(parts[-1]) else None, tree.name(parts)
        label = _label(naming, match["emotion"]) if match else None
        if match is None or label is None:
            reason = f"its name is not one of {naming.title}, such as {naming.example}"
            listing.skipped.append((file, reason if is_media(parts[-1]) else unread(PurePath(parts[-1]))))
            continue
        fields = {key: text for key, text in match.groupdict().items() if key != "emotion"}
        person = fields.pop("person", "")
        listing.items.append(
            SourceItem(
                media_of(tree.path(parts)),
                source=file,
                group=f"{naming.title} {printable(person.upper())}" if person else file,
                label=label,
                columns={key: naming.values.get(key, {}).get(text.upper(), text) for key, text in fields.items()},
                split=next(filter(None, map(part_of_folder, parts[:-1])), ""),
            )
        )
    if not listing.items:
        raise SourceError(f"{source}: no file has a name of {naming.title}, such as {naming.example}")
    return listing


def _label(naming: Naming, code: str) -> str | None:
    return naming.emotions.get(code.upper()) if naming.emotions else known_label(code)
