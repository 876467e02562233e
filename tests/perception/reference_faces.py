"""The faces of two photos, without their pictures: MediaPipe's landmarks, judged by the bundled expression model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from perception_clip.perception.emotions.expression import ExpressionModel
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
