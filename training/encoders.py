"""Text encoders: prompts → 768-D vectors in the text space of Stable Diffusion 1.5.

The vector of a prompt is CLIP ViT-L/14's state at the end-of-text token after the final layer norm, not multiplied
by `text_projection`: what transformers calls `CLIPTextModel(...).pooler_output`, and ComfyUI the unprojected
pooled output.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from .clip_tokenizer import (
    CLIP_L,
    EncoderError,
    Tokenize,
    cached_or_downloaded,
    find_tokenizer,
    has_tokenizer,
    hub_tokenizer,
    read_tokenizer,
)
from .samples import EMBEDDING

if TYPE_CHECKING:
    from transformers import CLIPTextModel

PROBE = "a close-up photo of a person with a happy face"  # its vector is an encoder's fingerprint
BATCH = 32
SHOWN = 80  # characters of a prompt in a warning


class TextEncoder(Protocol):
    """Whatever turns prompts into vectors."""

    @property
    def identity(self) -> str:
        """Stored with every dataset and checkpoint."""
        ...

    @property
    def dim(self) -> int:
        """The width of its vectors."""
        ...

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """P prompts → (P, dim) float32 on the CPU."""
        ...


class TokenEncoder(TextEncoder, Protocol):
    """A text encoder that also gives what Stable Diffusion attends to: the states of all tokens."""

    def token_states(self, prompt: str) -> Tensor:
        """One prompt → (1, T, dim) float32 on the CPU, padded to a whole block of tokens."""
        ...


class ClipTextEncoder:
    """A CLIP text model of transformers with its tokenizer."""

    def __init__(self, identity: str, model: CLIPTextModel, tokenize: Tokenize, device: str = "cpu") -> None:
        """Raises EncoderError if the model is not 768 wide, or the tokenizer not made for it."""
        self.identity = identity
        self.dim = int(model.config.hidden_size)
        if self.dim != EMBEDDING:
            raise EncoderError(
                f"{identity} makes vectors of {self.dim} numbers; Stable Diffusion 1.5 needs the {EMBEDDING} of "
                f"CLIP ViT-L/14 ({CLIP_L})"
            )
        if tokenize.size != model.config.vocab_size:
            raise EncoderError(
                f"{identity} knows {model.config.vocab_size} tokens and the tokenizer {tokenize.size}: it belongs to "
                "another model; pass --tokenizer FOLDER with the right one"
            )
        self._model = model.float().eval().requires_grad_(False).to(device)
        self._tokenize = tokenize
        self._device = device
        self._longest = int(model.config.max_position_embeddings)  # 77

    @torch.no_grad()
    def encode(self, prompts: Sequence[str]) -> Tensor:
        """P prompts → (P, 768) float32 on the CPU. Prompts beyond 77 tokens are cut, with a warning."""
        vectors = torch.empty(len(prompts), self.dim)
        for start in range(0, len(prompts), BATCH):
            ids = [self._ids(prompt) for prompt in prompts[start : start + BATCH]]
            ends = [row.index(self._tokenize.end) for row in ids]  # (P,) the first end-of-text token
            width = max(map(len, ids))
            # Attention is causal, so what follows the end-of-text token does not change its state.
            padded = torch.tensor([row + [self._tokenize.end] * (width - len(row)) for row in ids])
            states = self._model(input_ids=padded.to(self._device)).last_hidden_state  # (P, T, 768)
            vectors[start : start + len(ids)] = states[torch.arange(len(ids)), torch.tensor(ends)].float().cpu()
        return vectors

    @torch.inference_mode()
    def token_states(self, prompt: str) -> Tensor:
        """A prompt → (1, 77, 768) float32 on the CPU: BOS, words, EOS and EOS-padding after the final layer norm.

        This is the cross-attention part of ComfyUI's CONDITIONING for Stable Diffusion 1.5.
        """
        ids = self._ids(prompt)
        padded = torch.tensor([ids + [self._tokenize.end] * (self._longest - len(ids))])
        return self._model(input_ids=padded.to(self._device)).last_hidden_state.float().cpu().clone()  # type: ignore[no-any-return]

    def _ids(self, prompt: str) -> list[int]:
        ids = self._tokenize(prompt)
        if len(ids) <= self._longest:
            return ids
        warnings.warn(
            f"a prompt has {len(ids)} tokens and CLIP reads {self._longest}: its end is cut off: {prompt[:SHOWN]!r}…",
            stacklevel=3,
        )
        return [*ids[: self._longest - 1], self._tokenize.end]


def fingerprint(encoder: TextEncoder) -> Tensor:
    """(768,) the encoder's vector for the probe sentence, by which encoders are told apart."""
    return encoder.encode([PROBE])[0]


