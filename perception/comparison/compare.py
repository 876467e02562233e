"""Compare the expressions of faces: how alike they are, and how much of the way from one to another a face has gone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ...common.errors import InputError
from ...common.words import counted
from ..geometry import align
from ..topology import LEFT_EYE_CORNERS, NOSE_BRIDGE, NOSTRILS, RIGHT_EYE_CORNERS
from ..vector import Perceptions
from .expressions import ExpressionReader, Expressions, neutral_actions

# The squared distance at which the match is 0.5. On sampled faces, that of the same expression on two people is smaller
# in nine of ten cases, and that of two expressions of one person larger.
HALF = 6.0
SMALLEST = 0.2  # squared distance between target and baseline from which a gain can be measured
# Inter-ocular distances between the still parts of two faces from which on they are rather those of two people. Of one
# person with another expression it is 0.015 (95 %: below 0.033), of two people 0.05 (95 %: above 0.03).
ANOTHER_PERSON = 0.03
TEMPLES = (127, 356, 234, 454, 21, 251, 162, 389, 10)
STILL = (*LEFT_EYE_CORNERS, *RIGHT_EYE_CORNERS, *NOSE_BRIDGE, *NOSTRILS, *TEMPLES)
STEPS = tuple(index / 4 for index in range(-4, 9))  # gains at which a path is read, −1 to 2


@dataclass(frozen=True)
class Comparison:
    """The pictures of a result, compared with a target."""

    matches: tuple[float, ...]  # of each picture, 0…1
    gains: tuple[float, ...]  # of each picture, −1…2
    # The faces of the first picture in which all have one, for the table and the drawing; None without such a picture.
    shown: tuple[int, int, int | None] | None  # indices in target, result and baseline
    expressions: tuple[Expressions, Expressions, Expressions | None]  # of target, result and baseline
    notes: tuple[str, ...]  # what the user should know about the numbers

    @property
    def match(self) -> float:
        """Return the mean match of all pictures, 0 without pictures."""
        return sum(self.matches) / max(len(self.matches), 1)

    @property
    def gain(self) -> float:
        """Return the mean gain of all pictures, 0 without pictures."""
        return sum(self.gains) / max(len(self.gains), 1)


def compare(
    target: Perceptions, result: Perceptions, baseline: Perceptions | None, reader: ExpressionReader
) -> Comparison:
    """Return how far the pictures of `result` have the expression of `target`.

    Of each picture, its first face counts. A target or baseline with a single picture is used for all pictures;
    otherwise there is one for each, in order. A picture in which a face is missing has match 0 and gain 0.

    match: 1 for the same expression, 0.5 at a squared distance of `HALF` between their vectors. Differences that the
    neutral shape of the result's face explains do not count, as far as `baseline` shows that shape.

    gain: the share of the way from the baseline (without one: the average neutral face) to the target that the result
    has gone, −1…2; see `ExpressionPath`. Only the landmarks count, not the emotions of the perceptions.

    Raises ValueError if the numbers of pictures do not fit.
    """
    sources = [faces for faces in (target, result, baseline) if faces is not None]
    models = {faces.emotion_model for faces in sources if len(faces)}
    points = [reader.frontal(faces) for faces in sources]
    expressions = [
        reader.read(frontal, faces.emotions if len(models) == 1 else None)
        for frontal, faces in zip(points, sources, strict=True)
    ]
    vectors = [some.vectors for some in expressions]
    reached = reader.read(points[1]).vectors
    mean, spread = neutral_actions(reader)

    @lru_cache(maxsize=1)  # most often the same for all pictures
    def path(goal: int, begin: int | None) -> ExpressionPath | None:
        return find_path(reader.neutral_face if begin is None else points[2][begin], points[0][goal], reader)

    goals, ends = rows_for(target, result.frame_count, "target"), first_rows(result)
    begins = [None] * len(ends) if baseline is None else rows_for(baseline, len(ends), "baseline")
    matches, gains, trios, no_path = [0.0] * len(ends), [0.0] * len(ends), [], False
    for picture, (goal, end, begin) in enumerate(zip(goals, ends, begins, strict=True)):
        if goal is None or end is None or (begin is None and baseline is not None):
            continue
        trios.append((goal, end, begin))
        shape = torch.zeros_like(mean) if begin is None else (vectors[2][begin] - mean).clamp(-spread, spread)
        matches[picture] = match(vectors[0][goal], vectors[1][end], shape)
        if found := path(goal, begin):
            gains[picture] = found.gain(points[1][end], reached[end])
        else:
            no_path = True
    return Comparison(
        matches=tuple(matches),
        gains=tuple(gains),
        shown=trios[0] if trios else None,
        expressions=(expressions[0], expressions[1], expressions[2] if baseline is not None else None),
        notes=tuple(notes(target, result, baseline, no_path, models)),
    )


def match(target: Tensor, result: Tensor, shape: Tensor) -> float:
    """Return how alike two expression vectors (59,) are, 0…1; see `compare`.

    `shape` (59,) is how the neutral face of the result differs from other neutral faces.
    """
    difference = result - target
    explained = torch.where(difference * shape > 0, shape.abs(), 0)
    rest = (difference.abs() - explained).clamp_min(0)
    return float(torch.exp2(-rest.square().sum() / HALF))


@dataclass(frozen=True)
class ExpressionPath:
    """The path from one frontal face to another, and how far along it a third one is.

    Of one person, the landmarks show how far: they move evenly as an expression grows. Between two people they differ
    mostly by who it is, and vectors show it better. But those do not change evenly: a mouth that opens twice as far is
    not read as twice as open. So the landmarks are moved along the whole path in even steps, and the gain is the step
    with the same reading. A reading is taken in the direction from the first face's vector to the last one's, in which
    each number counts by how far it goes: between two people, short distances are mostly differences of their neutral
    faces.
    """

    start: Tensor  # (478, 3) the first face
    move: Tensor  # (478, 3) from the first face to the last
    vector: Tensor  # (59,) of the first face
    direction: Tensor  # (59,)
    readings: tuple[float, ...]  # along the direction at each of `STEPS`, rising
    one_person: float  # the weight of the landmarks, 0…1

    def gain(self, points: Tensor, vector: Tensor) -> float:
        """Return how far a frontal face (478, 3) with this vector (59,) has gone, −1…2."""
        by_landmarks = float(((points - self.start) * self.move).sum() / self.move.square().sum())
        by_readings = np.interp(float((vector - self.vector) @ self.direction) + RISE, self.readings, STEPS)
        gain = self.one_person * by_landmarks + (1 - self.one_person) * by_readings
        return float(np.clip(gain, STEPS[0], STEPS[-1]))


# Per step of 1, so that readings rise where they do not change: more than they differ by rounding, 3e-7, and less than
# shows in a gain.
RISE = 1e-4


def find_path(start: Tensor, end: Tensor, reader: ExpressionReader) -> ExpressionPath | None:
    """Return the path between two frontal faces (478, 3); None if they have nearly the same expression."""
    steps = torch.tensor(STEPS)
    vectors = reader.read(start + steps[:, None, None] * (end - start)).vectors  # (13, 59)
    zero, one = STEPS.index(0), STEPS.index(1)
    difference = vectors[one] - vectors[zero]
    if float(difference.square().sum()) < SMALLEST:
        return None
    direction = difference * difference.abs()
    direction = direction / (difference @ direction)  # the reading is 1 at the end
    readings = (vectors - vectors[zero]) @ direction
    between = readings[zero : one + 1].clamp(0, 1).cummax(dim=0).values
    before = readings[:zero].clamp_max(0).flip(0).cummin(dim=0).values.flip(0)
    after = readings[one + 1 :].clamp_min(1).cummax(dim=0).values
    rising = torch.cat([before, between, after]).double() + RISE * steps
    person = one_person(start, end, reader.model.template)
    return ExpressionPath(start, end - start, vectors[zero], direction, tuple(rising.tolist()), person)


def one_person(first: Tensor, second: Tensor, template: Tensor) -> float:
    """Return how much two faces (478, 3) look like those of one person, 0…1, by what expressions hardly move."""
    still = template[list(STILL)]
    points = align(torch.stack([first, second])[:, list(STILL)], still - still.mean(dim=0)).points
    distance = float((points[0] - points[1]).square().sum(dim=1).mean().sqrt())
    return float(2 ** -((distance / ANOTHER_PERSON) ** 4))


def first_rows(perceptions: Perceptions) -> list[int | None]:
    """Return the index of the first face of each picture, None for a picture without a face."""
    rows: list[int | None] = [None] * perceptions.frame_count
    for row in perceptions.first_of_frames:
        rows[int(perceptions.frames[row])] = row
    return rows


def rows_for(perceptions: Perceptions, pictures: int, name: str) -> list[int | None]:
    """Return the face for each of `pictures`; the face of a single picture is for all.

    Raises ValueError for another number of pictures.
    """
    rows = first_rows(perceptions)
    if len(rows) == 1:
        return rows * pictures
    if len(rows) != pictures:
        raise InputError(
            f"{name} has {counted(len(rows), 'picture')} and result has {pictures}; use the same number, or a single "
            f"picture for {name}"
        )
    return rows


def notes(
    target: Perceptions, result: Perceptions, baseline: Perceptions | None, no_path: bool, models: set[str]
) -> list[str]:
    """Return what limits the numbers, a line each."""
    lines = []
    for name, faces in (("target", target), ("baseline", baseline), ("result", result)):
        if faces is not None and faces.empty_frames:
            pictures = f"{len(faces.empty_frames)} of {counted(faces.frame_count, 'picture')}"
            lines.append(f"no face in {pictures} of {name}: match and gain are 0 there")
    if no_path:
        start = "a neutral face" if baseline is None else "baseline"
        lines.append(f"target has nearly the same expression as {start}, so there is no gain to measure: it is 0")
    if len(models) > 1:
        lines.append(
            f"the emotions come from different models ({', '.join(sorted(models))}), so they were read again from the "
            "landmarks; use the same emotion_model for all"
        )
    return lines
