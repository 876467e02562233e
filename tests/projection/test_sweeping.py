"""A conditioning with a strength for each row, and latents with the same noise."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from perception_clip.projection.conditioning import MODES, inject
from perception_clip.projection.face_vectors import FaceVectors
from perception_clip.projection.sweeping import copies, rows_of_strengths

STRENGTHS = (0.0, 0.5, 2.0)
GENERATOR = torch.Generator().manual_seed(0)
FACE, NEUTRAL = (FaceVectors(torch.randn(1, 768, generator=GENERATOR)) for _ in range(2))
PROMPT = [[torch.randn(1, 77, 768, generator=GENERATOR), {"pooled_output": torch.zeros(1, 768), "area": 3}]]


@pytest.mark.parametrize("mode", MODES)
def test_a_row_is_the_conditioning_of_its_strength(mode: str) -> None:
    versions = [inject(PROMPT, FACE, NEUTRAL, mode=mode, strength=strength) for strength in STRENGTHS]
    [[rows, options]] = rows_of_strengths(PROMPT, versions, 0.0, 1.0)
    assert options["area"] == 3 and options["pooled_output"].shape == (3, 768) and "start_percent" not in options
    for row, [[tokens, _]] in zip(rows[1:], versions[1:], strict=True):
        assert torch.equal(row, tokens[0])
    blocks = rows[0].unflatten(0, (-1, 77))  # strength 0 is the prompt, with append twice, which attention does not see
    assert torch.equal(blocks, PROMPT[0][0].expand_as(blocks))


def test_outside_the_range_every_row_is_the_prompt() -> None:
    versions = [inject(PROMPT, FACE, NEUTRAL, strength=strength) for strength in STRENGTHS]
    entries = rows_of_strengths(PROMPT, versions, 0.2, 0.7)
    ranges = [(options["start_percent"], options["end_percent"]) for _, options in entries]
    assert ranges == [(0.0, 0.2), (0.2, 0.7), (0.7, 1.0)]
    assert {len(tokens) for tokens, _ in entries} == {3}
    assert torch.equal(entries[0][0], PROMPT[0][0].expand(3, -1, -1))
    assert not torch.equal(entries[1][0][2], PROMPT[0][0][0])


def test_a_range_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="start_percent is 0.8 and end_percent is 0.2"):
        rows_of_strengths([[torch.zeros(1, 77, 768), {}]], [[[torch.ones(1, 77, 768), {}]]], 0.8, 0.2)


def test_copies_share_the_noise_of_the_first_picture() -> None:
    latent: dict[str, Any] = {"samples": torch.randn(2, 4, 8, 8), "noise_mask": torch.rand(2, 1, 64, 64), "other": 1}
    copied = copies(latent, 5)
    assert torch.equal(copied["samples"], latent["samples"][:1].expand(5, -1, -1, -1))
    assert copied["noise_mask"].shape == (5, 1, 64, 64) and copied["batch_index"] == [0] * 5 and copied["other"] == 1
    assert copies({**latent, "batch_index": [7, 8]}, 3)["batch_index"] == [7, 7, 7]
    assert "batch_index" not in latent
