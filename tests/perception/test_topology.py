"""The lines and triangles between landmarks."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from perception_clip.perception import topology

from .reference_faces import reference_faces


@pytest.fixture(scope="module")
def points() -> NDArray[np.float64]:
    """MediaPipe's landmarks of `astronaut`, x and y, (478, 2)."""
    return reference_faces().landmarks[0, :, :2].numpy().astype(np.float64)


def edges() -> Counter[frozenset[int]]:
    """How many triangles each edge belongs to."""
    return Counter(frozenset(pair) for a, b, c in topology.triangles().tolist() for pair in ((a, b), (b, c), (c, a)))


def test_lines_join_neighbors(points: NDArray[np.float64]) -> None:
    """A wrong index would make a line jump across the face."""
    width = np.ptp(points[:, 0])
    for line in topology.CLOSED_LINES:
        ring = points[[*line, line[0]]]
        steps = np.linalg.norm(np.diff(ring, axis=0), axis=1)
        assert steps.max() < 0.14 * width
        assert steps.max() < 3.5 * np.median(steps)


def test_the_mesh_is_a_disc_with_three_holes() -> None:
    triangles = topology.triangles()
    assert triangles.shape == (852, 3)
    assert np.array_equal(np.unique(triangles), np.arange(468))  # every landmark but the irises
    assert all(len(set(corners)) == 3 for corners in triangles.tolist())
    counts = edges()
    assert set(counts.values()) == {1, 2}
    assert 468 - len(counts) + len(triangles) == 1 - 3  # Euler: a disc is 1, and each hole takes 1

    border = [edge for edge, count in counts.items() if count == 1]
    rims = (topology.FACE_OVAL, topology.RIGHT_EYE_OUTLINE, topology.LEFT_EYE_OUTLINE, topology.INNER_LIPS)
    assert set(border) == {frozenset(pair) for rim in rims for pair in zip(rim, (*rim[1:], rim[0]), strict=True)}


def test_triangles_turn_the_same_way_and_do_not_overlap(points: NDArray[np.float64]) -> None:
    a, b, c = (points[topology.triangles()[:, corner]] for corner in range(3))
    doubled = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    signs = np.sign(doubled[np.abs(doubled) > 1e-7])
    assert abs(signs.mean()) > 0.95  # but where the nose hides its own side
    holes = (topology.RIGHT_EYE_OUTLINE, topology.LEFT_EYE_OUTLINE, topology.INNER_LIPS)
    expected = area(points[list(topology.FACE_OVAL)]) - sum(area(points[list(hole)]) for hole in holes)
    assert abs(doubled.sum()) / 2 == pytest.approx(expected, rel=1e-6)


def area(polygon: NDArray[np.float64]) -> float:
    x, y = polygon.T
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def test_the_lines_of_the_mesh_are_its_edges() -> None:
    lines = topology.mesh_lines()
    drawn = [frozenset(pair) for line in lines for pair in pairwise(line)]
    assert len(drawn) == len(set(drawn)) == 1322
    assert set(drawn) == set(edges())
    assert len(lines) < 150
