"""Where a face acts: the arithmetic of attention behind the choice, and that no other token changes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from perception_clip.projection.conditioning import inject
from perception_clip.projection.face_vectors import FaceVectors
from perception_clip.projection.insight import shifts
from perception_clip.projection.spaces import SD15, SDXL
from perception_clip.projection.where import WHERE, Roles, end_is_known, usable

BOS, END, SUBJECT = 0, 20, (4, 5)  # positions in a block of 77


def roles(blocks: int = 1, subject: tuple[int, ...] = SUBJECT) -> Roles:
    """Every block has words up to END; the subject is in the first."""
    place = torch.arange(77 * blocks)
    within = place % 77
    return Roles((within > BOS) & (within < END), within >= END, torch.isin(place, torch.tensor(subject)))


def faces(count: int, width: int, subject: int, seed: int = 0) -> FaceVectors:
    numbers = torch.randn(count, width + subject, generator=torch.Generator().manual_seed(seed))
    return FaceVectors.split(numbers, width)


def acting(where: str, of_prompt: Roles) -> Tensor:
    """The tokens that change, (T,)."""
    return {
        "subject and end": of_prompt.subject | of_prompt.end,
        "subject": of_prompt.subject,
        "end": of_prompt.end,
        "words": of_prompt.words,
        "all": of_prompt.words | of_prompt.end,
    }[where]


def attention(tokens: Tensor, queries: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """Return the output (P, V) and the weights (P, T) of a cross-attention layer for pixels' queries (P, K)."""
    weights = (queries @ (tokens @ keys).T).softmax(dim=1)
    return weights @ (tokens @ values), weights


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), where=st.sampled_from(["all", "subject", "subject and end", "end", "words"]))
def test_a_shift_lands_on_pixels_in_proportion_to_their_attention_to_its_tokens(seed: int, where: str) -> None:
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    tokens, of_prompt = drawn(1, 77, 768).float(), roles()
    queries, keys, values = drawn(50, 8), drawn(768, 8) / 768**0.5, drawn(768, 8)
    vector, neutral = faces(1, 768, 768, seed), faces(1, 768, 768, seed + 1)
    [[changed, _]] = inject([[tokens, {}]], vector, neutral, where=where, roles=[of_prompt])
    after, weights = attention(changed[0].double(), queries, keys, values)
    # Output before the shift, with the attention after it: what is left is the shift's own share.
    shift = after - weights @ (tokens[0].double() @ values)
    d_subject, d_end = (vector.subject - neutral.subject).double(), (vector.end - neutral.end).double()
    to_subject = weights[:, of_prompt.subject].sum(dim=1, keepdim=True)
    on_end = acting(where, of_prompt) & ~of_prompt.subject if where == "subject and end" else acting(where, of_prompt)
    to_others = weights[:, on_end].sum(dim=1, keepdim=True)
    expected = {
        "subject": to_subject @ d_subject @ values,
        "subject and end": to_subject @ d_subject @ values + to_others @ d_end @ values,
    }.get(where, to_others @ d_end @ values)
    assert torch.allclose(shift, expected, atol=1e-3)
    if where == "all":  # equal at every pixel but for the attention to BOS, and the words keep their shares
        per_attention = shift / (1 - weights[:, :1])
        assert torch.allclose(per_attention, per_attention[:1].expand_as(per_attention), atol=1e-3)
        _, before = attention(tokens[0].double(), queries, keys, values)
        assert torch.allclose(weights[:, 1:] / weights[:, 1:2], before[:, 1:] / before[:, 1:2], rtol=1e-3)
    if where == "subject":  # as uneven over the pixels as the attention to the subject
        lengths = shift.norm(dim=1)
        assert torch.corrcoef(torch.stack([lengths, to_subject[:, 0]]))[0, 1] > 0.999
        assert lengths.max() > 2 * lengths.min()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("mode", ["steer", "replace"])
