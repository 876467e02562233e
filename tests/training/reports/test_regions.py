"""Which parts of the face a projection goes by."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.vector import EMOTIONS, LANDMARKS, pack, split
from perception_clip.training.learning.data import training_data
from perception_clip.training.reports.analysis import PARTS, REGIONS, importance

from .evaluated_faces import FEATURES, MODEL, WIDTH, Evaluated, LinearProjection, checkpoint_of, evaluated

SHAPE, POSE, MOOD = PARTS


@pytest.fixture(scope="module")
def case() -> Evaluated:
    return evaluated()


class Reading(nn.Module):
    """A linear map of some of a perception's numbers, as they are."""

    def __init__(self, chosen: Tensor, landmarks: bool) -> None:
        super().__init__()
        self.chosen, self.landmarks = chosen, landmarks
        size = 3 * len(chosen) if landmarks else len(EMOTIONS)
        self.weight = nn.Parameter(torch.randn(size, WIDTH, generator=torch.Generator().manual_seed(1)))

    def forward(self, vectors: Tensor, image_sizes: Tensor) -> Tensor:
        landmarks, emotions = split(vectors)
        read = landmarks[:, self.chosen].flatten(1) if self.landmarks else emotions.log()
        return read @ self.weight


def test_every_landmark_is_in_one_region() -> None:
    assert sorted(landmark for region in REGIONS.values() for landmark in region) == list(range(LANDMARKS))
    mirror = ExpressionModel.load().mirror.tolist()
    for region in REGIONS.values():
        assert {mirror[landmark] for landmark in region} == set(region)


def test_shares_sum_to_one(case: Evaluated) -> None:
    found = importance(case.checkpoint, case.data, case.evaluation)
    assert sum(found.regions.values()) == pytest.approx(1)
    assert sum(found.parts.values()) == pytest.approx(1)
    assert found.landmarks.shape == (LANDMARKS,) and found.landmarks.min() > 0
    assert found.rows == 140
    assert importance(case.checkpoint, case.data, case.evaluation, most=50).rows == 50
    assert found.parts[POSE] < 0.01  # this projection lays faces onto the template first


@pytest.mark.parametrize("region", ["lips", "irises", "brows"])
def test_a_network_that_reads_one_region_goes_by_that_region(case: Evaluated, region: str) -> None:
    checkpoint = checkpoint_of(Reading(torch.tensor(REGIONS[region]), landmarks=True))
    found = importance(checkpoint, case.data, case.evaluation)
    assert found.regions[region] == pytest.approx(1)
    assert found.parts[MOOD] == 0
    assert found.parts[POSE] > 0.1  # it reads landmarks where they lie in the picture
    inside = torch.zeros(LANDMARKS, dtype=torch.bool)
    inside[list(REGIONS[region])] = True
    assert (found.landmarks[inside] > 0).all() and (found.landmarks[~inside] == 0).all()


def test_a_network_that_reads_emotions_goes_by_emotions(case: Evaluated) -> None:
    checkpoint = checkpoint_of(Reading(torch.tensor([0]), landmarks=False))
    found = importance(checkpoint, case.data, case.evaluation)
    assert found.parts == {SHAPE: 0, POSE: 0, MOOD: 1}
    assert set(found.regions.values()) == {0} and not found.landmarks.any()


def test_what_never_moves_does_not_matter(case: Evaluated) -> None:
    """The network reads every landmark alike, but from face to face only the lips move."""
    generator = torch.Generator().manual_seed(0)
    count, lips = len(case.data), list(REGIONS["lips"])
    faces = (MODEL.template / 6 + 0.5).repeat(count, 1, 1)
    faces[:, lips] += 0.005 * torch.randn(count, len(lips), 3, generator=generator)
    vectors = pack(faces, torch.full((count, len(EMOTIONS)), 1 / len(EMOTIONS)))
    data = training_data(vectors, case.data.image_sizes, case.data.targets)
    weight = torch.randn(WIDTH, FEATURES, generator=generator)
    found = importance(checkpoint_of(LinearProjection(weight, torch.zeros(WIDTH))), data, case.evaluation)
    assert found.regions["lips"] > 0.6
    assert found.landmarks[lips].min() > 3 * found.landmarks[list(REGIONS["nose"])].max()
    assert found.parts[SHAPE] == pytest.approx(1, abs=1e-3)


def test_pictures_count_as_square_for_a_projection_that_was_trained_so(case: Evaluated) -> None:
    wide = replace(case.data, image_sizes=case.data.image_sizes * torch.tensor([1, 3], dtype=torch.int32))
    square = replace(case.checkpoint, metadata=replace(case.checkpoint.metadata, uses_image_sizes=False))
    expected = importance(case.checkpoint, case.data, case.evaluation, most=20).regions
    assert importance(square, wide, case.evaluation, most=20).regions == pytest.approx(expected, abs=1e-4)
    assert importance(case.checkpoint, wide, case.evaluation, most=20).regions != pytest.approx(expected, abs=1e-4)


def test_a_face_without_a_gradient_is_left_out(case: Evaluated) -> None:
    vectors = case.data.vectors.clone()
    vectors[case.evaluation.rows[3], : LANDMARKS * 3] = 0.5  # all in one point: it has no pose
    with torch.no_grad():
        found = importance(case.checkpoint, replace(case.data, vectors=vectors), case.evaluation)
    assert found.rows == len(case.evaluation.rows) - 1
    assert sum(found.regions.values()) == pytest.approx(1)
