"""Storyboards: few frames, evenly spread, however many there are."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from perception_clip.perception.sequences.storyboard import SIDE, Storyboard
from perception_clip.perception.sequences.videos import Frame


def shown(number: int, limit: int = 16) -> list[int]:
    storyboard = Storyboard(limit)
    for index in range(number):
        storyboard.watch(Frame(index, index / 10, torch.full((4, 6, 3), index % 256, dtype=torch.uint8)))
    assert all(bool((frame.picture == frame.number % 256).all()) for frame in storyboard.frames)
    return [frame.number for frame in storyboard.frames]


@pytest.mark.parametrize("number", [0, 1, 2, 15, 16, 17, 32, 33, 40, 472, 18_000])
def test_frames_are_evenly_spread_from_the_first_to_nearly_the_last(number: int) -> None:
    numbers = shown(number)
    assert len(numbers) == number if number <= 16 else 9 <= len(numbers) <= 16
    if number > 1:
        [step] = {after - before for before, after in pairwise(numbers)}
        assert numbers[0] == 0 and number - numbers[-1] <= step


def test_large_frames_are_reduced_and_small_ones_are_copies() -> None:
    storyboard = Storyboard(16)
    large, small = torch.randint(0, 256, (90, 4 * SIDE, 3), dtype=torch.uint8), torch.zeros(5, 7, 3, dtype=torch.uint8)
    storyboard.watch(Frame(0, 0.0, large))
    storyboard.watch(Frame(1, 0.1, small))
    small += 9  # a reader may reuse its memory
    first, second = (frame.picture for frame in storyboard.frames)
    assert first.shape == (22, SIDE, 3) and first.dtype == torch.uint8
    assert (first[:, :, 0].float().mean() - large[:88, :, 0].float().mean()).abs() < 2
    assert not second.any()
