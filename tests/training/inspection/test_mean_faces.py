"""The mean face of each label or prompt."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.vector import EMOTIONS, pack
from perception_clip.training.dataset.samples import Samples
from perception_clip.training.dataset.store import Store
from perception_clip.training.inspection.mean_faces import MeanFaces, mean_faces
from perception_clip.training.inspection.scan import scan_dataset

MODEL = ExpressionModel.load()
COUNTS = {"sad": 40, "happy": 41, "angry": 3, "": 1}


@pytest.fixture(scope="module")
def samples() -> Samples:
    """Happy, sad and a few angry faces in every pose, labeled, and one without a label."""
    labels = [emotion for emotion, count in COUNTS.items() for _ in range(count)]
    shown = torch.tensor([EMOTIONS.index(emotion or "fear") for emotion in labels])
    landmarks, sizes = MODEL.sample(shown, torch.ones(len(labels)), torch.Generator().manual_seed(0))
    vectors = pack(landmarks, MODEL.probabilities(landmarks, sizes))
    return Samples(vectors, sizes, [f"p {row % 2}" for row in range(85)], torch.ones(85, 768), labels=labels)


def means_of(samples: Samples, path: Path, most: int) -> MeanFaces:
    with Store(path) as store:
        store.set_provenance("encoder", torch.ones(768), "landmarker", "emotion model")
        store.append(samples)
        with store.snapshot() as snapshot:
            return mean_faces(scan_dataset(snapshot), most)


def test_means_are_those_of_the_aligned_landmarks(samples: Samples, tmp_path: Path) -> None:
    means = means_of(samples, tmp_path / "a.db", most=2)
    assert (means.kind, means.names, means.counts, means.hidden) == ("label", ["happy", "sad"], [41, 40], 1)
    vectors, sizes = torch.tensor(samples.perceptions), torch.tensor(samples.image_sizes)
    aligned = MODEL.align(vectors[:, :1434].view(-1, 478, 3), sizes).points
    # A face's few components leave out a little of it: less than a hundredth of the distance between the eyes.
    for face, emotions, label in zip(means.faces, means.emotions, means.names, strict=True):
        rows = [row for row, other in enumerate(samples.labels) if other == label]
        assert np.linalg.norm(face - aligned[rows].mean(dim=0).numpy(), axis=1).mean() < 0.01
        np.testing.assert_allclose(emotions, vectors[rows, 1434:].mean(dim=0), atol=1e-5)
    assert np.linalg.norm(means.face - aligned.mean(dim=0).numpy(), axis=1).mean() < 0.01
    assert np.linalg.norm(means.faces - means.face, axis=2).mean() > 0.015
    np.testing.assert_allclose(means.emotion, vectors[:, 1434:].mean(dim=0), atol=1e-5)
    likeliest = MODEL.probabilities(torch.tensor(means.faces), torch.ones(2, 2, dtype=torch.int32)).argmax(dim=1)
    assert [EMOTIONS[index] for index in likeliest] == ["happy", "sad"]


def test_without_labels_prompts_are_averaged(samples: Samples, tmp_path: Path) -> None:
    unlabeled = Samples(samples.perceptions, samples.image_sizes, samples.prompts, samples.embeddings)
    means = means_of(unlabeled, tmp_path / "a.db", most=5)
    assert (means.kind, means.names, means.counts, means.hidden) == ("prompt", ["p 0", "p 1"], [43, 42], 0)
