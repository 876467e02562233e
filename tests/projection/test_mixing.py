"""Mixing conditionings, of the shapes in which several model families have them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from perception_clip.projection.mixing import mix, weights

Entries = list[list[Any]]

NEUTRAL = 6
PROBABILITIES = torch.tensor([[0.02, 0.0, 0.05, 0.60, 0.03, 0.20, 0.10], [0.4, 0.3, 0.1, 0.0, 0.1, 0.05, 0.05]])
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
HUGE = {torch.float32: 3e38, torch.float16: 6e4, torch.bfloat16: 3e38}

simplex = (
    st.lists(st.floats(0, 1), min_size=7, max_size=7)
    .filter(lambda values: sum(values) > 0.1)
    .map(lambda values: torch.tensor([values]) / sum(values))
)
strengths = st.floats(-2, 3)


def random(*shape: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def prompts(tokens: int = 5, width: int = 4, dtype: torch.dtype = torch.float32) -> list[Entries]:
    """Seven conditionings of one entry, with a pooled output, a second encoder's states, a mask and a number."""
    return [
        [
            [
                random(1, tokens, width, seed=seed, dtype=dtype),
                {
                    "pooled_output": random(1, 3, seed=10 + seed, dtype=dtype),
                    "conditioning_mt5xl": random(1, 2, 6, seed=20 + seed),
                    "attention_mask": torch.ones(1, tokens, dtype=torch.int64) * seed,
                    "guidance": float(seed),
                },
            ]
        ]
        for seed in range(7)
    ]


def one_hot(*places: int) -> Tensor:
    return torch.eye(7)[list(places)]


def bits(tensor: Tensor) -> Tensor:
    """The same for equal bits only: −0 is not 0."""
    return tensor.contiguous().view(torch.uint8)


def test_temperature_and_top_k_by_numbers() -> None:
    assert torch.allclose(weights(PROBABILITIES, 1.0, 7), PROBABILITIES, atol=1e-6)
    half = weights(PROBABILITIES, 0.5, 7)
    assert torch.allclose(half, PROBABILITIES**2 / (PROBABILITIES**2).sum(dim=1, keepdim=True), atol=1e-6)
    assert torch.allclose(weights(PROBABILITIES, 2.0, 2)[0, [3, 5]], torch.tensor([0.6340, 0.3660]), atol=1e-4)
    assert weights(PROBABILITIES, 1.0, 3).count_nonzero(dim=1).tolist() == [3, 3]
    assert torch.equal(weights(PROBABILITIES, 5.0, 1), one_hot(3, 0))
    assert torch.allclose(weights(PROBABILITIES, 0.05, 7), one_hot(3, 0), atol=5e-3)
    assert torch.allclose(weights(torch.zeros(1, 7), 0.05, 7), torch.full((1, 7), 1 / 7))


@given(simplex, st.floats(0.05, 5), st.integers(1, 7))
def test_weights_are_shares_in_the_order_of_the_probabilities(p: Tensor, temperature: float, top_k: int) -> None:
    [row] = weights(p, temperature, top_k)
    assert row.isfinite().all() and (row >= 0).all()
    assert row.sum().item() == pytest.approx(1, abs=1e-5)
    assert row.count_nonzero() <= top_k
    assert p[0, row.argmax()] == p.max()
    kept = (row > 0).nonzero()[:, 0]
    order = p[0][kept].argsort()
    assert (row[kept][order].diff() >= 0).all()


