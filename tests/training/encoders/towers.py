"""Text towers in files, and what is said of those that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from torch import Tensor

from perception_clip.training.encoders.clip import EncoderError
from perception_clip.training.encoders.loading import load_encoder


def tower_of(folder: Path) -> dict[str, Tensor]:
    """The weights of a saved CLIPTextModel, named without `text_model.`."""
    weights = load_file(folder / "model.safetensors")
    return {name.removeprefix("text_model."): value for name, value in weights.items()}


def refused(path: Path, tensors: dict[str, Tensor], space: str, tokenizer: Path) -> str:
    """The error about a file with these tensors, which names it."""
    save_file(tensors, path)
    with pytest.raises(EncoderError) as caught:
        load_encoder(str(path), tokenizer=str(tokenizer), space=space)
    assert str(path) in str(caught.value)
    return str(caught.value)
