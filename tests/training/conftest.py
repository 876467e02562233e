"""Samples and a small CLIP, for the tests of training/."""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from perception_clip.perception.vector import LANDMARKS, pack
from perception_clip.training.encoders import random_weights
from perception_clip.training.encoders.base import KnownPrompts
from perception_clip.training.encoders.loading import load_encoder
from perception_clip.training.learning.data import TrainingData, training_data
from perception_clip.training.learning.split import Split, split_rows
from perception_clip.training.prompts.starter import meanings

ROWS = 600  # of `data`


@pytest.fixture(scope="session")
def faces() -> Callable[..., Tensor]:
    """A function: (count, seed) → valid perceptions (count, 1441), different for every seed."""

    def make(count: int, seed: int = 0) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        landmarks = torch.rand(count, LANDMARKS, 3, generator=generator)
        return pack(landmarks, torch.rand(count, 7, generator=generator).softmax(dim=1))

    return make


@pytest.fixture(scope="session", autouse=True)
def placeholder_weights() -> Iterator[None]:
    """Draw the placeholder encoders' random weights once, which takes half a second."""
    weights, drawn = random_weights._weights, dict[int, dict[str, Tensor]]()

    def once(shapes: dict[str, torch.Size], seed: int) -> dict[str, Tensor]:
        if seed not in drawn:
            drawn[seed] = weights(shapes, seed)
        return drawn[seed]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(random_weights, "_weights", once)
        yield


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a one-layer CLIP text model, 768 wide, and a tokenizer that knows letters and marks."""
    from transformers import CLIPTextConfig, CLIPTextModel

    folder = tmp_path_factory.mktemp("tiny_clip")
    marks = string.ascii_lowercase + string.digits + string.punctuation
    words = [*marks, *(f"{mark}</w>" for mark in marks), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    torch.manual_seed(0)
    model = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=768,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=12,
            bos_token_id=len(words) - 2,
            eos_token_id=len(words) - 1,
        )
    )
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def template() -> torch.Tensor:
    """A centered face (478, 3)."""
    points = torch.randn(478, 3, generator=torch.Generator().manual_seed(9))
    return points - points.mean(dim=0)


@pytest.fixture(scope="session")
def data(template: torch.Tensor) -> TrainingData:
    """Faces that move in four ways; 16 targets that depend on them in a way that is not linear."""
    generator = torch.Generator().manual_seed(0)
    moves = torch.randn(4, 478, 3, generator=generator) * 0.05
    amounts = torch.randn(ROWS, 4, generator=generator)
    noise = torch.randn(ROWS, 478, 3, generator=generator) * 3e-3
    landmarks = 0.5 + 0.1 * (template + torch.einsum("nk,klc->nlc", amounts, moves) + noise)
    emotions = torch.full((ROWS, 7), 1 / 7)
    signs = (amounts > 0).long()
    corner = signs[:, 0] ^ signs[:, 1]  # no linear rule can tell
    centers = torch.randn(2, 4, 2, 768, generator=generator) + 3
    targets = centers[corner, signs[:, 2] * 2 + signs[:, 3], signs[:, 0]]
    return training_data(pack(landmarks, emotions), torch.ones(ROWS, 2, dtype=torch.int32), targets)


@pytest.fixture(scope="session")
def rows() -> Split:
    return split_rows(None, ROWS)


@pytest.fixture(scope="session")
def starter_encoder() -> KnownPrompts:
    """The placeholder text encoder, which has encoded the prompts of sampled faces once for all tests."""
    return KnownPrompts.encoded(load_encoder("random"), list(meanings()))