@pytest.mark.parametrize(
    ("temperature", "top_k", "message"),
    [(0.01, 7, "temperature is 0.01"), (float("nan"), 7, "temperature is nan"), (1, 0, "top_k is 0"), (1, 8, "1 to 7")],
)
def test_what_is_out_of_range_is_named(temperature: float, top_k: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        weights(PROBABILITIES, temperature, top_k)


@pytest.mark.parametrize("dtype", DTYPES)
def test_strength_zero_is_the_origin_bit_for_bit(dtype: torch.dtype) -> None:
    seven = prompts(dtype=dtype)
    seven[NEUTRAL][0][0][0, 0, :2] = torch.tensor([-0.0, 1e-7])
    [[tokens, options]] = mix(seven, PROBABILITIES[:1], 0.0, NEUTRAL)
    [[expected, rest]] = seven[NEUTRAL]
    assert torch.equal(bits(tokens), bits(expected))
    assert options.keys() == rest.keys()
    for name in ("pooled_output", "conditioning_mt5xl", "attention_mask"):
        assert torch.equal(bits(options[name]), bits(rest[name]))
    assert options["guidance"] == 6.0


@pytest.mark.parametrize("strength", [-2.0, 0.1, 1.0, 1.7, 3.0])
def test_a_sure_face_at_strength_one_gives_its_prompt_exactly(strength: float) -> None:
    seven = prompts(dtype=torch.float16)
    for emotion in range(7):
        [[tokens, options]] = mix(seven, one_hot(emotion), 1.0, NEUTRAL)
        assert torch.equal(tokens, seven[emotion][0][0])
        assert torch.equal(options["pooled_output"], seven[emotion][0][1]["pooled_output"])
    [[tokens, _]] = mix(seven, one_hot(NEUTRAL), strength, NEUTRAL)
    assert torch.equal(bits(tokens), bits(seven[NEUTRAL][0][0]))


@given(simplex, strengths)
def test_the_formula_holds_for_all_that_is_mixed(p: Tensor, strength: float) -> None:
    seven = prompts()
    [[tokens, options]] = mix(seven, p, strength, NEUTRAL)

    def expected(values: list[Tensor]) -> Tensor:
        mean = sum(share * value.double() for share, value in zip(p[0].tolist(), values, strict=True))
        origin = values[NEUTRAL].double()
        return (origin + strength * (mean - origin)).float()

    assert torch.allclose(tokens, expected([one[0][0] for one in seven]), atol=1e-5)
    for name in ("pooled_output", "conditioning_mt5xl"):
        assert torch.allclose(options[name], expected([one[0][1][name] for one in seven]), atol=1e-5)


def test_each_row_of_weights_is_a_row_of_the_result() -> None:
    seven = prompts()
    rows = torch.cat([PROBABILITIES, one_hot(NEUTRAL)])
    [[tokens, options]] = mix(seven, rows, 1.5, NEUTRAL)
    assert (tokens.shape, options["pooled_output"].shape) == ((3, 5, 4), (3, 3))
    for index, row in enumerate(rows):
        [[alone, others]] = mix(seven, row[None], 1.5, NEUTRAL)
        assert torch.allclose(tokens[index], alone[0], atol=1e-6)
        assert torch.allclose(options["pooled_output"][index], others["pooled_output"][0], atol=1e-6)
    assert torch.equal(tokens[2], seven[NEUTRAL][0][0][0])


def test_what_cannot_be_mixed_comes_from_the_strongest_of_the_first_row() -> None:
    seven = prompts()
    seven[3][0][1] |= {"hooks": "the hooks of happy", "pooled_output": None, "float_mask": torch.full((1, 5), 0.25)}
    seven[5][0][1] |= {"float_mask": torch.zeros(1, 5)}
    seven[2][0][1]["conditioning_mt5xl"] = random(1, 9, 6, seed=0)
    [[_, options]] = mix(seven, PROBABILITIES, 1.0, NEUTRAL)
    assert options["pooled_output"] is None
    assert (options["hooks"], options["guidance"]) == ("the hooks of happy", 3.0)
    assert torch.equal(options["attention_mask"], torch.full((1, 5), 3))
    assert torch.equal(options["float_mask"], torch.full((1, 5), 0.25))
    assert torch.equal(options["conditioning_mt5xl"], seven[3][0][1]["conditioning_mt5xl"])


def test_shorter_prompts_are_filled_in_the_middle() -> None:
    """A chat template: two tokens before and three after what the prompts say, 2 or 5 tokens."""
    seven = prompts(tokens=7)
    seven[5] = prompts(tokens=10)[5]
    for [[tokens, _]] in seven:
        tokens[:, :2] = torch.tensor([[3.0, 1, -2, 0], [-3, 0, 2, 1]])
        tokens[:, -3:] = torch.tensor([[0.0, 4, 0, -4], [2, 0, -4, 0], [-2, 2, 2, -2]])
    seven[5][0][1]["guidance"] = 5.0
    del seven[5][0][1]["attention_mask"]
    seven[2][0][1]["reference_latents"] = [torch.ones(1, 4)]
    [[tokens, options]] = mix(seven, PROBABILITIES[:1], 1.0, NEUTRAL)
    assert tokens.shape == (1, 10, 4)
    assert torch.allclose(tokens[:, [0, 1, 7, 8, 9]], seven[5][0][0][:, [0, 1, 7, 8, 9]], atol=1e-6)
    assert options["guidance"] == 5.0  # of the longest, as the masks are; a shorter one's mask would not fit
    assert "attention_mask" not in options and options["reference_latents"] is seven[2][0][1]["reference_latents"]
    assert mix(seven, one_hot(3), 1.0, NEUTRAL)[0][0].shape == (1, 7, 4)  # what has no share lengthens nothing


def test_ids_align_padded_prompts_of_one_length_in_each_part() -> None:
    """As Stable Diffusion 3 has them: CLIP's tokens, then T5's, both padded."""
    words = {3: ([5, 6, 7], [15, 16]), 6: ([5], [15])}
    ids: list[Any] = [None] * 7
    states = prompts(tokens=14)
    for emotion, (clip, t5) in words.items():
        parts = [[1, *clip, 2, 2, 2, 2][:6], [11, *t5, 12, 13, *[0] * 8][:8]]
        ids[emotion] = parts
    ids = [entry or ids[6] for entry in ids]
    [[tokens, options]] = mix(states, torch.tensor([[0, 0, 0, 0.75, 0, 0, 0.25]]), 1.0, NEUTRAL, ids)
    happy, neutral = states[3][0][0], states[6][0][0]
    neutral = neutral[:, [0, 1, 1, 1, 2, 3, 6, 7, 7, 8, 9, 10, 11, 12]]
    assert torch.allclose(tokens, 0.75 * happy + 0.25 * neutral, atol=1e-6)
    assert options["guidance"] == 3.0
    wrong = [[part[:-1] for part in parts] for parts in ids]  # ids that do not fit are not used
    [[tokens, _]] = mix(states, torch.tensor([[0, 0, 0, 0.75, 0, 0, 0.25]]), 1.0, NEUTRAL, wrong)
    assert torch.allclose(tokens, 0.75 * happy + 0.25 * states[6][0][0], atol=1e-6)


def test_lists_are_mixed_entry_by_entry() -> None:
    first, second = prompts(), prompts(tokens=3, width=2)
    both = mix([a + b for a, b in zip(first, second, strict=True)], PROBABILITIES, 0.7, NEUTRAL)
    assert len(both) == 2
    for [tokens, options], alone in zip(both, (first, second), strict=True):
        [[expected, others]] = mix(alone, PROBABILITIES, 0.7, NEUTRAL)
        assert torch.equal(tokens, expected)
        assert torch.equal(options["pooled_output"], others["pooled_output"])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("strength", [-2.0, 1.0, 3.0, 1e300])
def test_huge_values_stay_finite_and_dtypes_stay(dtype: torch.dtype, strength: float) -> None:
    seven = prompts(dtype=dtype)
    for index, [[tokens, options]] in enumerate(seven):
        tokens.fill_(HUGE[dtype] * (-1) ** index)
        options["pooled_output"].fill_(HUGE[dtype])
    [[tokens, options]] = mix(seven, PROBABILITIES, strength, NEUTRAL)
    for tensor in (tokens, options["pooled_output"]):
        assert tensor.dtype == dtype
        assert tensor.isfinite().all()


def test_half_precision_is_as_near_as_it_can_be() -> None:
    for dtype in (torch.float16, torch.bfloat16):
        seven = prompts(dtype=dtype)
        exact = [[[entry[0].double(), {}] for entry in one] for one in seven]
        tokens, best = mix(seven, PROBABILITIES, 1.3, NEUTRAL)[0][0], mix(exact, PROBABILITIES, 1.3, NEUTRAL)[0][0]
        assert ((tokens.double() - best).abs() <= torch.finfo(dtype).eps * (best.abs() + 1e-3)).all()


def test_nothing_is_changed_in_place() -> None:
    seven = prompts()
    before = copy.deepcopy(seven)
    rows = PROBABILITIES.clone()
    mixed = mix(seven, rows, 2.0, NEUTRAL)
    mixed += mix(seven, one_hot(NEUTRAL), 0.0, NEUTRAL)
    for tokens, options in mixed:  # nor is what comes out the same memory as what went in
        tokens.zero_()
        options["pooled_output"].zero_()
        options["guidance"] = None
    assert torch.equal(rows, PROBABILITIES)
    for [[tokens, options]], [[tokens_before, options_before]] in zip(seven, before, strict=True):
        assert torch.equal(tokens, tokens_before)
        assert torch.equal(options["pooled_output"], options_before["pooled_output"])
        assert options["guidance"] == options_before["guidance"]


def test_what_does_not_fit_is_named() -> None:
    seven = prompts()
    with pytest.raises(ValueError, match=r"weights must have the shape \(R, 7\), R ≥ 1, not \(1, 6\)"):
        mix(seven, PROBABILITIES[:1, :6], 1.0, NEUTRAL)
    with pytest.raises(ValueError, match=r"not \(0, 7\)"):
        mix(seven, PROBABILITIES[:0], 1.0, NEUTRAL)
    for row in (torch.zeros(1, 7), torch.full((1, 7), torch.nan)):
        with pytest.raises(ValueError, match="sum to 1"):
            mix(seven, row, 1.0, NEUTRAL)
    with pytest.raises(ValueError, match="strength must be a finite number, not nan"):
        mix(seven, PROBABILITIES, float("nan"), NEUTRAL)
    with pytest.raises(ValueError, match="conditionings with 2, 1, 1, 1, 1, 1, 1 entries cannot be mixed"):
        mix([seven[0] * 2, *seven[1:]], PROBABILITIES, 1.0, NEUTRAL)
    with pytest.raises(ValueError, match="encode all prompts with the same CLIP"):
        mix([prompts(width=8)[0], *seven[1:]], PROBABILITIES, 1.0, NEUTRAL)
    with pytest.raises(ValueError, match="cannot be mixed into 3 rows"):
        doubled = [[[entry[0].expand(2, -1, -1), entry[1]] for entry in one] for one in seven]
        mix(doubled, PROBABILITIES[[0, 1, 1]], 1.0, NEUTRAL)
