"""What the training report shows: confused prompts, the map of the text space, which parts of the face matter, and the
held-out samples with the worst predictions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...perception import topology
from ...perception.emotions.expression import ExpressionModel, rotations
from ...perception.geometry import align, angles, from_true_proportions, true_proportions
from ...perception.topology import LEFT_EYE, LIPS, RIGHT_EYE
from ...perception.vector import EMOTIONS, LANDMARKS, split
from ...projection.checkpoint import Checkpoint
from ...projection.features import RAREST
from ..dataset.samples import Floats
from ..evaluation.evaluation import Evaluation
from ..inspection.scan import Numbers
from ..learning.data import TrainingData, centered_cosine
from .numbers import OTHERS, Doubles, drawn, principal

MOST_CONFUSED = 24  # prompts with a row of their own
OTHER_PROMPTS = "all other prompts"

COLORED = 8  # prompts that have a color of their own
PROMPTS = 500  # that are drawn, at most …
MAP_ROWS = 2000  # … and predictions
FEWEST = 3  # prompts that have a plane of their own
REGION_ROWS = 256  # held-out rows at most that are examined
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
    "irises": tuple(landmark for center, rim in topology.IRISES for landmark in (center, *rim)),
    "nose": NOSE,
    "lips": LIPS,
    "jaw and outline": topology.FACE_OVAL,
}
_TAKEN = {landmark for landmarks in _NAMED.values() for landmark in landmarks}
REGIONS = {**_NAMED, "cheeks and forehead": tuple(i for i in range(LANDMARKS) if i not in _TAKEN)}  # name → landmarks
PARTS = ("face shape", "head pose", "emotion probabilities")
LISTED_WORST = 12


@dataclass(frozen=True)
class Confusion:
    """K prompts, the most frequent first; the last is `OTHER_PROMPTS` if there are more."""

    names: list[str]  # (K,)
    counts: Numbers  # (K,) held-out rows
    shares: Doubles  # (K, K), 0…1: of the rows with prompt i, how many are closest to j; a row of 0 if none


def confusion(evaluation: Evaluation, most: int = MOST_CONFUSED) -> Confusion:
    """Count the held-out rows by their own prompt and by the closest one; all but `most` prompts become one."""
    own, chosen = evaluation.target_index.cpu().numpy(), evaluation.chosen.cpu().numpy()
    frequent = by_frequency(own, len(evaluation.names))[:most]
    place = np.full(len(evaluation.names), len(frequent))
    place[frequent] = np.arange(len(frequent))
    names = [evaluation.names[number] for number in frequent.tolist()]
    if (place[own] == len(frequent)).any() or (place[chosen] == len(frequent)).any():
        names.append(OTHER_PROMPTS)
    numbers = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(numbers, (place[own], place[chosen]), 1)
    counts = numbers.sum(axis=1)
    return Confusion(names, counts, numbers / counts.clip(min=1)[:, None])


def by_frequency(indices: Numbers, count: int) -> Numbers:
    """Return the numbers below `count` that occur, the most frequent first; ties in ascending order."""
    numbers = np.bincount(indices, minlength=count)
    order = np.argsort(-numbers, kind="stable")
    return order[numbers[order] > 0]


@dataclass(frozen=True)
class PromptMap:
    """Places on the first two principal components of the prompts' vectors."""

    targets: Doubles  # (p, 2) prompts
    target_ranks: Numbers  # (p,) which of `names`, or OTHERS
    predictions: Doubles  # (t, 2) held-out rows
    ranks: Numbers  # (t,) which of `names` is the row's own prompt, or OTHERS
    names: list[str]  # the prompts with the most held-out rows
    shares: Doubles  # (2,) of the prompts' variance that each component explains, 0…1
    prompts: int  # total number, drawn or not
    rows: int  # total number of held-out rows, drawn or not


def prompt_map(evaluation: Evaluation, colored: int = COLORED) -> PromptMap:
    """Place the prompts and the predictions (up to 500 and 2,000, chosen at random) on one plane.

    The plane is fitted to the prompts, or to prompts and predictions if there are fewer than three prompts.
    """
    target_index = evaluation.target_index.cpu().numpy()
    frequent = by_frequency(target_index, len(evaluation.names))[:colored]
    rank = np.full(len(evaluation.names), OTHERS)
    rank[frequent] = np.arange(len(frequent))
    shown = np.union1d(drawn(len(evaluation.names), PROMPTS), frequent)
    rows = drawn(len(target_index), MAP_ROWS)

    targets = (evaluation.candidates[torch.from_numpy(shown)] - evaluation.center).cpu().double().numpy()
    predictions = (evaluation.predicted[torch.from_numpy(rows)] - evaluation.center).cpu().double().numpy()
    basis = targets if len(targets) >= FEWEST else np.concatenate([targets, predictions])
    center = basis.mean(axis=0)
    frame = np.linalg.qr((basis - center).T)[0]  # (D, min(p, D)) orthonormal: few prompts span few directions
    places, shares = principal((basis - center) @ frame)
    # The axes themselves (D, 2), recovered from the places: axis = rowsᵀ · place / |place|².
    axes = (basis - center).T @ places / np.maximum(np.square(places).sum(axis=0), 1e-12)
    return PromptMap(
        targets=(targets - center) @ axes,
        target_ranks=rank[shown],
        predictions=(predictions - center) @ axes,
        ranks=rank[target_index[rows]],
        names=[evaluation.names[number] for number in frequent.tolist()],
        shares=shares,
        prompts=len(evaluation.names),
        rows=len(target_index),
    )


