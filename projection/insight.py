"""Explain a projection of faces: the nearest prompts, how far tokens move, and warnings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..perception.emotions.expression import RELATIVE
from ..perception.engines import AND
from ..perception.vector import Perceptions
from .checkpoint import Checkpoint, Metadata
from .conditioning import LARGEST, Conditioning, typical_length
from .face_vectors import FaceVectors
from .foreign import ForeignCheckpoint
from .opening import Projection
from .spaces import SAME_VECTOR, Space
from .where import SUBJECT, Roles, masks

FAR = 1.4  # distance (FaceFeatures.distance) above which a face is outside the training distribution
PLACEHOLDER_ENCODER = "random-weight placeholder"  # prefix of the identity of a placeholder encoder
SAMPLED = "sampled from "  # prefix of the landmarker of synthetic faces from the expression model
UNSEEN = ("unknown", SAMPLED)  # prefixes, in a checkpoint, of landmarkers that used no pictures

Similarity = tuple[str, float]  # a training prompt and the mean-centered cosine to it, −1…1


def nearest(projection: Projection, vectors: Tensor, count: int) -> list[list[Similarity]]:
    """Return, for each projected face, the `count` most similar training prompts, the most similar first.

    `vectors` (F, W) are those at the end of the text. The raw cosine is misleading, because all CLIP vectors share a
    large component: the mean training target is subtracted, and the parts from several encoders are brought to the same
    scale. The lists are empty for a projection without prompts.
    """
    if not isinstance(projection, Checkpoint) or projection.prompt_vectors is None:
        return [[] for _ in vectors]
    network, prompts = projection.network, projection.metadata.prompts
    mean, scale = network.target_mean.cpu(), network.target_scale.cpu()
    faces, targets = (
        torch.nn.functional.normalize((v - mean) / scale, dim=1) for v in (vectors, projection.prompt_vectors)
    )
    best = (faces @ targets.T).topk(min(count, len(prompts)), dim=1)
    return [
        [(prompts[number], value) for number, value in zip(numbers, values, strict=True)]
        for numbers, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
    ]


@dataclass(frozen=True)
class Shift:
    """How far faces can move a group of tokens, in units of the mean length of these tokens."""

    tokens: int
    delta: float  # length of the difference between face and neutral face, which steer adds
    face: float  # length of the face's vector, toward which the other modes move


def shifts(
    conditioning: Conditioning,
    vectors: FaceVectors,
    neutral: FaceVectors,
    space: Space,
    where: str,
    roles: Sequence[Roles] | None = None,
    match_norm: bool = False,
) -> dict[str, Shift]:
    """Return the mean shifts of F faces at strength 1, by group of tokens (where.GROUPS), in the first entry.

    See `inject` for the arguments.
    """
    result = {}
    for tokens, options in conditioning[:1]:
        part = tokens[..., : space.tokens].float()
        groups = masks(where, part, options.get("pooled_output"), None if roles is None else roles[0])
        for group, acting in groups.items():
            v, n = (some.end[:, : space.tokens] for some in (vectors, neutral))
            if group == SUBJECT and vectors.subject is not None and neutral.subject is not None:
                v, n = vectors.subject, neutral.subject
            face, delta = v.norm(dim=1).mean(), (v - n).norm(dim=1).mean()
            unit = face if match_norm else typical_length(part, acting).mean().to(face)
            unit = unit.clamp_min(1 / LARGEST)
            result[group] = Shift(int(acting[0].sum()), float(delta / unit), float(face / unit))
    return result


def other_models(metadata: Metadata, landmarker: str, emotion_model: str) -> Iterator[tuple[str, str, str]]:
    """Yield what kind of model differs from that of the training, the identity in training, and the other identity.

    The identities may be those of several models; a model relative to a neutral face counts as that model.
    """
    pairs = (
        ("landmarker", metadata.landmarker, landmarker),
        ("emotion model", metadata.emotion_model, emotion_model),
    )
    for what, trained, seen in pairs:
        known = [name.removesuffix(RELATIVE) for name in trained.split(AND)]
        others = [name for name in seen.split(AND) if name.removesuffix(RELATIVE) not in known]
        if others and not trained.startswith(UNSEEN) and not seen.startswith(SAMPLED):
            yield what, trained, others[0]


def warnings(projection: Projection, perceptions: Perceptions, fingerprint: Tensor | None) -> list[str]:
    """Return warnings about the projection of these faces, one sentence each, the most serious first.

    `fingerprint` (F,) is that of the text encoder that encoded the prompt, if known.
    """
    if isinstance(projection, ForeignCheckpoint):
        return [f"trained by another script ({projection.description}), so nothing is known about its training data"]
    metadata, result = projection.metadata, []
    if metadata.encoder.startswith(PLACEHOLDER_ENCODER):
        result.append(
            "PLACEHOLDER: trained with random text vectors, so it changes the image but not its expression. Retrain "
            "with your model's CLIP"
        )
    if fingerprint is not None and projection.fingerprint is not None:
        widths = projection.space.fingerprint
        pairs_of = zip(fingerprint.split(widths), projection.fingerprint.split(widths), strict=True)
        alike = min(float(torch.cosine_similarity(one, other, dim=0)) for one, other in pairs_of)
        if not alike >= SAME_VECTOR:
            result.append(
                f"trained with another text encoder, {metadata.encoder} (cosine {alike:.3f}). Retrain with this CLIP"
            )
    for what, trained, seen in other_models(metadata, perceptions.landmarker, perceptions.emotion_model):
        result.append(f"trained with the {what} {trained}, but this face comes from {seen}. Use the same {what}")
    distance = projection.distance(perceptions)
    far = (distance > FAR).nonzero()[:, 0].tolist()
    if far:
        several = f" and {len(far) - 1} more lie" if len(far) > 1 else " lies"
        result.append(
            f"face {far[0]}{several} outside the training distribution ({float(distance[far[0]]):.1f}× the distance "
            "from the mean within which 99 % of the training faces lie)"
        )
    return result
