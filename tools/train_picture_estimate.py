"""Write perception/weights/picture_estimate.safetensors, from the same faces as landmarks and as pictures.

    pip install -e '.[test]'      # brings scikit-learn
    OMP_NUM_THREADS=1 python tools/train_picture_estimate.py --data ../shared/data

The folder contains expression_landmarks.npz (see train_expression_model.py) and expression_crops.npz with `crops`
(N, 96, 96) uint8, gray, and `rows` (N,), their places in the former. Crops are enlarged and framed for our landmarker,
as in calibrate_face_expression.py, and the face expression model cuts out what it does of any picture; faces
that the landmarker does not find are left out. An emotion with many faces counts as the square root of their number.
The same files give the same bytes on the same machine in about a minute.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from calibrate_face_expression import look
from safetensors.torch import save
from torch import Tensor
from train_expression_model import recalls

from perception_clip.common.files import atomic_path
from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.emotions.face_expression import FaceExpressionModel
from perception_clip.perception.emotions.picture_estimate import BUNDLED, PictureEstimate
from perception_clip.perception.vector import EMOTIONS, NEUTRAL

PENALTY = 100.0  # of the ridge regression, on whitened components; from 10 to 300 it is equally good
EMOTION_WEIGHT = 2.0  # an emotion is penalized less than a component
MOST = 1200  # faces of an emotion


@dataclass(frozen=True)
class BothForms:
    """N faces that are known as landmarks and as pictures."""

    landmarks: Tensor  # (N, 478, 3), of the whole photo
    image_sizes: Tensor  # (N, 2)
    labels: Tensor  # (N,)
    logits: Tensor  # (N, 7): the face expression model's, calibrated, with mean 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder of both files")
    parser.add_argument("--out", type=Path, default=BUNDLED)
    arguments = parser.parse_args()
    model, picture, faces = ExpressionModel.load(), FaceExpressionModel(), load_faces(arguments.data)
    print(f"{len(faces.labels)} faces, the picture model's recall:", recalls(faces.logits, faces.labels).tolist())
    components = model.components(faces.landmarks, faces.image_sizes)
    estimate = fit(model, components, faces)
    origin = {
        "origin": "tools/train_picture_estimate.py on landmarks and crops of a labeled expression photo set; the photos"
        " are not part of this file",
        "faces": dict(zip(EMOTIONS, faces.labels.bincount().tolist(), strict=True)),
        "models": [model.identity, picture.identity],
        "terms": "Apache-2.0, as the photo set's labels",
    }
    tensors = {name: value.contiguous() for name, value in vars(estimate).items() if name != "identity"}
    with atomic_path(arguments.out) as temporary:
        temporary.write_bytes(save(tensors, metadata={"origin": json.dumps(origin)}))
    print(f"{arguments.out}: {arguments.out.stat().st_size:,} bytes")


def load_faces(folder: Path) -> BothForms:
    with np.load(folder / "expression_crops.npz") as data:
        rows, names = data["rows"], data["label"]
        generator = np.random.default_rng(0)
        some = [generator.permutation(np.flatnonzero(names == emotion))[:MOST] for emotion in EMOTIONS]
        chosen = np.sort(np.concatenate(some))
        logits, _, found_in = look(torch.from_numpy(data["crops"][chosen]))
    chosen = chosen[found_in.numpy()]
    with np.load(folder / "expression_landmarks.npz") as data:
        landmarks = torch.from_numpy(data["landmarks"][rows[chosen]].astype(np.float32))
        image_sizes = torch.from_numpy(data["image_size"][rows[chosen]].astype(np.int64))
    labels = torch.tensor([EMOTIONS.index(name) for name in names[chosen]])
    logits = FaceExpressionModel().calibrated(logits)
    return BothForms(landmarks, image_sizes, labels, logits - logits.mean(dim=1, keepdim=True))


def fit(model: ExpressionModel, components: Tensor, faces: BothForms) -> PictureEstimate:
    """Return the weighted ridge regression of the logits on whitened components (N, S) and emotions, and its rest."""
    root = model.spread.double()  # (S, S)
    white = torch.linalg.solve_triangular(root, components.double().T, upper=False).T
    shown = torch.nn.functional.one_hot(faces.labels, len(EMOTIONS)).double()
    shown[:, NEUTRAL] = 0
    weights = 1 / faces.labels.bincount(minlength=len(EMOTIONS)).double().sqrt()[faces.labels]
    weights = (weights / weights.mean())[:, None]
    inputs, logits = torch.cat([white, EMOTION_WEIGHT * shown], dim=1), faces.logits.double()
    mean_input, mean = ((weights * values).mean(dim=0) for values in (inputs, logits))
    centered = inputs - mean_input
    square = centered.T @ (weights * centered) + PENALTY * torch.eye(centered.shape[1], dtype=torch.float64)
    solution = torch.linalg.solve(square, centered.T @ (weights * (logits - mean)))
    offset = mean - mean_input @ solution
    rest = logits - (inputs @ solution + offset)
    variances, axes = torch.linalg.eigh(rest.T @ (weights * rest) / len(rest))
    count = white.shape[1]
    return PictureEstimate(
        shape=torch.linalg.solve_triangular(root.T, solution[:count], upper=True).float(),
        emotions=EMOTION_WEIGHT * solution[count:].float(),
        offset=offset.float(),
        rest=(variances.clamp_min(0).sqrt()[:, None] * axes.T).float(),
    )


if __name__ == "__main__":
    main()
