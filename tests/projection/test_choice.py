"""Choosing among faces: two in the first, one in the third, of four."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from perception_clip.perception.vector import Perceptions
from perception_clip.projection.choice import FACE_CHOICES, choose

from ..perception.reference_faces import reference_faces

VALUES = torch.tensor([[1.0, 2.0], [3.0, 5.0], [8.0, 11.0]])


@pytest.fixture(scope="module")
def faces() -> Perceptions:
    return replace(reference_faces().select([0, 0, 1]), frame_count=4)


def test_the_first_and_the_mean_are_one_row(faces: Perceptions) -> None:
    for choice, expected in (("first", [[1.0, 2.0]]), ("mean", [[4.0, 6.0]])):
        [(rows, seen)] = choose(VALUES, faces, choice)
        assert (rows.tolist(), seen.tolist()) == (expected, [True])


def test_each_face_is_a_part(faces: Perceptions) -> None:
    parts = choose(VALUES, faces, "each")
    assert [rows.tolist() for rows, _ in parts] == [[[1.0, 2.0]], [[3.0, 5.0]], [[8.0, 11.0]]]
    assert all(seen.tolist() == [True] for _, seen in parts)


def test_every_picture_has_a_row(faces: Perceptions) -> None:
    [(rows, seen)] = choose(VALUES, faces, "per frame")
    assert rows.tolist() == [[1.0, 2.0], [0.0, 0.0], [8.0, 11.0], [0.0, 0.0]]
    assert seen.tolist() == [True, False, True, False]


def test_a_single_face_is_the_same_by_every_choice(faces: Perceptions) -> None:
    alone = replace(faces.select([2]), frames=torch.tensor([0]), frame_count=1)
    for choice in FACE_CHOICES:
        [(rows, seen)] = choose(VALUES[2:].half(), alone, choice)
        assert (rows.tolist(), seen.tolist()) == ([[8.0, 11.0]], [True])
        assert (rows.dtype, seen.dtype) == (torch.float16, torch.bool)


def test_what_cannot_be_chosen_from_is_named(faces: Perceptions) -> None:
    with pytest.raises(ValueError, match="faces cannot be 'last'; choose one of first, mean, each, per frame"):
        choose(VALUES, faces, "last")
    with pytest.raises(ValueError, match="at least one face and one value for each, not 2 for 3"):
        choose(VALUES[:2], faces, "first")
    with pytest.raises(ValueError, match="at least one face and one value for each, not 0 for 0"):
        choose(VALUES[:0], faces.select([]), "mean")
