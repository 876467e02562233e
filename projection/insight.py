"""What a projection makes of faces, in words and numbers: the prompts they are near to, what speaks against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..perception.editing.join import AND
from ..perception.emotions.expression import RELATIVE
from ..perception.vector import Perceptions
from .checkpoint import Checkpoint
from .conditioning import not_bos, typical_length
from .foreign import ForeignCheckpoint
from .opening import Projection
from .spaces import SAME_VECTOR

FAR = 1.4  # distance (FaceFeatures.distance) from which a face is unlike those of the training
STAND_IN = "random-weight stand-in"  # how the identity of a text encoder that means nothing begins
SAMPLED = "sampled from "  # how the landmarker is named of faces that come from the expression model
UNSEEN = ("unknown", SAMPLED)  # landmarkers that saw no picture, as a checkpoint names them

Similarity = tuple[str, float]  # a training prompt, and the mean-centred cosine −1…1 to it


def nearest(projection: Projection, vectors: Tensor, count: int) -> list[list[Similarity]]:
    """For each projected face (F, W) the `count` training prompts most similar to it, the most similar first.

    Raw cosine is misleading, as CLIP's vectors share a large part: the mean training target is taken away, and what
    several encoders put side by side is brought to one scale. A projection that knows no prompts gives empty lists.
    """
    if not isinstance(projection, Checkpoint) or projection.prompt_vectors is None:
        return [[] for _ in vectors]
    network, prompts = projection.network, projection.metadata.prompts
    mean, scale = network.target_mean.cpu(), network.target_scale.cpu()
    own, others = (
        torch.nn.functional.normalize((v - mean) / scale, dim=1) for v in (vectors, projection.prompt_vectors)
    )
    best = (own @ others.T).topk(min(count, len(prompts)), dim=1)
    return [
        [(prompts[number], value) for number, value in zip(numbers, values, strict=True)]
        for numbers, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]


def lengths(projection: Projection, vectors: Tensor, neutral: Tensor, conditioning: Sequence[Any]) -> tuple[float, ...]:
    """Mean lengths: of the faces' vectors (F, W) for tokens, of their differences from neutral ones (F, W), and of the
    prompt's tokens but BOS; the last is 0 without a conditioning.
    """
    width, of_entries = projection.space.tokens, []
    for tokens, _ in conditioning:
        of_entries.append(typical_length(tokens[..., :width].float(), not_bos(tokens).expand(len(tokens), -1)).mean())
    typical = torch.stack(of_entries).mean() if of_entries else torch.zeros(())
    own, moved = (some[:, :width].norm(dim=1).mean() for some in (vectors, vectors - neutral))
    return float(own), float(moved), float(typical)


def warnings(projection: Projection, perceptions: Perceptions, fingerprint: Tensor | None) -> list[str]:
    """What speaks against the projection of these faces, a sentence each, the gravest first.

    `fingerprint` (F,) is that of the text encoder that the prompt was encoded with, where known.
    """
    if isinstance(projection, ForeignCheckpoint):
        return [f"of another script: {projection.description}; nothing is known of its training"]
    metadata, found = projection.metadata, []
    if metadata.encoder.startswith(STAND_IN):
        found.append("STAND-IN: the picture changes, but not towards the expression. Train with your CLIP")
    if fingerprint is not None and projection.fingerprint is not None:
        widths = projection.space.fingerprint
        pairs_of = zip(fingerprint.split(widths), projection.fingerprint.split(widths), strict=True)
        alike = min(float(torch.cosine_similarity(one, other, dim=0)) for one, other in pairs_of)
        if not alike >= SAME_VECTOR:
            found.append(
                f"trained with another text encoder, {metadata.encoder} (cosine {alike:.3f}): train with this CLIP"
            )
    pairs = (
        ("landmarker", metadata.landmarker, perceptions.landmarker),
        ("emotion model", metadata.emotion_model, perceptions.emotion_model),
    )
    for what, trained, seen in pairs:
        others = [name for name in seen.split(AND) if name.removesuffix(RELATIVE) != trained.removesuffix(RELATIVE)]
        if others and not trained.startswith(UNSEEN):
            found.append(f"trained with the {what} {trained}, but the face is from {others[0]}")
    distance = projection.distance(perceptions)
    far = (distance > FAR).nonzero()[:, 0].tolist()
    if far:
        several = f" (and {len(far) - 1} more)" if len(far) > 1 else ""
        found.append(
            f"face {far[0]}{several} is unlike the faces of the training: {float(distance[far[0]]):.1f} times as far "
            "from their mean as nearly all of them"
        )
    return found
