"""What the numbers mean that data sets use for emotions, and the user's own label maps."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from ...common.words import listed
from ...perception.vector import EMOTIONS
from ..prompts.labels import CONTEMPT
from .files import is_file
from .items import SourceError

FER2013 = {str(number): emotion for number, emotion in enumerate(EMOTIONS)}
NUMBERINGS: dict[str, Mapping[str, str]] = {  # "" leaves the pictures out
    "fer2013": FER2013,
    # Li et al. (2017), "Reliable Crowdsourcing and Deep Locality-Preserving Learning", doi:10.1109/CVPR.2017.277
    "raf-db": dict(zip("1234567", ("surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"), strict=True)),
    # Mollahosseini et al. (2017), arXiv:1708.03985; 8 to 10 are: none of these, uncertain, no face
    "affectnet": {
        **dict(
            zip("01234567", ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry", CONTEMPT), strict=True)
        ),
        **dict.fromkeys(("8", "9", "10"), ""),
    },
    # Lucey et al. (2010), "The Extended Cohn-Kanade Dataset", doi:10.1109/CVPRW.2010.5543262
    "ck+": dict(
        zip("01234567", ("neutral", "angry", CONTEMPT, "disgust", "fear", "happy", "sad", "surprise"), strict=True)
    ),
    # Zhang et al. (2015), "Learning Social Relation Traits from Face Images", doi:10.1109/ICCV.2015.414
    "expw": FER2013,
}
_WHOLE = re.compile(r"([0-9]+)\.0+")
LEFT_OUT = "its label is not an expression"


def read_label_map(text: str) -> dict[str, str]:
    """Return the label map that `--label-map` gives: one of NUMBERINGS, pairs as in `1=happy,2=sad`, or a file.

    The file has one pair per line, `1=happy`, or is a CSV with the columns old and new. An empty new label leaves the
    pictures out. Raises SourceError, naming the place and the remedy, for anything else.
    """
    if text.casefold() in NUMBERINGS:
        return dict(NUMBERINGS[text.casefold()])
    if "=" in text and not is_file(Path(text)):
        return _mapping([part for part in text.split(",") if part.strip()], text)
    try:
        lines = Path(text).read_text("utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise SourceError(
            f"--label-map {text}: choose one of {listed(list(NUMBERINGS), 9)}, or pass pairs such as 1=happy,2=sad, "
            f"or a text file that can be read ({error})"
        ) from error
    rows = [line if "=" in line else "=".join(next(csv.reader([line]))[:2]) for line in lines if line.strip()]
    return _mapping([row for row in rows if row.casefold().replace(" ", "") != "old=new"], text)


def number_of(label: str) -> str:
    """Return a label as it is, but a whole number without decimals: pandas writes 3.0 for 3."""
    match = _WHOLE.fullmatch(label)
    return match[1] if match else label


def refuse_numbers(source: Path, labels: Iterable[str]) -> None:
    """Raise SourceError if any of the labels is a number, because its meaning is unknown."""
    numbers = sorted({label for label in labels if _is_number(label)}, key=lambda label: (float(label), label))
    if numbers:
        meanings = "; ".join(
            f"{name}: " + ", ".join(f"{number} {label}" for number, label in NUMBERINGS[name].items() if label)
            for name in ("fer2013", "raf-db", "affectnet")
        )
        raise SourceError(
            f"{source}: the labels {listed(numbers, 12)} are numbers, and data sets number emotions differently "
            f"({meanings}). Pass --label-map with one of these names, or your own: --label-map {numbers[0]}=happy,…"
        )


def _is_number(label: str) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return any(mark.isdigit() for mark in label)


def _mapping(pairs: Iterable[str], text: str) -> dict[str, str]:
    """Return the new label of each old one. Raises SourceError if a label would become two different ones."""
    mapping: dict[str, str] = {}
    for old, new in (_pair(part, text) for part in pairs):
        if mapping.setdefault(old, new) != new:
            raise SourceError(
                f"--label-map {text}: {old} becomes both {mapping[old] or 'nothing'} and {new or 'nothing'}; "
                "remove one of these pairs"
            )
    return mapping


def _pair(part: str, text: str) -> tuple[str, str]:
    old, equals, new = part.partition("=")
    if not equals or not old.strip() or "=" in new:
        raise SourceError(f"--label-map {text}: {part!r} is not a pair; write old=new, with commas between pairs")
    return old.strip(), new.strip()
