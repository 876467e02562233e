"""Which parts of the face a projection goes by: how its answers change when a landmark moves as landmarks do."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...perception import topology
from ...perception.alignment import align, normalised, true_proportions
from ...perception.emotions.expression import ExpressionModel, rotations
from ...perception.pose import angles
from ...perception.regions import LEFT_EYE, LIPS, RIGHT_EYE
from ...perception.vector import LANDMARKS, split
from ...projection.checkpoint import Checkpoint
from ...projection.features import RAREST
from ..evaluation.evaluation import Evaluation
from ..learning.cosine import centred_cosine
from ..learning.data import TrainingData
from .numbers import drawn

ROWS = 256  # held-out rows at most that are looked at
EYE = 32  # landmarks at the start of an eye's list in perception/regions.py: the lids' edges, and a ring around them

NOSE = (  # the landmarks inside the outline of the template's nose, seen from the front
    *(1, 2, 3, 4, 5, 6, 19, 20, 44, 45, 48, 49, 51, 59, 60, 64, 75, 79, 94, 97, 98, 99, 102, 115, 122, 125, 126, 129),
    *(131, 134, 141, 166, 168, 174, 188, 193, 195, 196, 197, 198, 209, 217, 218, 219, 220, 235, 236, 237, 238, 239),
    *(240, 241, 242, 245, 248, 250, 274, 275, 278, 279, 281, 289, 290, 294, 305, 309, 326, 327, 328, 331, 344, 351),
    *(354, 355, 358, 360, 363, 370, 392, 399, 412, 417, 419, 420, 429, 437, 438, 439, 440, 455, 456, 457, 458, 459),
    *(460, 461, 462, 465),
)
_NAMED: dict[str, tuple[int, ...]] = {
    "brows": (*topology.RIGHT_BROW, *topology.LEFT_BROW),
    "eyelids": (*LEFT_EYE[:EYE], *RIGHT_EYE[:EYE]),
    "irises": tuple(landmark for centre, rim in topology.IRISES for landmark in (centre, *rim)),
    "nose": NOSE,
    "lips": LIPS,
    "jaw and outline": topology.FACE_OVAL,
}
_TAKEN = {landmark for landmarks in _NAMED.values() for landmark in landmarks}
REGIONS = {**_NAMED, "cheeks and forehead": tuple(i for i in range(LANDMARKS) if i not in _TAKEN)}  # name → landmarks

PARTS = ("shape of the face", "pose of the head", "emotion probabilities")


@dataclass(frozen=True)
class Importance:
    """What a projection goes by. A response is a standard deviation of the centred cosine with the own target."""

    landmarks: Tensor  # (478,) float32 ≥ 0: the response to each landmark
    regions: dict[str, float]  # of `REGIONS`: its response, as a share of all regions'; they sum to 1
    parts: dict[str, float]  # of `PARTS`, likewise
    rows: int  # held-out rows that were looked at


def importance(checkpoint: Checkpoint, data: TrainingData, evaluation: Evaluation, most: int = ROWS) -> Importance:
    """Measure on up to `most` held-out rows, drawn at random and always the same, what the projection goes by.

    The gradient of each row's centred cosine with its own target says how the projection answers to every landmark
    (saliency: Simonyan et al. 2014, "Deep inside convolutional networks"). It is multiplied by what landmarks really
    do: the response to a part of the face is how much the cosine would vary, to first order, if that part alone moved
    as it differs from row to row. Landmarks count without pose, place and size, in the template's frame; the head's
    pose counts as its three angles, emotions as log-probabilities. Rows whose gradient is not finite are left out. If
    nothing changes anything, all is 0.
    """
    chosen = torch.from_numpy(drawn(len(evaluation.rows), most))
    rows, device = evaluation.rows[chosen], checkpoint.neutral.device
    sizes = checkpoint.sizes(data.image_sizes[rows].cpu())
    landmarks, emotions = split(data.pick(data.vectors, rows).cpu())
    laid = align(true_proportions(landmarks, sizes), ExpressionModel.load().template)
    scale = torch.where(laid.scale > 0, laid.scale, 1)[:, None, None]
    with torch.enable_grad():
        shape = laid.points.clone().requires_grad_()  # (n, 478, 3)
        pose = angles(laid.rotation).requires_grad_()  # (n, 3)
        mood = emotions.clamp_min(RAREST).log().requires_grad_()  # (n, 7)
        placed = normalised(shape / scale @ rotations(pose).transpose(1, 2) + laid.centre, sizes)
        vectors = torch.cat([placed.flatten(1), mood.exp()], dim=1)
        predicted = checkpoint.network(vectors.to(device), sizes.to(device)).cpu()
        own = evaluation.candidates[evaluation.member[chosen]].cpu()
        cosines = centred_cosine(predicted, own, evaluation.centre.cpu())
        gradients = torch.autograd.grad(cosines.sum(), (shape, pose, mood))
    finite = torch.stack([gradient.isfinite().flatten(1).all(dim=1) for gradient in gradients]).all(dim=0)
    slopes = [gradient[finite] for gradient in gradients]
    moves = [part[finite] - part[finite].mean(dim=0) for part in (shape.detach(), pose.detach(), mood.detach())]

    single = torch.einsum("rli,sli->lrs", slopes[0], moves[0]).square().mean(dim=2).sqrt().mean(dim=1)  # (478,)
    regions = {
        name: _response(slopes[0][:, list(region)].flatten(1), moves[0][:, list(region)].flatten(1))
        for name, region in REGIONS.items()
    }
    parts = {
        name: _response(slope.flatten(1), move.flatten(1))
        for name, slope, move in zip(PARTS, slopes, moves, strict=True)
    }
    return Importance(single.nan_to_num(), _shares(regions), _shares(parts), rows=len(slopes[0]))


def _shares(responses: dict[str, float]) -> dict[str, float]:
    total = sum(responses.values()) or 1.0
    return {name: response / total for name, response in responses.items()}


def _response(gradients: Tensor, moves: Tensor) -> float:
    """Gradients and moves (n, K) → the standard deviation, over moves, of gradient · move; its mean over gradients."""
    return float((gradients @ moves.T).square().mean(dim=1).sqrt().mean().nan_to_num())
