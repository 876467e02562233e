"""Numbers over the pictures of a sequence: gaps are held, trembling is smoothed."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from perception_clip.perception.actions.series import over_pictures, rows_of_track, smoothed
from perception_clip.perception.vector import Perceptions

from ..reference_faces import reference_faces


def faces(frames: list[int], tracks: list[int], frame_count: int) -> Perceptions:
    first = reference_faces().select([0] * len(frames))
    return replace(first, frames=torch.tensor(frames), tracks=torch.tensor(tracks), frame_count=frame_count)


@pytest.mark.parametrize(
    ("track", "seen", "held"),
    [
        (0, [None, 0, None, 2, 4, None], [0, 0, 0, 2, 4, 4]),
        (1, [None, 1, None, None, 3, None], [1, 1, 1, 1, 3, 3]),
        (2, [None, None, None, 5, None, None], [5, 5, 5, 5, 5, 5]),  # the first of two in one picture
        (7, [None] * 6, [None] * 6),
    ],
)
def test_a_track_is_found_in_every_picture_or_held(track: int, seen: list[int | None], held: list[int | None]) -> None:
    perceptions = faces([1, 1, 3, 4, 4, 3, 3], [0, 1, 0, 1, 0, 2, 2], 6)
    assert rows_of_track(perceptions, track, hold=False) == seen
    assert rows_of_track(perceptions, track, hold=True) == held


def test_pictures_without_a_face_have_zeros() -> None:
    values = torch.tensor([[0.1, 1.0], [0.4, 2.0]])
    expected = torch.tensor([[0.0, 0.0], [0.4, 2.0], [0.1, 1.0], [0.4, 2.0]])
    assert torch.equal(over_pictures(values, [None, 1, 0, 1]), expected)
    assert over_pictures(torch.zeros(0, 5), [None, None]).tolist() == [[0.0] * 5] * 2
    assert over_pictures(torch.zeros(0), []).shape == (0,)


def test_smoothing_calms_noise_and_follows_steps() -> None:
    noise = 0.05 * torch.randn(96, generator=torch.Generator().manual_seed(0))
    step = torch.cat([torch.zeros(48), torch.ones(48)])
    calm = smoothed(noise, 0.5, 24)
    assert calm[8:].std() < 0.5 * noise.std()
    assert smoothed(step, 0.5, 24)[56] > 0.8
    assert torch.equal(smoothed(noise, 0, 24), noise)


@pytest.mark.parametrize("amount", [-0.1, 1.5, float("nan")])
def test_another_amount_is_refused(amount: float) -> None:
    with pytest.raises(ValueError, match="smoothing must be between 0 and 1"):
        smoothed(torch.zeros(3), amount, 24)
