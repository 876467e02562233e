"""Sampled faces compared with labeled faces that are not part of the repository."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_val_score
from torch import Tensor

from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.vector import split
from perception_clip.training.starter import sample_faces


def told_apart(real: Tensor, sampled: Tensor) -> float:
    """How well trees tell real faces (N, D) from sampled ones: the area under the curve, in three folds."""
    inputs, answers = torch.cat([real, sampled]).numpy(), np.repeat([0, 1], [len(real), len(sampled)])
    order = np.random.default_rng(0).permutation(len(answers))
    trees = HistGradientBoostingClassifier(max_iter=50, random_state=0)
    return float(cross_val_score(trees, inputs[order], answers[order], cv=3, scoring="roc_auc").mean())


def test_sampled_probabilities_look_like_read_ones(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They do not help to tell sampled faces from real ones; those of the landmark model would."""
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[2] / "tools")
    both_forms = importlib.import_module("train_picture_estimate")
    monkeypatch.setattr(both_forms, "MOST", 40)  # of each emotion
    faces, model = both_forms.load_faces(shared_data), ExpressionModel.load()
    vectors, sizes = sample_faces(faces.labels, torch.ones(len(faces.labels)), torch.Generator().manual_seed(0))
    landmarks, probabilities = split(vectors)
    real, read = model.components(faces.landmarks, faces.image_sizes), faces.logits.log_softmax(dim=1)
    sampled = model.components(landmarks, sizes)
    by_shape = told_apart(real, sampled)
    with_sampled, with_landmark_model = (
        told_apart(torch.cat([real, read], dim=1), torch.cat([sampled, some.log()], dim=1))
        for some in (probabilities, model.probabilities(landmarks, sizes))
    )
    assert with_sampled < by_shape + 0.015 < with_landmark_model, (by_shape, with_sampled, with_landmark_model)
