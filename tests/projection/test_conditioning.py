"""What faces do to a conditioning: the modes' formulas, and that nothing else changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from perception_clip.projection import conditioning
from perception_clip.projection.conditioning import MODES
from perception_clip.projection.face_vectors import FaceVectors
from perception_clip.projection.spaces import SDXL

GENERATOR = torch.Generator().manual_seed(0)
TOKENS = torch.randn(1, 77, 768, generator=GENERATOR)
LONG = torch.randn(2, 154, 768, generator=GENERATOR)
VECTOR = torch.randn(1, 768, generator=GENERATOR)
OTHER = torch.randn(1, 768, generator=GENERATOR)
NEUTRAL = torch.randn(768, generator=GENERATOR)
WIDE = torch.randn(1, 77, 2048, generator=GENERATOR)
POOLED = torch.randn(1, 1280, generator=GENERATOR)
WIDE_VECTOR, WIDE_NEUTRAL = torch.randn(2, 1, 3328, generator=GENERATOR)
END = 20  # where the text ends in a block of TOKENS whose pooled output is that token

strengths = st.floats(-2, 3)


def entry(tokens: Tensor = TOKENS, **options: Any) -> list[Any]:
    return [tokens, {"pooled_output": torch.ones(1, 768), **options}]


def inject(entries: list[Any], vectors: Tensor, neutral: Tensor, **how: Any) -> list[list[Any]]:
    """Faces without a vector for the subject, applied to every token if not told otherwise."""
    return conditioning.inject(entries, FaceVectors(vectors), FaceVectors(neutral), **how)


def pushed(tokens: Tensor = TOKENS, vectors: Tensor = VECTOR, **how: Any) -> Tensor:
    """The tokens of the one entry that comes of tokens."""
    [[changed, _]] = inject([entry(tokens, **how.pop("options", {}))], vectors, how.pop("neutral", NEUTRAL), **how)
    return changed  # type: ignore[no-any-return]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("match_norm", [False, True])
def test_strength_0_changes_nothing(mode: str, match_norm: bool) -> None:
    (result,) = inject([entry(area=(1, 2))], VECTOR, NEUTRAL, mode=mode, strength=0, match_norm=match_norm)
    assert result[0] is TOKENS
    assert result[1]["area"] == (1, 2) and "start_percent" not in result[1]


def test_steer_moves_every_token_but_bos() -> None:
    moved = pushed(LONG, strength=0.5) - LONG
    assert torch.equal(moved[:, [0, 77]], torch.zeros(2, 2, 768))
    rest = [i for i in range(154) if i not in (0, 77)]
    assert torch.allclose(moved[:, rest], (0.5 * (VECTOR - NEUTRAL)).expand(2, 152, -1), atol=1e-5)


@pytest.mark.parametrize("match_norm", [False, True])
def test_a_neutral_face_does_not_steer(match_norm: bool) -> None:
    assert torch.equal(pushed(vectors=NEUTRAL[None], strength=3, match_norm=match_norm), TOKENS)


def test_blend_moves_the_end_of_the_text_and_the_padding() -> None:
    changed = pushed(mode="blend", strength=0.25, options={"pooled_output": TOKENS[:, END]})
    assert torch.equal(changed[:, :END], TOKENS[:, :END])
    assert torch.allclose(changed[:, END:], 0.75 * TOKENS[:, END:] + 0.25 * VECTOR, atol=1e-6)


def test_blend_takes_all_but_bos_of_blocks_whose_end_is_not_known() -> None:
    end = LONG[:, END]  # of the first block of each row
    changed = pushed(LONG, mode="blend", options={"pooled_output": end})
    assert torch.equal(changed[:, :END], LONG[:, :END]) and torch.equal(changed[:, 77], LONG[:, 77])
    assert torch.allclose(changed[:, END:77], VECTOR.expand(2, 57, -1), atol=1e-5)
    assert torch.allclose(changed[:, 78:], VECTOR.expand(2, 76, -1), atol=1e-5)
    for unknown in (None, torch.ones(1, 1280), torch.ones(1, 768)):
        whole = pushed(LONG, mode="blend", options={"pooled_output": unknown})
        assert torch.equal(whole, pushed(LONG, mode="replace"))


def test_replace_leaves_only_bos() -> None:
    changed = pushed(LONG, mode="replace")
    assert torch.equal(changed[:, [0, 77]], LONG[:, [0, 77]])
    assert torch.allclose(changed[:, 1:77], VECTOR.expand(2, 76, -1), atol=1e-5)
    half = pushed(LONG, mode="replace", strength=0.5)
    assert torch.allclose(half, (changed + LONG) / 2, atol=1e-5)


def test_append_adds_the_prompt_once_more_replaced() -> None:
    changed = pushed(LONG, mode="append", strength=1.5)
    assert changed.shape == (2, 308, 768)
    assert torch.equal(changed[:, :154], LONG)
    assert torch.equal(changed[:, 154:], pushed(LONG, mode="replace", strength=1.5))


@given(a=strengths, b=strengths)
def test_steering_is_linear(a: float, b: float) -> None:
    def steer(tokens: Tensor, vector: Tensor, strength: float) -> Tensor:
        return pushed(tokens, vector, strength=strength)

    twice = steer(steer(TOKENS, VECTOR, a), OTHER, b)
    summed = TOKENS + (steer(TOKENS, VECTOR, a) - TOKENS) + (steer(TOKENS, OTHER, b) - TOKENS)
    assert torch.allclose(twice, summed, atol=1e-4)
    assert torch.allclose(steer(TOKENS, VECTOR, a) - TOKENS, (steer(TOKENS, VECTOR, 1) - TOKENS) * a, atol=1e-4)
    assert torch.allclose(steer(steer(TOKENS, VECTOR, a), VECTOR, b), steer(TOKENS, VECTOR, a + b), atol=1e-4)


@given(mode=st.sampled_from(MODES), strength=strengths, length=st.floats(1e-3, 1e3))
def test_faces_of_matched_norm_act_alike_however_long_their_vectors(mode: str, strength: float, length: float) -> None:
    how: dict[str, Any] = {"mode": mode, "strength": strength, "match_norm": True}
    changed = pushed(vectors=VECTOR * length, neutral=NEUTRAL * length, **how)
    assert torch.allclose(changed, pushed(**how), atol=1e-3)


def test_match_norm_brings_the_vector_to_the_mean_length_of_the_tokens_it_acts_on() -> None:
    changed = pushed(mode="blend", match_norm=True, options={"pooled_output": TOKENS[:, END]})
    lengths = changed[:, END:].norm(dim=-1)
    assert torch.allclose(lengths, TOKENS[:, END:].norm(dim=-1).mean().expand_as(lengths), rtol=1e-4)
    scale = TOKENS[:, 1:].norm(dim=-1).mean() / VECTOR.norm()
    steered = pushed(match_norm=True)[:, 1:] - TOKENS[:, 1:]
    assert torch.allclose(steered, (scale * (VECTOR - NEUTRAL)).expand(1, 76, -1), atol=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_inputs_stay_as_they_were(mode: str) -> None:
    given_entry = entry(TOKENS.clone(), mask="m", control="c")
    vectors, neutral, options = VECTOR.clone(), NEUTRAL.clone(), dict(given_entry[1])
    result = inject([given_entry], vectors, neutral, mode=mode, strength=2, start_percent=0.2, match_norm=True)
    assert torch.equal(given_entry[0], TOKENS) and given_entry[1] == options
    assert torch.equal(vectors, VECTOR) and torch.equal(neutral, NEUTRAL)
    for _, kept in result:
        assert kept["mask"] == "m" and kept["control"] == "c"
        assert torch.equal(kept["pooled_output"], torch.ones(1, 768))
        assert kept is not given_entry[1]


@given(
    mode=st.sampled_from(MODES),
    strength=st.floats(-1e30, 1e30),
    match_norm=st.booleans(),
    scale=st.sampled_from([0.0, 1e-38, 1.0, 1e18, 3e38]),
    other=st.sampled_from([0.0, 1e-38, 1.0, 1e18, 3e38]),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32]),
)
def test_finite_numbers_give_finite_numbers(
    mode: str, strength: float, match_norm: bool, scale: float, other: float, dtype: torch.dtype
) -> None:
    most = min(scale, torch.finfo(dtype).max)
    tokens = (torch.linspace(-1, 1, 77 * 768).view(1, 77, 768) * most).to(dtype)
    vectors = torch.linspace(1, -1, 2 * 768).view(2, 768) * other
    changed = pushed(tokens, vectors, neutral=-vectors[0], mode=mode, strength=strength, match_norm=match_norm)
    assert changed.dtype == dtype and changed.isfinite().all()


@pytest.mark.parametrize("mode", MODES)
def test_a_row_per_face_and_its_neutral_vector(mode: str) -> None:
    faces, neutrals = torch.cat([VECTOR, OTHER]), torch.stack([NEUTRAL, -NEUTRAL])
    rows = pushed(vectors=faces, neutral=neutrals, mode=mode)
    assert len(rows) == 2
    for row, (vector, neutral) in enumerate(zip(faces, neutrals, strict=True)):
        assert torch.equal(rows[row : row + 1], pushed(vectors=vector[None], neutral=neutral, mode=mode))


@pytest.mark.parametrize(("faces", "rows"), [(3, 3), (1, 2), (5, 5)])
def test_rows_are_repeated_from_the_start(faces: int, rows: int) -> None:
    vectors = torch.randn(faces, 768, generator=torch.Generator().manual_seed(1))
    changed = pushed(LONG, vectors)
    assert len(changed) == rows
    for row in range(rows):
        expected = pushed(LONG[row % 2][None], vectors[row % faces][None])
        assert torch.equal(changed[row : row + 1], expected)


@pytest.mark.parametrize("mode", MODES)
def test_rows_without_a_face_act_as_they_came(mode: str) -> None:
    faces = torch.cat([VECTOR, OTHER, VECTOR])
    rows = pushed(vectors=faces, mode=mode, seen=torch.tensor([True, False, True]))
    every = pushed(vectors=faces, mode=mode)
    assert torch.equal(rows[[0, 2]], every[[0, 2]])
    # Attention to tokens that all occur as often again gives the same result.
    assert torch.equal(rows[1], TOKENS[0].repeat(rows.shape[1] // 77, 1))
    [[untouched, _]] = inject([entry()], faces, NEUTRAL, mode=mode, seen=torch.zeros(3, dtype=torch.bool))
    assert untouched is TOKENS


@pytest.mark.parametrize("mode", MODES)
def test_sdxl_moves_tokens_and_pooled_output(mode: str) -> None:
    [[tokens, options]] = inject(
        [entry(WIDE, pooled_output=POOLED)], WIDE_VECTOR, WIDE_NEUTRAL[0], space=SDXL, mode=mode, strength=0.5
    )
    target, neutral = WIDE_VECTOR.split([2048, 1280], dim=1), WIDE_NEUTRAL.split([2048, 1280], dim=1)
    last = tokens[:, -1]
    if mode == "steer":
        assert torch.allclose(last, WIDE[:, -1] + 0.5 * (target[0] - neutral[0]), atol=1e-5)
        assert torch.allclose(options["pooled_output"], POOLED + 0.5 * (target[1] - neutral[1]), atol=1e-5)
    else:
        assert torch.allclose(last, (WIDE[:, -1] + target[0]) / 2, atol=1e-5)
        expected = POOLED if mode == "append" else (POOLED + target[1]) / 2
        assert torch.allclose(options["pooled_output"], expected, atol=1e-5)
    assert torch.equal(tokens[:, 0], WIDE[:, 0])


def test_sdxl_rows_get_pooled_outputs_of_their_own() -> None:
    faces = torch.cat([WIDE_VECTOR, -WIDE_VECTOR])
    [[tokens, options]] = inject([entry(WIDE, pooled_output=POOLED)], faces, WIDE_NEUTRAL[0], space=SDXL)
    [[_, without]] = inject([entry(WIDE, pooled_output=None)], WIDE_VECTOR, WIDE_NEUTRAL[0], space=SDXL)
    assert without["pooled_output"] is None
    assert len(tokens) == len(options["pooled_output"]) == 2
    assert not torch.equal(options["pooled_output"][0], options["pooled_output"][1])


def test_the_clip_l_part_of_sdxl_alone() -> None:
    with pytest.raises(ValueError, match=r"but the conditioning has 2048 \(Stable Diffusion XL\).*clip_l_only"):
        pushed(WIDE)
    for mode in MODES:
        changed = pushed(WIDE, mode=mode, clip_l_only=True)
        times = changed.shape[1] // 77
        assert torch.equal(changed[..., 768:], WIDE[..., 768:].repeat(1, times, 1))
        assert torch.equal(changed[..., :768], pushed(WIDE[..., :768], mode=mode))


def test_schedule() -> None:
    first, second = inject([entry(), entry(LONG, strength=0.3)], VECTOR, NEUTRAL)  # every entry is changed
    assert not torch.equal(first[0], TOKENS) and not torch.equal(second[0], LONG)
    assert second[1]["strength"] == 0.3
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


def test_entries_within_a_range_are_those_that_a_face_changes_in_it() -> None:
    chain = inject([entry()], VECTOR, NEUTRAL, end_percent=0.4)  # then another face from there on
    assert conditioning.within(chain, 0.4, 1.0) == chain[1:] and conditioning.within(chain, 0.3, 1.0) == chain


def test_before_and_after_sdxl_keeps_its_own_pooled_output() -> None:
    how: dict[str, Any] = {"space": SDXL, "start_percent": 0.5}
    (before, _), (after, _) = (
        (options["pooled_output"], tokens)
        for tokens, options in inject([entry(WIDE, pooled_output=POOLED)], WIDE_VECTOR, WIDE_NEUTRAL[0], **how)
    )
    assert before is POOLED and not torch.equal(after, POOLED)


def test_bad_requests() -> None:
    with pytest.raises(ValueError, match="unknown mode 'push'; choose one of steer, blend, replace, append"):
        pushed(mode="push")
    with pytest.raises(ValueError, match="strength must be a finite number, not nan"):
        pushed(strength=float("nan"))
    with pytest.raises(
        ValueError, match="start_percent is 0.8 and end_percent is 0.2; set both .* start_percent no higher"
    ):
        pushed(start_percent=0.8, end_percent=0.2)
    with pytest.raises(ValueError, match=r"the conditioning has 4096 \(another model family\).*Emotion Prompts"):
        pushed(torch.zeros(1, 77, 4096))
    with pytest.raises(ValueError, match=r"Stable Diffusion XL \(2048 dimensions\), but the conditioning has 768"):
        inject([entry()], WIDE_VECTOR, WIDE_NEUTRAL[0], space=SDXL)
    with pytest.raises(ValueError, match=r"must have the shape \(B, T, width\)"):
        pushed(torch.zeros(77, 768))
