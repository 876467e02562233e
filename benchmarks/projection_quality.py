"""Evaluate how well a trained projection separates prompts, compared with standard baselines.

    python benchmarks/projection_quality.py [--faces FILE] [--vectors FILE] [--seeds 5] [--few 300] [--no-trees]

The data are real on both sides. The faces are landmarks of an expression photo set, with the bundled expression model's
probabilities; the targets are real CLIP ViT-L/14 text vectors. Each of 63 composite prompts (7 labels × mouth opening
in three ranges × head yaw in three ranges, both measured on the landmarks and divided at their terciles) gets one of
the vectors by a seeded draw. The faces are split again for each seed; repeated photos of a face are on the same side.

The baselines get what the projection gets for training and validation together, with two kinds of inputs: the
standardized 1441 numbers, and the projection's own features. The trees get principal components of the former, and
predict those of the targets.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from expression import estimation, near_duplicates
from inputs import need
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.geometry import head_pose, true_proportions
from perception_clip.perception.vector import pack
from perception_clip.training.evaluation.metrics import METRICS, Interval, bootstrap, evaluate_predictions
from perception_clip.training.learning.data import TrainingData, training_data
from perception_clip.training.learning.settings import Settings
from perception_clip.training.learning.split import Split, split_rows
from perception_clip.training.learning.trainer import train

SHARED = Path(__file__).resolve().parents[2] / "shared/data"
UPPER, LOWER, RIGHT_IRIS, LEFT_IRIS = 13, 14, 468, 473  # landmarks: middles of the inner lips, centers of the irises
HELD_OUT = 0.3  # of the faces: half for early stopping, half for the evaluation
COLUMNS = ("recall_at_1", "centered_cosine")
OWN = "**projection**"


@dataclass(frozen=True)
class Faces:
    vectors: Tensor  # (N, 1441)
    image_sizes: Tensor  # (N, 2)
    prompts: Tensor  # (N,) 0…62
    groups: list[str]  # (N,) repeated photos share one


def load_faces(path: Path) -> Faces:
    photos, model = estimation.load_photos(path), ExpressionModel.load()
    pieces = zip(photos.landmarks.split(2000), photos.image_sizes.split(2000), strict=True)
    vectors = torch.cat([pack(some, model.probabilities(some, sizes)) for some, sizes in pieces])
    points = true_proportions(photos.landmarks, photos.image_sizes)
    eyes = (points[:, RIGHT_IRIS] - points[:, LEFT_IRIS]).norm(dim=1)
    mouth = (points[:, UPPER] - points[:, LOWER]).norm(dim=1) / eyes
    yaw = head_pose(photos.landmarks, photos.image_sizes, model.template)[:, 0]
    prompts = photos.labels * 9 + thirds(mouth) * 3 + thirds(yaw)
    groups = list(map(str, near_duplicates(photos).tolist()))
    return Faces(vectors, photos.image_sizes.to(torch.int32), prompts, groups)


def thirds(values: Tensor) -> Tensor:
    return (values[:, None] > torch.quantile(values, torch.tensor([1 / 3, 2 / 3]))).sum(dim=1)


def drawn(faces: Faces, vectors: Path, seed: int) -> TrainingData:
    """Return the faces, each with the vector of its prompt in this draw."""
    with np.load(vectors) as file:
        pooled = torch.from_numpy(file["pooled"].astype(np.float32))
    chosen = torch.from_numpy(np.random.default_rng(seed).permutation(len(pooled))[: int(faces.prompts.max()) + 1])
    return training_data(faces.vectors, faces.image_sizes, pooled[chosen[faces.prompts]])


def few_of(rows: Split, count: int, seed: int) -> Split:
    """Return the same test rows, and only `count` of the others: a sixth of them for early stopping."""
    others = torch.cat([rows.train, rows.validation])
    order = others[torch.randperm(len(others), generator=torch.Generator().manual_seed(seed))[:count]]
    return Split(order[count // 6 :], order[: count // 6], rows.test, rows.groups, rows.by_group)


Rival = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]  # inputs, targets, test inputs → predictions


def ridge(x: np.ndarray, y: np.ndarray, test: np.ndarray) -> np.ndarray:
    return RidgeCV(10.0 ** np.arange(-4, 7)).fit(x, y).predict(test)


def nearest(x: np.ndarray, y: np.ndarray, test: np.ndarray) -> np.ndarray:
    return KNeighborsRegressor(1).fit(x, y).predict(test)


def perceptron(x: np.ndarray, y: np.ndarray, test: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # with its default settings
        return MLPRegressor(random_state=0).fit(x, y).predict(test)


def trees(x: np.ndarray, y: np.ndarray, test: np.ndarray) -> np.ndarray:
    inputs, outputs = PCA(min(64, len(x) - 1)).fit(x), PCA(min(62, len(x) - 1)).fit(y)
    few, goal, queries = inputs.transform(x), outputs.transform(y), inputs.transform(test)
    predicted = [HistGradientBoostingRegressor(random_state=0).fit(few, column).predict(queries) for column in goal.T]
    return outputs.inverse_transform(np.stack(predicted, axis=1))


RIVALS: dict[str, Rival] = {"ridge": ridge, "nearest neighbor": nearest, "MLPRegressor": perceptron, "trees": trees}


def one_run(data: TrainingData, rows: Split, settings: Settings, rivals: dict[str, Rival]) -> dict[str, Tensor]:
    """Return the predictions of the projection and of each baseline for the test rows."""
    started = time.perf_counter()
    network = train(data, rows, ExpressionModel.load().template, settings).network.eval()
    with torch.no_grad():
        predicted = {OWN: network(data.vectors[rows.test], data.image_sizes[rows.test])}
        features = network.features(data.vectors, data.image_sizes)
    print(f"   trained in {time.perf_counter() - started:.0f} s", flush=True)
    known = torch.cat([rows.train, rows.validation])
    scaler = StandardScaler().fit(data.vectors[known].numpy())
    inputs = {"1441": scaler.transform(data.vectors.numpy()), "features": features.numpy()}
    for name, rival in rivals.items():
        for kind, x in inputs.items():
            if rival is trees and kind == "features":
                continue  # these are principal components already, and it would double the time
            targets = rival(x[known], data.targets[known].numpy(), x[rows.test])
            predicted[f"{name}, {kind}"] = torch.from_numpy(np.asarray(targets, dtype=np.float32))
    return predicted


def compare(faces: Faces, vectors: Path, seeds: int, few: int | None, rivals: dict[str, Rival]) -> None:
    """Print the table for all seeds."""
    scores: dict[str, list[list[Interval]]] = {}
    leads: dict[str, list[list[Interval]]] = {}
    for seed in range(seeds):
        data = drawn(faces, vectors, seed)
        rows = split_rows(faces.groups, len(data), seed, prompts=data.target_index.tolist(), share=HELD_OUT)
        rows = rows if few is None else few_of(rows, few, seed)
        candidates, target_index = data.targets[data.first_row], data.target_index[rows.test]
        center = data.targets[torch.cat([rows.train, rows.validation])].mean(dim=0)
        groups = [rows.groups[row] for row in rows.test.tolist()]
        predictions = one_run(data, rows, Settings(seed=seed), rivals)
        evaluated = {
            n: evaluate_predictions(p, data.targets[rows.test], candidates, target_index, center)
            for n, p in predictions.items()
        }
        for name, result in evaluated.items():
            scores.setdefault(name, []).append(bootstrap(result.values, result.weights, groups))
            ahead = evaluated[OWN].values - result.values
            leads.setdefault(name, []).append(bootstrap(ahead, result.weights, groups))
    print(f"\n{len(rows.train) + len(rows.validation)} samples, evaluated on {len(rows.test)}; {seeds} seeds\n")
    print("| method | recall@1 | smallest lead over the seeds | centered cosine | smallest lead over the seeds |")
    print("|---|---|---|---|---|")
    for name in scores:
        print(
            f"| {name} | "
            + " | ".join(cell for column in COLUMNS for cell in cells(scores[name], leads[name], column))
            + " |"
        )


def cells(scores: list[list[Interval]], leads: list[list[Interval]], metric: str) -> tuple[str, str]:
    """Return the mean and range over the seeds, and the smallest lead with its 95 % interval."""
    index = METRICS.index(metric)
    values = [intervals[index].value for intervals in scores]
    worst = min((intervals[index] for intervals in leads), key=lambda interval: interval.low)
    lead = f"{worst.value:+.3f} [{worst.low:+.3f}, {worst.high:+.3f}]" if worst.value or worst.high else ""
    return f"{np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})", lead


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", type=Path, default=SHARED / "expression_landmarks.npz")
    parser.add_argument("--vectors", type=Path, default=SHARED / "clip_l14_pooled.npz")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument(
        "--few", type=int, default=300, help="also evaluate with this many samples (default 300; 0: skip)"
    )
    parser.add_argument("--only-few", action="store_true", help="evaluate with few samples only")
    parser.add_argument("--no-trees", action="store_true", help="skip the trees, which take most of the time")
    parser.add_argument("--threads", type=int, help="torch threads (default: its own choice)")
    arguments = parser.parse_args()
    need(arguments.faces, "give the file of face landmarks with --faces")
    need(arguments.vectors, "give the file of text vectors with --vectors")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    rivals = {name: rival for name, rival in RIVALS.items() if not (arguments.no_trees and rival is trees)}
    faces = load_faces(arguments.faces)
    print(f"{len(faces.vectors)} faces, {len(set(faces.groups))} without repeated photos, "
          f"{len(faces.prompts.unique())} prompts", flush=True)  # fmt: skip
    if not arguments.only_few:
        compare(faces, arguments.vectors, arguments.seeds, None, rivals)
    if arguments.few:
        compare(faces, arguments.vectors, arguments.seeds, arguments.few, rivals)


if __name__ == "__main__":
    main()
