"""Datasets for tests in which every column has values, some of them unknown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from perception_clip.projection.spaces import SDXL, SPACES, added_targets
from perception_clip.training.dataset.samples import Samples
from perception_clip.training.dataset.store import Store

Faces = Callable[..., Tensor]


def fill(
    path: Path,
    vectors: Tensor,
    space: str = SDXL.name,
    sizes: bool = True,
    rows: slice = slice(None),
    subject: bool = True,
) -> Path:
    """Append these perceptions, or those `rows` of them, with three prompts in turn."""
    numbers = list(range(len(vectors)))[rows]
    random = torch.Generator().manual_seed(0)
    widths = {"embeddings": 768, **added_targets(space, subject)}
    kinds = [number % 3 for number in numbers]
    targets = {name: torch.randn(3, width, generator=random)[kinds] for name, width in widths.items()}
    with Store(path) as store:
        fingerprint = torch.ones(sum(SPACES[space].fingerprint))
        store.set_provenance("encoder/1", fingerprint, "landmarker/1", "emotions/1", space)
        samples = Samples(
            vectors[rows],
            torch.tensor([[480 + number % 3, 640] if sizes else [0, 0] for number in numbers]),
            [f"лицо {kind}" for kind in kinds],
            targets.pop("embeddings"),
            [f"group {number // 5}" for number in numbers],
            [f"{number}.png" for number in numbers],
            [f"key {number}" if number % 2 else "" for number in numbers],
            labels=["happy" if number % 2 else "" for number in numbers],
            splits=[("train", "test", "")[kind] for kind in kinds],
            scores=torch.tensor([number / len(vectors) if number % 7 else torch.nan for number in numbers]),
            added_targets=targets,
        )
        store.append(samples)
    return path


def all_of(path: Path) -> Samples:
    with Store(path, create=False) as store:
        (samples,) = store.iterate(batch=100_000)
    return samples


def assert_same(one: Samples, other: Samples) -> None:
    for name in (field.name for field in fields(Samples) if field.name != "added_targets"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
    assert set(one.added_targets) == set(other.added_targets)
    for name, values in one.added_targets.items():
        np.testing.assert_array_equal(values, other.added_targets[name], err_msg=name)


def own_memory() -> int:
    """Bytes of this process that no file stands behind (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssAnon")).split()[1]) * 1024
