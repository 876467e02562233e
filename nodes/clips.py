"""A graph's CLIP: its text vectors for training, its conditionings for sampling, each text encoded once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ..projection.conditioning import Conditioning
from ..projection.opening import Projection
from ..projection.spaces import SD15
from ..training.encoders import PROBE
from ..training.samples import EMBEDDING
from . import host

END = 49407  # CLIP's token for the end of the text
PROMPTS_AT_ONCE = 16  # encoded before a cancelled run can stop
KNOWN_PROMPTS = 4096  # whose vectors are kept, of each CLIP, 3 kB each
KNOWN_CONDITIONINGS = 64  # kept of each CLIP: 0.2 MB each for Stable Diffusion 1.5, about 4 MB for a T5
TOKENS = 75  # of a prompt that its text vector tells of, beside the start and the end


@dataclass(frozen=True)
class ClipEncoder:
    """A graph's CLIP as a text encoder of Stable Diffusion 1.5's text space (see training/encoders.py)."""

    clip: Any
    fingerprint: Tensor  # (768,) its vector for the probe sentence
    dim: int = EMBEDDING
    space: str = SD15.name
    shows_progress: bool = False  # on the running node, while it encodes

    @property
    def identity(self) -> str:
        """Names the weights as far as they can be told apart: by what they make of the probe sentence."""
        digest = hashlib.sha256(self.fingerprint.numpy().tobytes()).hexdigest()
        return f"comfyui-clip:{digest[:16]}"

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Prompts → (N, 768) float32 on the CPU: the end-of-text state after the final layer norm."""
        known = _known.setdefault(self.clip, {})
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in known]
        update = host.progress(len(new)) if self.shows_progress else None
        for start in range(0, len(new), PROMPTS_AT_ONCE):
            part = new[start : start + PROMPTS_AT_ONCE]
            known |= dict(zip(part, _text_vectors(self.clip, part), strict=True))
            if update is not None:
                update(start + len(part))
        vectors = [known[prompt] for prompt in prompts]
        while len(known) > KNOWN_PROMPTS:
            del known[next(iter(known))]  # the oldest
        return torch.stack(vectors) if vectors else torch.empty(0, EMBEDDING)

    def extras(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """Nothing: the sd15 space has no further vectors."""
        return {}

    def showing_progress(self) -> ClipEncoder:
        """The same; encoding then shows a progress bar on the running node, and stops when the run is cancelled."""
        return replace(self, shows_progress=True)

    def is_cut(self, prompt: str) -> bool:
        """Whether the prompt is longer than `TOKENS`: ComfyUI encodes it in parts, and the first is its vector."""
        return len(self.clip.tokenize(prompt)["l"]) > 1


def encoder(clip: Any) -> ClipEncoder:
    """Wrap a graph's CLIP; the probe sentence is encoded once for each CLIP object.

    Raises ValueError for a CLIP of another family than Stable Diffusion 1.5's.
    """
    _check(clip, "encode_from_tokens")
    known = _known.setdefault(clip, {})
    if PROBE not in known:
        [known[PROBE]] = _text_vectors(clip, [PROBE])
    return ClipEncoder(clip, known[PROBE])


_known: WeakKeyDictionary[Any, dict[str, Tensor]] = WeakKeyDictionary()  # of each CLIP, prompt → (768,)


def _text_vectors(clip: Any, prompts: Sequence[str]) -> Tensor:
    """Prompts → (N, 768) float32 on the CPU, encoded together as if they were the parts of one long prompt.

    Of parts, ComfyUI gives the vector of the first and the states of all. The others' vectors are their states at the
    end of the text, if that is so of the first; it is not with CLIP Set Last Layer, and then each is encoded alone.
    """
    parts = [clip.tokenize(prompt) for prompt in prompts]
    if all(set(tokens) == {"l"} for tokens in parts):
        first = [tokens["l"][0] for tokens in parts]  # of a prompt beyond 77 tokens its beginning
        states, pooled = clip.encode_from_tokens({"l": first}, return_pooled="unprojected")
        if pooled is not None and pooled.shape == (1, EMBEDDING):
            if len(prompts) == 1:
                alone: Tensor = pooled.to(device="cpu", dtype=torch.float32, copy=True)
                return alone
            ends = [_end(part) for part in first]
            vectors: Tensor = states.view(len(first), -1, EMBEDDING)[range(len(first)), ends].to("cpu", torch.float32)
            if torch.allclose(vectors[:1], pooled.to(vectors), atol=1e-3):
                return vectors
            return torch.cat([_text_vectors(clip, [prompt]) for prompt in prompts])
    raise ValueError(
        "This CLIP is not Stable Diffusion 1.5's, so its text vectors are of another kind. Connect the CLIP "
        "of a Stable Diffusion 1.5 checkpoint (CheckpointLoaderSimple), or CLIP ViT-L/14 loaded with CLIPLoader. "
        "For Stable Diffusion XL, make the dataset outside ComfyUI: python -m training build --space sdxl"
    )


def _end(part: Sequence[tuple[Any, ...]]) -> int:
    """Where the text ends in a prompt's tokens; some may be vectors, of embeddings that the user has loaded."""
    return next(place for place, (token, *_) in enumerate(part) if isinstance(token, int) and token == END)


def conditionings(clip: Any, prompts: Sequence[str]) -> list[Conditioning]:
    """Prompts as the graph's CLIP, of any model family, conditions on them; each text is encoded once for each CLIP.

    What has to be encoded shows a progress bar on the running node, and stops when the run is cancelled. Nobody may
    change what comes back: it is kept.

    Raises ValueError for a CLIP that is none.
    """
    _check(clip, "encode_from_tokens_scheduled")
    known = _conditionings.setdefault(clip, {})
    new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in known]
    update = host.progress(len(new)) if new else None
    for done, prompt in enumerate(new, start=1):
        known[prompt] = clip.encode_from_tokens_scheduled(clip.tokenize(prompt))
        if update is not None:
            update(done)
    for prompt in prompts:
        known[prompt] = known.pop(prompt)  # the latest used to the end
    result = [known[prompt] for prompt in prompts]
    while len(known) > KNOWN_CONDITIONINGS:
        del known[next(iter(known))]  # the longest unused
    return result


_conditionings: WeakKeyDictionary[Any, dict[str, Conditioning]] = WeakKeyDictionary()  # of each CLIP, by prompt


def fingerprint_for(projection: Projection, clip: Any) -> Tensor | None:
    """The fingerprint of a graph's CLIP, if it can be compared with what the projection was trained with."""
    if clip is not None:
        _check(clip, "tokenize")
    comparable = clip is not None and projection.space is SD15 and set(clip.tokenize("")) == {"l"}
    return encoder(clip).fingerprint if comparable else None


def _check(clip: Any, method: str) -> None:
    """Raise ValueError unless a graph's CLIP is one, with the method that is called of it."""
    if not hasattr(clip, method):
        raise ValueError(
            "clip holds no text encoder: the checkpoint may come without one. Load it with Load CLIP (DualCLIPLoader "
            "for SDXL and Flux, TripleCLIPLoader for SD3), and link that to clip"
        )
