"""Placeholder encoders: small CLIP text towers with random weights, for demos and tests without a download.

They are not trained: words are only noise to them, and the identity of everything created with them states this. Their
vectors have the shapes of the real ones: for Stable Diffusion 1.5, 768 numbers with a norm of about 28, and prompts
with common words are closer to each other than prompts without.
"""

from __future__ import annotations

import re
import zlib
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...projection.insight import PLACEHOLDER_ENCODER
from ...projection.spaces import EMBEDDING
from .clip import WIDTH_G, ClipTextEncoder, SdxlTextEncoder
from .tower_files import empty_model, load_tower

IDENTITY = f"{PLACEHOLDER_ENCODER} (not a trained encoder)/1"
VOCABULARY = 8192
LAYERS = 2
INNER = 1536  # half of the real one's
INNER_G = 640  # an eighth
POSITIONS = 77
SEED, SEED_G = 768, 1280
SPREAD = {  # of the weights, by part of their name, so that words have as much weight as the fixed tokens
    "token_embedding": 10.0,
    "position_embedding": 1.0,
    "out_proj": 2.0,
    "proj": 1.0,
    "mlp": 1.0,
}


class HashTokenizer:
    """A tokenizer that maps words and punctuation to ids by their CRC-32; it needs no vocabulary file."""

    begin = VOCABULARY - 2
    end = VOCABULARY - 1
    size = VOCABULARY

    def __init__(self) -> None:
        self._word_of: dict[int, str] = {}  # of the words so far

    def __call__(self, prompt: str) -> list[int]:
        words = re.findall(r"\w+|[^\w\s]", prompt.lower())
        ids = [zlib.crc32(word.encode()) % self.begin for word in words]
        self._word_of.update(zip(ids, words, strict=True))
        return [self.begin, *ids, self.end]

    def text(self, ids: list[int]) -> str:
        return " ".join(self._word_of[number] for number in ids)


def random_encoder(device: str = "cpu") -> ClipTextEncoder:
    """Return the placeholder for Stable Diffusion 1.5's encoder; its weights are the same on every machine."""
    return ClipTextEncoder(IDENTITY, _clip_l(), HashTokenizer(), device)


def random_sdxl_encoder(device: str = "cpu") -> SdxlTextEncoder:
    """Return the placeholder for SDXL's two encoders; its weights are the same on every machine.

    Its CLIP-L is that of `random_encoder`.
    """
    clip_g = _random(SEED_G, WIDTH_G, INNER_G, "gelu", projected=WIDTH_G)
    return SdxlTextEncoder(IDENTITY, _clip_l(), clip_g, HashTokenizer(), device)


def _clip_l() -> Any:
    return _random(SEED, EMBEDDING, INNER, "quick_gelu", projected=None)


def _random(seed: int, width: int, inner: int, hidden_act: str, projected: int | None) -> Any:
    """Return a text model with random weights."""
    model = empty_model(VOCABULARY, POSITIONS, width, inner, LAYERS, hidden_act, projected)
    shapes = {name.removeprefix("text_model."): value.shape for name, value in model.state_dict().items()}
    load_tower(model, _weights(shapes, seed), IDENTITY)
    return model


def _weights(shapes: dict[str, torch.Size], seed: int) -> dict[str, Tensor]:
    """Return fan-in scaled normal noise from NumPy's RandomState, whose numbers never change between versions."""
    random = np.random.RandomState(seed)
    weights = {}
    for name in sorted(shapes):
        shape = tuple(shapes[name])
        if len(shape) == 2:
            spread = next(value for key, value in SPREAD.items() if key in name)
            values = random.standard_normal(shape) * (spread / shape[1] ** 0.5)
        else:
            values = np.full(shape, float("norm" in name and name.endswith("weight")))
        weights[name] = torch.from_numpy(values.astype(np.float32))
    return weights
