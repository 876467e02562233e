"""The faces of two photos, without their pictures: MediaPipe's landmarks and the expression model's emotions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from perception_clip.perception.emotions.expression import ExpressionModel, rotations
from perception_clip.perception.geometry import from_true_proportions, true_proportions
from perception_clip.perception.vector import Perceptions, bounding_boxes, pack

MODEL = ExpressionModel.load()


def reference_faces() -> Perceptions:
    """astronaut (smiling, 512 × 512) in frame 0 and grace_hopper (composed, 600 × 512) in frame 2, of 3 frames."""
    with np.load(Path(__file__).parent / "reference_landmarks.npz") as file:
        landmarks = torch.from_numpy(np.concatenate([file["astronaut"], file["grace_hopper"]]))
    sizes = torch.tensor([[512, 512], [600, 512]], dtype=torch.int32)
    return Perceptions(
        vectors=pack(landmarks, MODEL.probabilities(landmarks, sizes)),
        image_sizes=sizes,
        frames=torch.tensor([0, 2]),
        boxes=bounding_boxes(landmarks, sizes) + torch.tensor([-5.0, -5.0, 5.0, 5.0]),
        scores=torch.tensor([0.9, 0.7]),
        tracks=torch.tensor([4, 7]),
        origins=torch.arange(1, 65, dtype=torch.uint8).reshape(2, 32),
        frame_count=3,
        landmarker="reference/1",
        emotion_model=MODEL.identity,
    )


def read(faces: Perceptions) -> Tensor:
    """The emotions (N, 7) that the model sees in the landmarks."""
    return MODEL.probabilities(faces.landmarks, faces.image_sizes)


def posed(faces: Perceptions) -> Perceptions:
    """The same faces elsewhere, smaller and turned."""
    points = true_proportions(faces.landmarks, faces.image_sizes)
    turn = rotations(torch.tensor([[10.0, 25.0, -30.0]]).deg2rad())[0]
    landmarks = from_true_proportions(points @ turn.T * 0.5 + torch.tensor([0.2, 0.6, 0.1]), faces.image_sizes)
    return replace(faces, vectors=pack(landmarks, faces.emotions), boxes=bounding_boxes(landmarks, faces.image_sizes))
