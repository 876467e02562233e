"""A graph's CLIP: its text vectors for training and its conditionings for sampling; each text is encoded once.

Text vectors come from the text encoders of Stable Diffusion 1.5 and XL; training/encoders/base.py defines which.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from ...common.errors import InputError
from ...projection.conditioning import Conditioning
from ...projection.opening import Projection
from ...projection.spaces import EMBEDDING, SD15, SDXL, added_targets
from ...training.encoders import base
from . import host

END = 49407  # CLIP's token for the end of the text
PROMPTS_AT_ONCE = 16  # per batch; a canceled run stops between batches
KNOWN_PROMPTS = 4096  # whose vectors are cached per CLIP: 6 kB each, 28 kB for SDXL
KNOWN_CONDITIONINGS = 64  # cached per CLIP: 0.2 MB each for Stable Diffusion 1.5, about 4 MB for a T5
TOKENS = 75  # of a prompt that its text vector covers, without the start and end tokens
SPACE_OF = {
    frozenset("l"): SD15.name,
    frozenset("lg"): SDXL.name,
}  # by the names of the text encoders that it tokenizes for

Part = Sequence[tuple[Any, ...]]  # tokens with their weights, 77 of them


@dataclass(frozen=True)
class ClipEncoder:
    """A graph's CLIP as a text encoder (see training/encoders/base.py)."""

    clip: Any
    space: str
    fingerprint: Tensor  # (F,) as base.fingerprint returns it
    has_subject: bool = True
    shows_progress: bool = False  # on the running node, while it encodes

    @property
    def identity(self) -> str:
        """An id of the CLIP's weights, derived from how they encode the probe sentence."""
        digest = hashlib.sha256(self.fingerprint.numpy().tobytes()).hexdigest()
        return f"comfyui-clip:{digest[:16]}"

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Return CLIP-L's end-of-text state of N prompts after the final layer norm: (N, 768) float32 on the CPU."""
        return self._vectors(prompts)[:, :EMBEDDING]

    def added_targets(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """Return the other vectors of the space for N prompts, by name as in `added_targets`; float32 on the CPU."""
        widths = added_targets(self.space, subject=True)
        parts = self._vectors(prompts).split([EMBEDDING, *widths.values()], dim=1)[1:]
        return dict(zip(widths, parts, strict=True))

    def _vectors(self, prompts: Sequence[str]) -> Tensor:
        """Return all vectors of the space for N prompts, concatenated: (N, W) float32 on the CPU.

        Each prompt is encoded once.
        """
        known = _known.setdefault(self.clip, {})
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in known]
        update = host.progress(len(new)) if self.shows_progress and new else None
        for start in range(0, len(new), PROMPTS_AT_ONCE):
            part = new[start : start + PROMPTS_AT_ONCE]
            known |= dict(zip(part, _text_vectors(self.clip, self.space, part), strict=True))
            if update is not None:
                update(start + len(part))
        vectors = [known[prompt] for prompt in prompts]
        while len(known) > KNOWN_PROMPTS:
            del known[next(iter(known))]  # the oldest
        return torch.stack(vectors)

    def showing_progress(self) -> ClipEncoder:
        """Return the same encoder with a progress bar on the running node; canceling the run stops it."""
        return replace(self, shows_progress=True)

    def is_cut(self, prompt: str) -> bool:
        """Return whether a prompt has more than `TOKENS`: ComfyUI splits it, and only its first part has a vector."""
        return len(self.clip.tokenize(prompt)["l"]) > 1


def encoder(clip: Any) -> ClipEncoder:
    """Return a graph's CLIP as a text encoder; the probe sentence is encoded once for each CLIP object.

    Raises ValueError for a CLIP of a model family other than Stable Diffusion 1.5 and XL.
    """
    _check(clip, "encode_from_tokens")
    space = space_of(clip)
    if space is None:
        raise InputError(OTHER_FAMILY)
    unknown = ClipEncoder(clip, space, torch.empty(0))
    return replace(unknown, fingerprint=base.fingerprint(unknown))


OTHER_FAMILY = (
    "This CLIP does not belong to Stable Diffusion 1.5 or XL, so its text vectors cannot be used. Connect the CLIP of "
    "a Stable Diffusion 1.5 or XL checkpoint (CheckpointLoaderSimple), or CLIP ViT-L/14 loaded with CLIPLoader"
)

_known: WeakKeyDictionary[Any, dict[str, Tensor]] = WeakKeyDictionary()  # of each CLIP, prompt → (W,)


def space_of(clip: Any) -> str | None:
    """Return the text space of a graph's CLIP; None for another model family."""
    return SPACE_OF.get(frozenset(clip.tokenize("")))


def _text_vectors(clip: Any, space: str, prompts: Sequence[str]) -> Tensor:
    """Return all vectors of the space for N prompts, concatenated: (N, W) float32 on the CPU."""
    tokens, suffix = [clip.tokenize(prompt) for prompt in prompts], clip.tokenize(base.SUBJECT_SUFFIX)
    parts = {name: [of_prompt[name][0] for of_prompt in tokens] for name in suffix}  # the first 77 tokens of each
    for name, of_prompts in parts.items():
        of_prompts += [_followed(part, suffix[name][0]) for part in of_prompts]
    return _sd15_vectors(clip, parts["l"]) if space == SD15.name else _sdxl_vectors(clip, parts["l"], parts["g"])


