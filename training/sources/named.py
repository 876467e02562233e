"""Data sets whose file names state the emotion and the person: a table of patterns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath

from ..prompts.labels import INTENSITIES, known_label
from .files import Parts, printable, walk
from .items import SourceError, SourceItem, SourceListing, item_of, split_of_folders
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
    note: str = ""

    @cached_property
    def regex(self) -> re.Pattern[str]:
        return re.compile(rf"(?:^|/){self.pattern}\.[^./]+$", re.IGNORECASE)


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
    "ravdess": Naming(  # Livingstone & Russo (2018), "RAVDESS", doi:10.1371/journal.pone.0196391
        title="RAVDESS",
        example="01-01-03-02-01-01-12.mp4",
        pattern="0[12]-0[12]-(?P<emotion>0[1-8])-(?P<intensity>0[12])-0[12]-0[12]-"
        "(?P<person>(?P<actor>(?P<gender>0[1-9]|1[0-9]|2[0-4])))",
        emotions=dict(
            zip(
                (f"0{number}" for number in range(1, 9)),
                ("neutral", "neutral", "happy", "sad", "angry", "fear", "disgust", "surprise"),
                strict=True,
            )
        ),
        values={
            "intensity": {"01": "normal", "02": "strong"},
            "gender": {f"{actor:02}": "male" if actor % 2 else "female" for actor in range(1, 25)},
        },
        note="RAVDESS's calm counts as neutral",
    ),
    "raf-db-folders": Naming(
        title="RAF-DB",
        example="train/5/train_00001_aligned.jpg",
        pattern="(?:train|test)/(?P<emotion>[1-7])/(?:train|test)_[0-9]{4,}_aligned",
        emotions=NUMBERINGS["raf-db"],
    ),
}


def named_counts(media: Sequence[Parts]) -> dict[str, int]:
    """Return how many pictures and videos have names of each data set."""
    paths = ["/".join(parts) for parts in media]
    return {name: sum(naming.regex.search(path) is not None for path in paths) for name, naming in NAMINGS.items()}


def list_named(source: Path, name: str) -> SourceListing:
    """Return the pictures and videos whose paths follow the naming called `name`, one of NAMINGS.

    The person is the group; without one, each file is its own. The other fields are columns for templates. Folders
    called train, test or similar determine the split. Raises SourceError if no file has such a name.
    """
    naming, tree = NAMINGS[name], walk(source)
    found: dict[Parts, SourceItem] = {}
    for parts in tree.media():
        match = naming.regex.search("/".join(parts))
        label = match and _label(naming, match["emotion"])
        if match and label:
            fields = {key: text for key, text in match.groupdict().items() if key != "emotion"}
            person = fields.pop("person", "")
            found[parts] = item_of(
                tree,
                parts,
                group=f"{naming.title} {printable(person.upper())}" if person else "",
                label=label,
                columns={key: naming.values.get(key, {}).get(text.upper(), text) for key, text in fields.items()},
                split=split_of_folders(parts[:-1]),
            )
    if not found:
        raise SourceError(f"{source}: no file has a name of {naming.title}, such as {naming.example}")
    skipped = [*tree.skipped, *tree.unused(found, f"its name is not one of {naming.title}, such as {naming.example}")]
    for parts, sound in _silent(found) if name == "ravdess" else ():
        del found[parts]
        skipped.append((tree.name(parts), f"it is the same take as {tree.name(sound)}, without sound"))
    return SourceListing(list(found.values()), skipped, [naming.note] if naming.note else [])


def _silent(takes: Iterable[Parts]) -> list[tuple[Parts, Parts]]:
    """Return RAVDESS's takes without sound, 02-…, that also exist with sound, 01-…, and those."""
    with_sound = {PurePath(parts[-1]).stem[2:]: parts for parts in takes if parts[-1].startswith("01")}
    silent = ((parts, with_sound.get(PurePath(parts[-1]).stem[2:])) for parts in takes if parts[-1].startswith("02"))
    return [(parts, sound) for parts, sound in silent if sound]


def _label(naming: Naming, code: str) -> str | None:
    return naming.emotions.get(code.upper()) if naming.emotions else known_label(code)
