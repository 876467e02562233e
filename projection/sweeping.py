"""One conditioning whose rows have different strengths, for a batch of pictures that differ in nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .conditioning import Conditioning, Entry, check_range, scheduled
from .where import cycled


def rows_of_strengths(
    before: Conditioning, versions: Sequence[Conditioning], start_percent: float, end_percent: float
) -> list[list[Any]]:
    """Return a conditioning with a row for each of `versions`, which are `before` as changed by each strength.

    The first row of every version counts. Versions have an entry for each of `before`, and act on the whole sampling;
    here they act from `start_percent` to `end_percent`. Versions with fewer tokens, such as one of strength 0 in a
    sweep of `append`, are repeated to the length of the others, which leaves the attention to them unchanged.

    Raises ValueError with the remedy for an invalid range.
    """
    check_range(start_percent, end_percent)
    result: list[list[Any]] = []
    for index, (tokens, options) in enumerate(before):
        changed: list[Sequence[Any]] = [version[index] for version in versions]
        length = max(entry[0].shape[1] for entry in changed)
        rows = torch.cat([_repeated(entry[0][:1], length) for entry in changed])
        others = dict(options)
        pooled = [entry[1].get("pooled_output") for entry in changed]
        if all(isinstance(one, Tensor) for one in pooled):
            others["pooled_output"] = torch.cat([one[:1] for one in pooled])
        old: Entry = (cycled(tokens[:1], len(rows)), options)
        result += scheduled(old, (rows, others), start_percent, end_percent)
    return result


def _repeated(tokens: Tensor, length: int) -> Tensor:
    return tokens.repeat(1, length // tokens.shape[1], 1)


def copies(latent: dict[str, Any], count: int) -> dict[str, Any]:
    """Return a LATENT with `count` copies of the first picture, which all get the noise of that picture.

    ComfyUI draws the noise of a picture by its number in `batch_index`.
    """
    copied = {**latent, "samples": latent["samples"][:1].repeat(count, *[1] * (latent["samples"].ndim - 1))}
    copied["batch_index"] = list(latent.get("batch_index", [0]))[:1] * count
    if isinstance(mask := latent.get("noise_mask"), Tensor):
        copied["noise_mask"] = mask[:1].repeat(count, *[1] * (mask.ndim - 1))
    return copied
