"""What the roll of the head and the irises, as inputs of the network, add to a starter.

    OMP_NUM_THREADS=1 python benchmarks/starter_inputs.py [--data ../shared/data] [--samples 12000] [--seeds 1]

Starters are trained with and without them; what is left out is constant. The columns are those of sampled_faces.py: the
emotions of FER2013's faces, recall on held-out sampled faces by kind of prompt, and photos and frames whose nearest
prompt says what they plainly show. Heads are turned and tilted at random in the samples.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from inputs import need
from sampled_faces import (
    ROOT,
    accuracy,
    calibration,
    nearest_emotions,
    nearest_prompts,
    renamed,
    shown_faces,
    trained,
)
from torch import Tensor

from perception_clip.perception.emotions.face_expression import FaceExpressionModel
from perception_clip.perception.vector import pack
from perception_clip.projection import features
from perception_clip.training.encoders.base import KnownPrompts
from perception_clip.training.encoders.loading import load_encoder
from perception_clip.training.learning.settings import STARTER_SAMPLES
from perception_clip.training.prompts.starter import KINDS, meanings
from perception_clip.training.starter import sample_dataset

LEFT_OUT = {  # columns of the cues; see projection/features.py
    "**roll and irises**": (),
    "without the roll": (0,),
    "without the irises": (1, 2),
    "without either": (0, 1, 2),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--samples", type=int, default=STARTER_SAMPLES)
    parser.add_argument("--seeds", type=int, default=1)
    arguments = parser.parse_args()
    folder: Path = arguments.data
    need(folder, "give the folder of shared data with --data")
    landmarks, probabilities, labels = labeled_faces(folder)
    vectors, sizes = pack(landmarks, probabilities), torch.ones(len(labels), 2)
    shown, shown_vectors, shown_sizes = shown_faces(folder)
    with np.load(folder / "clip_l14_pooled.npz") as data:
        names = torch.from_numpy(data["pooled"]).float()
    columns = ("inputs", "prompts", "seed", *KINDS, "photos", "nearest prompt", "nearest mean")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    encoder = KnownPrompts.encoded(load_encoder("random"), list(meanings()))
    for seed in range(arguments.seeds):
        dataset = sample_dataset(encoder, arguments.samples, seed)
        for kind, targets in (("placeholder", dataset), ("real CLIP vectors", renamed(dataset, names, seed))):
            for name, left_out in LEFT_OUT.items():
                with without(left_out):
                    fitted = trained(targets, seed)
                    prompts = nearest_prompts(fitted.checkpoint, shown_vectors, shown_sizes)
                    answers = nearest_emotions(fitted.checkpoint, vectors, sizes)
                right = sum(
                    what in meanings()[prompt].category.split(", ") for what, prompt in zip(shown, prompts, strict=True)
                )
                assert fitted.evaluation is not None
                cells = [name, kind, str(seed)]
                cells += [f"{score.recall.value:.3f}" for score in fitted.evaluation.per_kind]
                cells += [f"{right} of {len(shown)}", *(accuracy(answer, labels) for answer in answers)]
                print(f"| {' | '.join(cells)} |", flush=True)


def labeled_faces(folder: Path) -> tuple[Tensor, Tensor, Tensor]:
    """Return landmarks (N, 478, 3), probabilities (N, 7) as read in the pictures, and labels (N, 7) of FER2013."""
    path = folder / "fer2013_public_test.npz"
    faces = calibration.read_faces(path, calibration.halves(path)[1])
    return faces.landmarks, FaceExpressionModel().calibrated(faces.logits).softmax(dim=1), faces.labels


@contextmanager
def without(columns: tuple[int, ...]) -> Iterator[None]:
    """Let all features that are measured meanwhile have 0 for these cues."""
    measure = features._shapes_and_cues

    def reduced(*face: Tensor) -> tuple[Tensor, Tensor]:
        shapes, cues = measure(*face)
        cues[:, list(columns)] = 0
        return shapes, cues

    with mock.patch.object(features, "_shapes_and_cues", reduced):
        yield


if __name__ == "__main__":
    main()
