"""A small CLIP text tower with random weights, for demos and tests without a download.

It is no trained encoder: it knows words only as noise, and everything made with it says so in its identity. It
does have the real one's shape: 768 numbers of norm about 28, prompts that share words nearer to each other than
those that do not.
"""

from __future__ import annotations

import re
import zlib

import numpy as np
import torch
from torch import Tensor

from .encoders import ClipTextEncoder
from .samples import EMBEDDING
from .sd15_file import load_tower

IDENTITY = "random-weight stand-in (not a trained encoder)/1"
VOCABULARY = 8192
LAYERS = 2
INNER = 1536  # half of the real one's
POSITIONS = 77
SEED = 768
SPREAD = {  # of the weights, by part of their name: so that words weigh as much as the fixed tokens do
    "token_embedding": 10.0,
    "position_embedding": 1.0,
    "out_proj": 2.0,
    "proj": 1.0,
    "mlp": 1.0,
}


class HashTokenizer:
    """Words and marks → numbers by their CRC-32; no vocabulary file is needed."""

    begin = VOCABULARY - 2
    end = VOCABULARY - 1
    size = VOCABULARY

    def __call__(self, prompt: str) -> list[int]:
        words = re.findall(r"\w+|[^\w\s]", prompt.lower())
        return [self.begin, *(zlib.crc32(word.encode()) % self.begin for word in words), self.end]


def random_encoder(device: str = "cpu") -> ClipTextEncoder:
    """The stand-in: the same weights on every machine."""
    from transformers import CLIPTextConfig, CLIPTextModel

    config = CLIPTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=EMBEDDING,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=12,
        max_position_embeddings=POSITIONS,
        hidden_act="quick_gelu",
        bos_token_id=HashTokenizer.begin,
        eos_token_id=HashTokenizer.end,
    )
    model = CLIPTextModel(config)
    shapes = {name.removeprefix("text_model."): value.shape for name, value in model.state_dict().items()}
    load_tower(model, _weights(shapes), IDENTITY)
    return ClipTextEncoder(IDENTITY, model, HashTokenizer(), device)


def _weights(shapes: dict[str, torch.Size]) -> dict[str, Tensor]:
    """Fan-in scaled normal noise. NumPy's RandomState, whose numbers never change between versions, draws it."""
    random = np.random.RandomState(SEED)
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
