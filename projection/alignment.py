"""Align the tokens of prompts, so that what they have in common falls onto each other when they are mixed.

Prompts have a common beginning, such as a base prompt or a picture, and a common end, such as the closing tokens of a
chat template, or T5's end token before its padding. Only what is between them differs, and it is filled where it is
shorter, by repeating its last token. Positions are indices: at each position of the mix, which token of a prompt stands
there.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile

import torch
from torch import Tensor


def positions_of_tokens(prompts: Sequence[Sequence[int]]) -> list[Tensor]:
    """Return the positions of prompts from the ids of their tokens; the mix is as long as the prompt with most text.

    The last token and all before it with the same id are the padding, or the end token and the padding. It is not
    empty, as encoders always add at least one token after a text.
    """
    bodies = [_without_padding(prompt) for prompt in prompts]
    start = _shared(bodies)
    end = _shared([body[start:][::-1] for body in bodies])
    longest = longest_text(prompts)
    return [
        _positions(len(body) - end, len(bodies[longest]) - len(body), len(prompt), len(prompts[longest]))
        for body, prompt in zip(bodies, prompts, strict=True)
    ]


def positions_of_states(states: Sequence[Tensor]) -> list[Tensor]:
    """Return the positions of prompts from the states of their tokens alone, (T, width) each, of any lengths T.

    A shorter one is filled in one place: where the states before it are most like those at the beginning of the longest
    one, and the states after it most like those at its end.
    """
    longest = max(states, key=len)
    return [_positions(_best_gap(one, longest), len(longest) - len(one), len(one), len(longest)) for one in states]


def longest_text(prompts: Sequence[Sequence[int]]) -> int:
    """Return the index of the prompt with most tokens before its padding; of equally long ones, the first."""
    return max(range(len(prompts)), key=lambda index: len(_without_padding(prompts[index])))


def _positions(gap: int, width: int, count: int, total: int) -> Tensor:
    """Return positions (total,) of a prompt of `count` tokens that is filled with `width` tokens at `gap`."""
    places = torch.arange(total)
    before, inside = places < gap, places < gap + width
    return places.where(before, torch.where(inside, gap - 1, places - width)).clamp(0, count - 1)


def _best_gap(short: Tensor, long: Tensor) -> int:
    """Return before which token to fill `short`, (T, width), so that it fits `long`, (T + missing, width), best."""
    missing = len(long) - len(short)
    if missing == 0:
        return len(short)
    both = torch.cat([short, long]).float()
    # Some features are so large in all tokens that without this, any two tokens would be alike.
    both = (both - both.mean(dim=0)) / both.std(dim=0).clamp_min(1e-6)
    both = torch.nn.functional.normalize(both, dim=1)
    short, long = both[: len(short)], both[len(short) :]
    at_beginning = (short * long[: len(short)]).sum(dim=1)  # (T,): how alike each is to its counterpart
    at_end = (short * long[missing:]).sum(dim=1)
    zero = at_end.new_zeros(1)
    likeness = torch.cat([zero, at_beginning.cumsum(dim=0)]) + torch.cat([at_end.flip(0).cumsum(dim=0).flip(0), zero])
    return int(likeness.argmax())


def _without_padding(prompt: Sequence[int]) -> Sequence[int]:
    padding = sum(1 for _ in takewhile(lambda token: token == prompt[-1], reversed(prompt)))
    return prompt[: len(prompt) - padding]


def _shared(prompts: Sequence[Sequence[int]]) -> int:
    """Return how many tokens all prompts have in common from the first on."""
    return sum(1 for _ in takewhile(lambda tokens: len(set(tokens)) == 1, zip(*prompts, strict=False)))