@dataclass(frozen=True)
class Importance:
    """What a projection depends on. A response is a standard deviation of the centered cosine with the own target."""

    landmarks: Tensor  # (478,) float32 ≥ 0: the response to each landmark
    regions: dict[str, float]  # of `REGIONS`: each one's share of the total response; they sum to 1
    parts: dict[str, float]  # of `PARTS`, likewise
    rows: int  # held-out rows that were examined


def importance(
    checkpoint: Checkpoint, data: TrainingData, evaluation: Evaluation, most: int = REGION_ROWS
) -> Importance:
    """Measure what the projection depends on, on up to `most` held-out rows (a fixed random sample).

    The gradient of each row's centered cosine with its own target is its sensitivity to every landmark (saliency:
    Simonyan et al. 2014, "Deep inside convolutional networks"). It is multiplied by how landmarks really move: the
    response to a part of the face is how much the cosine would vary, to first order, if that part alone moved as it
    differs from row to row. Landmarks are taken without pose, position and size, in the template's frame; the head
    pose as its three angles, emotions as log-probabilities. Rows whose gradient is not finite are excluded. If nothing
    has an effect, all values are 0.
    """
    chosen = torch.from_numpy(drawn(len(evaluation.rows), most))
    rows, device = evaluation.rows[chosen], checkpoint.neutral.device
    sizes = checkpoint.sizes(data.image_sizes[rows].cpu())
    landmarks, emotions = split(data.vectors[rows].cpu())
    aligned = align(true_proportions(landmarks, sizes), ExpressionModel.load().template)
    scale = torch.where(aligned.scale > 0, aligned.scale, 1)[:, None, None]
    with torch.enable_grad():
        shape = aligned.points.clone().requires_grad_()  # (n, 478, 3)
        pose = angles(aligned.rotation).requires_grad_()  # (n, 3)
        emotion_logs = emotions.clamp_min(RAREST).log().requires_grad_()  # (n, 7)
        landmarks = from_true_proportions(shape / scale @ rotations(pose).transpose(1, 2) + aligned.center, sizes)
        vectors = torch.cat([landmarks.flatten(1), emotion_logs.exp()], dim=1)
        predicted = checkpoint.network(vectors.to(device), sizes.to(device))[:, : checkpoint.width].cpu()
        targets = evaluation.candidates[evaluation.target_index[chosen]].cpu()
        cosines = centered_cosine(predicted, targets, evaluation.center.cpu())
        gradients = torch.autograd.grad(cosines.sum(), (shape, pose, emotion_logs))
    finite = torch.stack([gradient.isfinite().flatten(1).all(dim=1) for gradient in gradients]).all(dim=0)
    slopes = [gradient[finite] for gradient in gradients]
    moves = [part[finite] - part[finite].mean(dim=0) for part in (shape.detach(), pose.detach(), emotion_logs.detach())]

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
    """Return the standard deviation over moves (n, K) of gradient · move, averaged over gradients (n, K)."""
    return float((gradients @ moves.T).square().mean(dim=1).sqrt().mean().nan_to_num())


@dataclass(frozen=True)
class WorstPrediction:
    """One held-out sample."""

    row: int  # of the dataset, from 0
    source: str  # "" if unknown
    cosine: float  # centered, of the prediction and its target
    prompt: str  # its own
    closest: str  # the prompt closest to the prediction
    emotion: str  # the most probable one
    probability: float
    face: Floats  # (478, 2) x and y in true proportions, y down


def worst_predictions(
    evaluation: Evaluation, data: TrainingData, sources: Sequence[str] | None = None, most: int = LISTED_WORST
) -> list[WorstPrediction]:
    """Return the `most` held-out rows with the lowest centered cosine of prediction and target, worst first.

    `sources` (N,) are the sources of the dataset's rows.
    """
    targets = evaluation.candidates[evaluation.target_index]
    cosines = centered_cosine(evaluation.predicted, targets, evaluation.center).cpu()
    worst = cosines.argsort(stable=True)[:most]
    rows = evaluation.rows.cpu()[worst]
    landmarks, emotions = split(data.vectors[rows].cpu())
    faces = true_proportions(landmarks, data.image_sizes[rows].cpu())[..., :2].numpy()
    probability, likeliest = emotions.max(dim=1)
    return [
        WorstPrediction(
            row=row,
            source=str(sources[row]) if sources is not None else "",
            cosine=float(cosines[number]),
            prompt=evaluation.names[int(evaluation.target_index[number])],
            closest=evaluation.names[int(evaluation.chosen[number])],
            emotion=EMOTIONS[int(likeliest[place])],
            probability=float(probability[place]),
            face=faces[place],
        )
        for place, (number, row) in enumerate(zip(worst.tolist(), rows.tolist(), strict=True))
    ]