def _sd15_vectors(clip: Any, parts: Sequence[Part]) -> Tensor:
    """Return the vectors (N, 768 + 768) of N prompts, from their 2 N parts: first the prompts, then the subjects.

    They are encoded together as if they were the parts of one long prompt. The vectors are states of the layer that
    Stable Diffusion is conditioned on, which CLIP Set Last Layer changes.
    """
    states, _ = clip.encode_from_tokens({"l": parts}, return_pooled=True)
    if states.shape[-1] != EMBEDDING:
        raise InputError(OTHER_FAMILY)
    vectors = states.view(len(parts), -1, EMBEDDING)[range(len(parts)), _places(parts)]
    return torch.cat(vectors.to("cpu", torch.float32).chunk(2), dim=1)


def _sdxl_vectors(clip: Any, parts_l: Sequence[Part], parts_g: Sequence[Part]) -> Tensor:
    """Return the vectors (N, 768 + 2048 + 1280 + 768 + 2048) of N prompts from their 2 N parts, as `_sd15_vectors`.

    For SDXL's CLIP, ComfyUI returns neither CLIP-L's vector nor the pooled output of several prompts, so both text
    encoders are called directly, as its encode_from_tokens calls them.
    """
    clip.load_model()
    model = clip.cond_stage_model
    model.reset_clip_options()
    model.set_clip_options({"execution_device": clip.patcher.load_device})
    if clip.layer_idx is not None:  # CLIP Set Last Layer
        model.set_clip_options({"layer": clip.layer_idx})
    state_l, _ = _states(model.clip_l, parts_l)
    state_g, pooled = _states(model.clip_g, parts_g)
    model.clip_l.set_clip_options({"layer": None})  # the last
    vectors, _ = _states(model.clip_l, parts_l)
    (end, subject), (end_xl, subject_xl) = vectors.chunk(2), torch.cat([state_l, state_g], dim=1).chunk(2)
    return torch.cat([end, end_xl, pooled[: len(end)], subject, subject_xl], dim=1).to("cpu", torch.float32)


def _states(encoder: Any, parts: Sequence[Part]) -> tuple[Tensor, Tensor]:
    """Return the states of 2 N parts at their places, and the pooled outputs, from one of SDXL's text encoders."""
    states, pooled = encoder.encode([[token for token, *_ in part] for part in parts])[:2]
    return states[range(len(parts)), _places(parts)], pooled


def _followed(part: Part, suffix: Part) -> Part:
    """Return the part of a prompt followed by the tokens of a suffix, for which a long prompt is cut earlier."""
    room = len(part) - _end(suffix)  # the end token takes the place of the suffix's start token
    return [*part[: min(_end(part), room)], *suffix[1:]][: len(part)]


def _places(parts: Sequence[Part]) -> list[int]:
    """Return the places of the end tokens in the first half of the parts, and of the tokens before them in the rest."""
    count = len(parts) // 2
    return [_end(part) - (number >= count) for number, part in enumerate(parts)]


def _end(part: Part) -> int:
    """Return the position of the end token; some tokens may be vectors, from textual-inversion embeddings."""
    return next(place for place, (token, *_) in enumerate(part) if isinstance(token, int) and token == END)


def conditionings(clip: Any, prompts: Sequence[str]) -> list[Conditioning]:
    """Return the conditionings of prompts from the graph's CLIP, of any model family.

    Each text is encoded once for each CLIP. Encoding shows a progress bar on the running node and stops when the run is
    canceled. The conditionings are cached, so callers must not change them.

    Raises ValueError if `clip` is not a text encoder.
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
        known[prompt] = known.pop(prompt)  # the most recently used go last
    result = [known[prompt] for prompt in prompts]
    while len(known) > KNOWN_CONDITIONINGS:
        del known[next(iter(known))]  # the least recently used
    return result


def token_parts(clip: Any, prompt: str, conditioning: Conditioning) -> list[list[int]] | None:
    """Return the ids of a prompt's tokens whose states its conditioning consists of; None if that is not clear.

    Several text encoders share the positions, as for SDXL, or the last one follows another, as for Stable Diffusion 3.
    Encoders with a chat template leave its beginning out.
    """
    length = conditioning[0][0].shape[1] if conditioning else 0
    ids = [_ids(parts) for parts in clip.tokenize(prompt).values()]
    same = [[one] for one in ids if len(one) == length]
    joined = [[one, ids[-1]] for one in ids[:-1] if len(one) + len(ids[-1]) == length]
    cropped = [[one[-length:]] for one in ids if len(one) > length > 0]
    return next(iter([*same, *joined, *cropped]), None)


def _ids(parts: Sequence[Part]) -> list[int]:
    """Return the ids of the tokens of all parts; vectors and pictures have none and count as -1."""
    return [token if isinstance(token, int) else -1 for part in parts for token, *_ in part]


_conditionings: WeakKeyDictionary[Any, dict[str, Conditioning]] = WeakKeyDictionary()  # of each CLIP, by prompt


def fingerprint_for(projection: Projection, clip: Any) -> Tensor | None:
    """Return the fingerprint of a graph's CLIP if it can be compared with the projection's; otherwise None."""
    if clip is not None:
        _check(clip, "tokenize")
    comparable = clip is not None and space_of(clip) == projection.space.name
    return encoder(clip).fingerprint if comparable else None


def _check(clip: Any, method: str) -> None:
    """Raise ValueError unless a graph's CLIP is a text encoder with the method that will be called."""
    if not hasattr(clip, method):
        raise InputError(
            "clip contains no text encoder: the checkpoint file may not include one. Load it with Load CLIP "
            "(DualCLIPLoader for SDXL and Flux, TripleCLIPLoader for SD3) and connect that to clip"
        )