@pytest.mark.parametrize("where", WHERE)
def test_other_tokens_stay_bit_for_bit(where: str, mode: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    tokens, of_prompt = torch.randn(2, 154, 768, generator=generator).to(dtype), roles(2)
    original = tokens.clone()
    how: dict[str, Any] = {"where": where, "roles": [of_prompt], "mode": mode, "strength": 0.5}
    vector, neutral = faces(2, 768, 768), faces(1, 768, 768, 1)
    [[changed, _]] = inject([[tokens, {}]], vector, neutral, **how)
    moves = acting(where, of_prompt)
    assert changed.dtype == dtype and torch.equal(tokens, original)
    assert torch.equal(changed[:, ~moves], tokens[:, ~moves])
    assert (changed[:, moves] != tokens[:, moves]).any(dim=-1).all()
    [[unchanged, _]] = inject([[tokens, {}]], vector, neutral, **(how | {"strength": 0}))
    assert unchanged is tokens


def test_the_two_encoders_of_sdxl_have_their_own_tokens() -> None:
    """An embedding that only one of them knows moves the words that follow it in that one alone."""
    generator = torch.Generator().manual_seed(0)
    tokens, pooled = torch.randn(1, 77, 2048, generator=generator), torch.randn(1, 1280, generator=generator)
    vector, neutral = faces(1, 3328, 2048), faces(1, 3328, 2048, 1)
    both = [roles(subject=(4,)), roles(subject=(9,))]
    [[changed, options]] = inject(
        [[tokens, {"pooled_output": pooled}]], vector, neutral, space=SDXL, where="subject", roles=both, strength=0.5
    )
    shift, delta = (changed - tokens)[0], 0.5 * (vector.subject - neutral.subject)[0]
    assert torch.allclose(shift[4, :768], delta[:768], atol=1e-5) and not shift[4, 768:].any()
    assert torch.allclose(shift[9, 768:], delta[768:], atol=1e-5) and not shift[9, :768].any()
    assert shift.count_nonzero() <= 2048
    moved = 0.5 * (vector.end - neutral.end)[:, 2048:]
    assert torch.allclose(options["pooled_output"] - pooled, moved, atol=1e-5)


def test_without_roles_the_pooled_output_tells_where_the_text_ends() -> None:
    tokens = torch.randn(1, 77, 768, generator=torch.Generator().manual_seed(0))
    vector, neutral = faces(1, 768, 0), faces(1, 768, 0, 1)
    for where in ("end", "words", "all"):
        entry = [tokens, {"pooled_output": tokens[:, END]}]
        [[changed, _]] = inject([entry], vector, neutral, where=where)
        assert torch.equal((changed != tokens).any(dim=-1)[0], acting(where, roles()))
        [[unknown, _]] = inject([[tokens, {}]], vector, neutral, where=where)
        assert torch.equal((unknown != tokens).any(dim=-1)[0], acting("all", roles()))
    assert end_is_known(tokens, tokens[:, END]) and not end_is_known(tokens, None)
    assert not end_is_known(tokens.repeat(1, 2, 1) + torch.arange(154)[:, None], tokens[:, END])


def test_roles_are_cut_or_filled_to_the_tokens_of_the_conditioning() -> None:
    """ComfyUI cuts SDXL's prompts to the encoder with fewer blocks; nodes may add tokens."""
    for blocks in (1, 3):
        tokens = torch.randn(1, 77 * blocks, 768, generator=torch.Generator().manual_seed(0))
        [[changed, _]] = inject([[tokens, {}]], faces(1, 768, 0), faces(1, 768, 0, 1), where="end", roles=[roles(2)])
        moved = (changed != tokens).any(dim=-1)[0]
        assert torch.equal(moved[:77], roles().end) and not moved[154:].any()


def test_what_is_not_possible_is_done_at_the_end_of_the_text() -> None:
    whole, alone = faces(1, 768, 768), faces(1, 768, 0)
    for where in WHERE:
        assert usable(where, whole, [roles()]) == (where, "")
    for vectors, prompt, reason in (
        (whole, None, "CLIP Text Encode (Face)"),
        (alone, [roles()], "Retrain"),
        (whole, [roles(subject=())], "Enter the words"),
    ):
        for where in ("subject", "subject and end"):
            place, missing = usable(where, vectors, prompt)
            assert place == "end" and reason in missing
            with pytest.raises(ValueError, match=f"where cannot be {where}: "):
                inject([[torch.zeros(1, 77, 768), {}]], vectors, faces(1, 768, 768), where=where, roles=prompt)


@pytest.mark.parametrize("match_norm", [False, True])
def test_the_shift_that_the_node_shows_is_the_shift_of_the_tokens(match_norm: bool) -> None:
    tokens = torch.randn(1, 77, 768, generator=torch.Generator().manual_seed(0)) * 3
    conditioning, vector, neutral = [[tokens, {}]], faces(1, 768, 768), faces(1, 768, 768, 1)
    how: dict[str, Any] = {"where": "subject and end", "roles": [roles()], "match_norm": match_norm}
    [[steered, _]] = inject(conditioning, vector, neutral, **how)
    [[replaced, _]] = inject(conditioning, vector, neutral, mode="replace", **how)
    found = shifts(conditioning, vector, neutral, SD15, **how)
    for group, acting_tokens in (("subject", roles().subject), ("end", roles().end)):
        typical = tokens[0, acting_tokens].norm(dim=1).mean()
        assert found[group].tokens == acting_tokens.sum()
        moved = (steered - tokens)[0, acting_tokens][0].norm()
        assert found[group].delta == pytest.approx(float(moved / typical), rel=1e-4)
        assert found[group].face == pytest.approx(float(replaced[0, acting_tokens][0].norm() / typical), rel=1e-4)
    assert shifts([], vector, neutral, SD15, **how) == {}
