from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perception_clip.projection.conditioning import MODES, inject

GENERATOR = torch.Generator().manual_seed(0)
TOKENS = torch.randn(1, 77, 768, generator=GENERATOR)
LONG = torch.randn(2, 154, 768, generator=GENERATOR)
VECTOR = torch.randn(1, 768, generator=GENERATOR)
OTHER = torch.randn(1, 768, generator=GENERATOR)
NEUTRAL = torch.randn(768, generator=GENERATOR)


def entry(tokens: torch.Tensor = TOKENS, **options: Any) -> list[Any]:
    return [tokens, {"pooled_output": torch.ones(1, 768), **options}]


@pytest.mark.parametrize("mode", MODES)
def test_strength_0_changes_nothing(mode: str) -> None:
    (result,) = inject([entry(area=(1, 2))], VECTOR, NEUTRAL, mode=mode, strength=0)
    assert result[0] is TOKENS
    assert result[1]["area"] == (1, 2) and "start_percent" not in result[1]


def test_steer_moves_every_token_but_bos() -> None:
    (result,) = inject([entry(LONG)], VECTOR, NEUTRAL, mode="steer", strength=0.5)
    moved = result[0] - LONG
    assert torch.equal(moved[:, [0, 77]], torch.zeros(2, 2, 768))
    rest = [i for i in range(154) if i not in (0, 77)]
    assert torch.allclose(moved[:, rest], (0.5 * (VECTOR - NEUTRAL)).expand(2, 152, -1), atol=1e-5)


def test_a_neutral_face_does_not_steer() -> None:
    (result,) = inject([entry()], NEUTRAL[None], NEUTRAL, mode="steer", strength=3)
    assert torch.equal(result[0], TOKENS)


def test_append_adds_a_block() -> None:
    (result,) = inject([entry(LONG)], VECTOR, NEUTRAL, mode="append", strength=1.5)
    assert result[0].shape == (2, 231, 768)
    assert torch.equal(result[0][:, :154], LONG)
    assert torch.allclose(result[0][:, 154:], (1.5 * VECTOR).expand(2, 77, -1))


@given(a=st.floats(-2, 3), b=st.floats(-2, 3))
def test_steering_is_linear(a: float, b: float) -> None:
    def steer(tokens: torch.Tensor, vector: torch.Tensor, strength: float) -> torch.Tensor:
        return inject([entry(tokens)], vector, NEUTRAL, mode="steer", strength=strength)[0][0]

    twice = steer(steer(TOKENS, VECTOR, a), OTHER, b)
    summed = TOKENS + (steer(TOKENS, VECTOR, a) - TOKENS) + (steer(TOKENS, OTHER, b) - TOKENS)
    assert torch.allclose(twice, summed, atol=1e-4)
    scaled = (steer(TOKENS, VECTOR, 1) - TOKENS) * a
    assert torch.allclose(steer(TOKENS, VECTOR, a) - TOKENS, scaled, atol=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_inputs_stay_as_they_were(mode: str) -> None:
    given_entry = entry(TOKENS.clone(), mask="m")
    options = dict(given_entry[1])
    result = inject([given_entry], VECTOR, NEUTRAL, mode=mode, strength=2, start_percent=0.2)
    assert torch.equal(given_entry[0], TOKENS) and given_entry[1] == options
    for _, kept in result:
        assert kept["mask"] == "m" and torch.equal(kept["pooled_output"], torch.ones(1, 768))
        assert kept is not given_entry[1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("mode", MODES)
def test_dtype_is_kept(mode: str, dtype: torch.dtype) -> None:
    (result,) = inject([entry(TOKENS.to(dtype))], VECTOR, NEUTRAL, mode=mode)
    assert result[0].dtype == dtype


def test_every_entry_is_treated() -> None:
    first, second = inject([entry(), entry(LONG, strength=0.3)], VECTOR, NEUTRAL)
    assert not torch.equal(first[0], TOKENS) and not torch.equal(second[0], LONG)
    assert second[1]["strength"] == 0.3


def test_a_row_per_face() -> None:
    faces = torch.cat([VECTOR, OTHER])
    (rows,) = inject([entry()], faces, NEUTRAL)
    assert rows[0].shape == (2, 77, 768)
    for row, vector in enumerate(faces):
        (single,) = inject([entry()], vector[None], NEUTRAL)
        assert torch.equal(rows[0][row : row + 1], single[0])
    with pytest.raises(ValueError, match="3 faces do not fit a conditioning of 2 rows"):
        inject([entry(LONG)], torch.cat([VECTOR] * 3), NEUTRAL)


def test_schedule() -> None:
    parts = inject([entry()], VECTOR, NEUTRAL, start_percent=0.25, end_percent=0.75)
    ranges = [(options["start_percent"], options["end_percent"]) for _, options in parts]
    assert ranges == [(0.0, 0.25), (0.25, 0.75), (0.75, 1.0)]
    assert [tokens is TOKENS for tokens, _ in parts] == [True, False, True]


def test_schedule_stays_within_the_entrys_own_range() -> None:
    parts = inject([entry(start_percent=0.5, end_percent=0.9)], VECTOR, NEUTRAL, end_percent=0.7)
    assert [(o["start_percent"], o["end_percent"]) for _, o in parts] == [(0.5, 0.7), (0.7, 0.9)]
    (outside,) = inject([entry(start_percent=0.5)], VECTOR, NEUTRAL, end_percent=0.4)
    assert outside[0] is TOKENS
    (whole,) = inject([entry(start_percent=0.5)], VECTOR, NEUTRAL)
    assert whole[1]["start_percent"] == 0.5 and "end_percent" not in whole[1]


def test_bad_requests() -> None:
    with pytest.raises(ValueError, match="unknown mode 'push'; choose one of steer, append"):
        inject([entry()], VECTOR, NEUTRAL, mode="push")
    with pytest.raises(ValueError, match="strength must be a finite number, not nan"):
        inject([entry()], VECTOR, NEUTRAL, strength=float("nan"))
    with pytest.raises(ValueError, match="start 0.8 and end 0.2 must be ordered"):
        inject([entry()], VECTOR, NEUTRAL, start_percent=0.8, end_percent=0.2)
    with pytest.raises(ValueError, match="projects into 768 dimensions, but the conditioning has 2048"):
        inject([entry(torch.zeros(1, 77, 2048))], VECTOR, NEUTRAL)
