"""Fill in faces for the pictures of a sequence that have none."""

from __future__ import annotations

from bisect import bisect
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor

from ...common.errors import InputError, PerceptionClipError
from ...common.words import counted
from ..editing.join import concatenated
from ..emotions.expression import ExpressionModel
from ..emotions.face_expression import NEUTRAL_LOGITS, reads_pictures
from ..geometry import from_true_proportions
from ..origins import derived, unknown
from ..vector import EMOTIONS, NEUTRAL, Perceptions, bounding_boxes, pack

MISSING_MODES = ("skip", "previous", "interpolate", "neutral", "error")
NEUTRAL_HEIGHT = 0.5  # height of a neutral filled-in face, relative to the shorter side of the picture


class NoFaceError(PerceptionClipError, ValueError):
    """A picture has no face although one is required."""


def fill(perceptions: Perceptions, missing: str, image_size: tuple[int, int]) -> Perceptions:
    """Return perceptions with pictures without a face filled according to `missing`; filled-in faces have score 0.

    skip: nothing. previous: the faces of the last picture that has some; before the first such picture, its faces.
    interpolate: each face that exists on both sides of the gap, with interpolated landmarks, box and emotions; at the
    ends of the sequence, and if no face exists on both sides, the faces of the nearest picture. neutral: the template
    face, upright in the middle of a picture of `image_size` (height, width) in pixels, with a neutral emotion, or, of
    the face expression model, with what it reads in neutral faces on average. error: raises NoFaceError with the
    picture numbers. If no picture has a face, previous and interpolate change nothing. Raises ValueError for any other
    value.
    """
    if missing not in MISSING_MODES:
        raise InputError(f"missing cannot be {missing!r}; choose one of {', '.join(MISSING_MODES)}")
    empty = perceptions.empty_frames
    if not empty or missing == "skip":
        return perceptions
    if missing == "error":
        shown = ", ".join(map(str, empty[:10])) + (", …" if len(empty) > 10 else "")
        raise NoFaceError(
            f"no face in {len(empty)} of {counted(perceptions.frame_count, 'picture')} (counted from 0: {shown}). Use "
            "pictures with a visible face, another detector or a lower min_confidence, or set missing to another option"
        )
    if missing == "neutral":
        return _join([perceptions, _neutral_faces(perceptions, empty, image_size)])
    if not len(perceptions):
        return perceptions
    rows: dict[int, list[int]] = {}
    for row, frame in enumerate(perceptions.frames.tolist()):
        rows.setdefault(frame, []).append(row)
    seen = list(rows)
    parts = [perceptions]
    for frame in empty:
        place = bisect(seen, frame)
        before, after = seen[max(place - 1, 0)], seen[min(place, len(seen) - 1)]
        parts.append(
            _at(perceptions.select(rows[before]), frame)
            if missing == "previous"
            else _between(perceptions, rows[before], rows[after], frame)
        )
    return _join(parts)


def _between(perceptions: Perceptions, before: list[int], after: list[int], frame: int) -> Perceptions:
    """Return the faces at `frame`, between the rows of the two nearest pictures that have faces."""
    tracks = perceptions.tracks.tolist()
    later = {tracks[row]: row for row in after}
    pairs = [(row, later[tracks[row]]) for row in before if tracks[row] in later]
    first, last = int(perceptions.frames[before[0]]), int(perceptions.frames[after[0]])
    if first == last or not pairs:
        return _at(perceptions.select(before if abs(frame - first) <= abs(last - frame) else after), frame)
    share = (frame - first) / (last - first)
    left, right = (perceptions.select(list(side)) for side in zip(*pairs, strict=True))
    return _at(
        replace(
            left,
            vectors=torch.lerp(left.vectors, right.vectors, share),
            boxes=torch.lerp(left.boxes, right.boxes, share),
            origins=derived(f"between {share!r}", left.origins, right.origins),
        ),
        frame,
    )


def _neutral_faces(perceptions: Perceptions, frames: list[int], image_size: tuple[int, int]) -> Perceptions:
    """Return the template face on each of the frames, on a separate track."""
    size = torch.tensor([image_size], dtype=torch.int32)  # (1, 2)
    points = template()
    extent = float(points[:, 1].amax() - points[:, 1].amin())
    points = points * (NEUTRAL_HEIGHT * min(image_size) / extent / image_size[1])  # in image widths
    landmarks = from_true_proportions(points[None], size)
    landmarks[..., :2] += 0.5 - (landmarks[..., :2].amin(dim=1) + landmarks[..., :2].amax(dim=1)) / 2
    emotions = torch.nn.functional.one_hot(torch.tensor([NEUTRAL]), len(EMOTIONS)).float()
    if reads_pictures(perceptions.emotion_model):
        emotions = torch.tensor([NEUTRAL_LOGITS]).softmax(dim=1)
    count = len(frames)
    track = int(perceptions.tracks.max()) + 1 if len(perceptions) else 0
    return replace(
        perceptions,
        vectors=pack(landmarks, emotions).expand(count, -1),
        image_sizes=size.expand(count, -1),
        frames=torch.tensor(frames),
        boxes=bounding_boxes(landmarks, size).expand(count, -1),
        scores=torch.zeros(count),
        tracks=torch.full((count,), track),
        origins=unknown(count),
    )


@lru_cache(maxsize=1)
def template() -> Tensor:
    """Return the template face (478, 3) of the bundled model, upright and centered, in inter-ocular distances."""
    return ExpressionModel.load().template


def _at(perceptions: Perceptions, frame: int) -> Perceptions:
    """Return the same faces, filled in at another frame."""
    return replace(
        perceptions,
        frames=torch.full_like(perceptions.frames, frame),
        scores=torch.zeros_like(perceptions.scores),
    )


def _join(parts: list[Perceptions]) -> Perceptions:
    """Return the faces of all parts, sorted by frame, and within a frame in their order."""
    joined = concatenated(parts)
    return joined.select(joined.frames.argsort(stable=True).tolist())
