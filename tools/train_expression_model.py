"""Make perception/weights/expression.safetensors, the bundled expression model, from labeled landmarks.

    pip install -e '.[test]'      # brings scipy and scikit-learn
    OMP_NUM_THREADS=1 python tools/train_expression_model.py --data expression_landmarks.npz

The data file holds `landmarks` (N, 478, 3) in MediaPipe's image coordinates, `label` (N,), one of the seven
emotion names (others are dropped), and `image_size` (N, 2), (height, width) in pixels. The same file gives the
same bytes on the same machine with as many threads, in about a minute. perception/emotions/expression.py says what the
model is, expression_estimation.py beside this file how its numbers are estimated, action_units.py what is known without
photos. benchmarks/expression.py judges it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import torch
from expression_estimation import FOLDS, Photos, class_weights, fit, folds, load_photos
from safetensors.torch import save
from torch import Tensor

from perception_clip.common.files import atomic_path
from perception_clip.perception.emotions.expression import BUNDLED, ExpressionModel
from perception_clip.perception.vector import EMOTIONS

MEANINGFUL = {f.name for f in fields(ExpressionModel)} - {"identity"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the .npz of labeled landmarks")
    parser.add_argument("--out", type=Path, default=BUNDLED)
    arguments = parser.parse_args()

    photos = load_photos(arguments.data)
    probabilities = held_out_probabilities(photos, folds(photos.labels))
    recall = recalls(probabilities, photos.labels)
    error = calibration_error(probabilities, photos.labels)
    print(f"{FOLDS}-fold, {len(photos)} faces, seven classes:")
    for name, value, count in zip(EMOTIONS, recall.tolist(), photos.labels.bincount().tolist(), strict=True):
        print(f"  {name:9} recall {value:.3f}  of {count}")
    print(f"  balanced accuracy {recall.mean():.4f}")
    print(f"  expected calibration error, classes weighted alike, {error:.4f}")

    model = fit(photos)
    print(f"temperature {model.temperature:.3f}, doubt {model.doubt:.3f}")
    save_model(model, arguments.out, describe(photos, recall, error))
    identity = ExpressionModel.load(arguments.out).identity
    print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes, {identity}")


# --- judgment -----------------------------------------------------------------------------------------------


def held_out_probabilities(photos: Photos, splits: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Probabilities (N, 7) of each face by a model that was fitted and calibrated, template, shape components and
    the cleaning of labels included, without it.
    """
    probabilities = torch.zeros(len(photos), len(EMOTIONS))
    for train, test in splits:
        judged = photos.select(test)
        probabilities[test] = fit(photos.select(train)).probabilities(judged.landmarks, judged.image_sizes)
    return probabilities


def recalls(scores: Tensor, labels: Tensor) -> Tensor:
    """The share of each class's faces (7,) that get the highest score for it; their mean is balanced accuracy."""
    right = (scores.argmax(dim=1) == labels).double()
    return torch.stack([right[labels == emotion].mean() for emotion in range(len(EMOTIONS))])


def calibration_error(probabilities: Tensor, labels: Tensor, weights: Tensor | None = None) -> float:
    """Expected calibration error of the winning class; faces weighted so that classes count alike if not told."""
    confidence, winner = probabilities.double().max(dim=1)
    return binned_error(confidence, winner == labels, class_weights(labels) if weights is None else weights)


def binned_error(confidence: Tensor, right: Tensor, weights: Tensor, bins: int = 15) -> float:
    """How far the confidence of answers (N,) lies from the share of right ones (N,), on average over equal bins."""
    gaps = weights * (right.double() - confidence)
    place = (confidence * bins).long().clamp_max(bins - 1)
    return float(torch.zeros(bins, dtype=torch.float64).index_add_(0, place, gaps).abs().sum())


# --- the file ------------------------------------------------------------------------------------------------


def describe(photos: Photos, recall: Tensor, error: float) -> dict[str, object]:
    return {
        "format": "perception-clip expression model, version 2",
        "emotions": EMOTIONS,
        "origin": "tools/train_expression_model.py on landmarks (MediaPipe face mesh, mediapipe 0.10.21) of a"
        " labeled expression photo set; the photos are not part of this file and cannot be got back from it",
        "terms": "Apache-2.0, as the photo set's labels",
        "faces": dict(zip(EMOTIONS, photos.labels.bincount().tolist(), strict=True)),
        "five_fold": {
            "balanced_accuracy": round(float(recall.mean()), 4),
            "recall": {name: round(value, 4) for name, value in zip(EMOTIONS, recall.tolist(), strict=True)},
            "calibration_error": round(error, 4),
        },
    }


def save_model(model: ExpressionModel, path: Path, origin: dict[str, object]) -> None:
    """Shape components as float16, whose rounding is far below the landmarks' own; the small tensors exactly."""
    tensors = {name: getattr(model, name).contiguous() for name in sorted(MEANINGFUL)}
    for name in ("symmetric", "antisymmetric"):
        tensors[name] = tensors[name].half()
    tensors["mirror"] = tensors["mirror"].to(torch.int16)
    # One metadata entry: with several, safetensors writes them in no fixed order.
    content = save(tensors, metadata={"origin": json.dumps(origin)})
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


if __name__ == "__main__":
    main()
