"""The full-range detector's raw candidates, against the original's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from perception_clip.perception import weight_files
from perception_clip.perception.landmarks.blazeface_full_range import INPUT_SIZE, BlazeFaceFullRange
from perception_clip.perception.landmarks.boxes import letterbox

# Of each packaged photo, what LiteRT 2.3 gives for the original file: the five largest logits with their cells, and the
# best cell's 16 numbers; made by tools/measure_reference_detections.py.
REFERENCE = Path(__file__).with_name("reference_detections.npz")


@pytest.fixture(scope="module")
def network() -> BlazeFaceFullRange:
    return weight_files.filled(BlazeFaceFullRange, weight_files.FOLDER / "blazeface_full_range.safetensors")[0]


def test_equals_the_original(network: BlazeFaceFullRange, astronaut: np.ndarray, grace_hopper: np.ndarray) -> None:
    points, logits = network(letterbox([torch.tensor(astronaut), torch.tensor(grace_hopper)], INPUT_SIZE))
    assert points.shape == (2, 2304, 8, 2) and logits.shape == (2, 2304)
    with np.load(REFERENCE, allow_pickle=False) as reference:
        for index, name in enumerate(("astronaut", "grace_hopper")):
            cells = torch.from_numpy(reference[f"{name}_cells"])
            expected = torch.from_numpy(reference[f"{name}_logits"])
            torch.testing.assert_close(logits[index, cells], expected, atol=2e-3, rtol=0)
            assert int(logits[index].argmax()) == int(cells[0])
            row, column = divmod(int(cells[0]), 48)
            raw = torch.from_numpy(reference[f"{name}_points"]).view(8, 2)
            anchor = torch.tensor([column + 0.5, row + 0.5]) * 4
            raw[[0, *range(2, 8)]] += anchor
            torch.testing.assert_close(points[index, cells[0]], raw, atol=2e-3, rtol=0)