def load_encoder(spec: str, device: str = "cpu", tokenizer: str | None = None) -> TokenEncoder:
    """The text encoder that `spec` names.

    Args:
        spec: "random" (a small random-weight stand-in that needs no download), a `.safetensors` file of Stable
            Diffusion 1.5 or of CLIP ViT-L/14, or a Hugging Face id or folder of a CLIP text model.
        device: where it runs.
        tokenizer: a folder with CLIP's vocab.json and merges.txt. By default that of the model, else ComfyUI's
            own, else that of CLIP ViT-L/14 in the Hugging Face cache.

    Raises EncoderError, saying what to pass, if there is no such encoder, it is not Stable Diffusion 1.5's
    kind, or no tokenizer is found.
    """
    if spec == "random":
        from .random_clip import random_encoder

        return random_encoder(device)
    path = Path(spec).expanduser()
    if path.suffix == ".safetensors":
        from .sd15_file import load_sd15_file

        identity, model = load_sd15_file(path)
        return ClipTextEncoder(identity, model, find_tokenizer(tokenizer), device)
    if path.suffix in (".ckpt", ".pt", ".pth", ".bin"):
        raise EncoderError(
            f"{spec}: files of this type can run code when they are read; use the model's .safetensors file"
        )
    return _load_pretrained(spec, device, tokenizer)


def _load_pretrained(spec: str, device: str, tokenizer: str | None) -> ClipTextEncoder:
    """A CLIP text model from a local folder or the Hugging Face hub; only its safetensors weights are read."""
    folder = Path(spec).expanduser()
    local = folder.is_dir()
    if not local and (folder.is_absolute() or spec.startswith(".") or spec.count("/") != 1):
        raise EncoderError(
            f"{spec}: there is no such folder. Pass 'random', a Stable Diffusion 1.5 .safetensors file, a folder, or a "
            f"Hugging Face id such as {CLIP_L}"
        )
    name = str(folder) if local else spec
    try:
        model, missing = cached_or_downloaded(_read_model, name)
        if tokenizer is None and not local:
            tokenize = cached_or_downloaded(hub_tokenizer, name)
        elif tokenizer is None and has_tokenizer(folder):
            tokenize = read_tokenizer(folder)
        else:
            tokenize = find_tokenizer(tokenizer)
    except (OSError, RuntimeError) as error:
        first = " ".join(str(error).split())[:300]
        remedy = (
            "it needs a config.json and a model.safetensors of a CLIP text model"
            if local
            else "without the internet, pass a Stable Diffusion 1.5 .safetensors file or a local folder instead"
        )
        raise EncoderError(f"{spec}: no text encoder could be loaded; {remedy} ({first})") from error
    if missing:
        raise EncoderError(
            f"{spec}: no CLIP text model, or one saved by a newer version of transformers: {len(missing)} of its "
            f"weights are missing, such as {missing[0]}; pass {CLIP_L} or a Stable Diffusion 1.5 .safetensors file"
        )
    identity = f"folder:{folder.resolve().name}" if local else f"hf:{spec}"
    return ClipTextEncoder(identity, model, tokenize, device)


def _read_model(name: str, **options: bool) -> tuple[CLIPTextModel, list[str]]:
    """A CLIP text model, and the names of the weights that were not in its files (and are random now).

    transformers would merely warn of these, in a report that also lists the whole vision half of CLIP as
    unexpected: it is muted, since the caller refuses such a model.
    """
    from transformers import CLIPTextModel

    log = logging.getLogger("transformers")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        model, info = CLIPTextModel.from_pretrained(name, use_safetensors=True, output_loading_info=True, **options)
    finally:
        log.setLevel(level)
    return model, sorted(info["missing_keys"])
