"""Polygons as masks: areas against those of the polygons themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception_clip.perception.regions.coverage import Mask, Points, area, draw, offset

SIZE = 40, 50  # height and width
coordinates = st.floats(-1, 51, width=32)


def drawn(polygon: Points, size: tuple[int, int] = SIZE) -> Mask:
    result = np.zeros(size, np.float32)
    window, coverage = draw(offset(polygon, 0), *size)
    result[window] = coverage
    return result


def star(corners: int, radius: float, inner: float) -> Points:
    angles = np.linspace(0, 2 * np.pi, 2 * corners, endpoint=False)
    radii = np.where(np.arange(2 * corners) % 2, inner, radius)
    return np.stack([25 + radii * np.cos(angles), 20 + radii * np.sin(angles)], axis=1)


@settings(max_examples=40)
@given(st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=3))
def test_the_area_of_triangles_is_exact(corners: list[tuple[float, float]]) -> None:
    polygon = np.array(corners, np.float64)
    mask = drawn(polygon + 5, (64, 64))  # inside the picture
    assert mask.min() >= 0 and mask.max() <= 1
    assert float(mask.sum(dtype=np.float64)) == pytest.approx(abs(area(polygon)), abs=0.05)


def test_pixels_are_shares_of_their_area() -> None:
    mask = drawn(np.array([(1.25, 2.5), (4.25, 2.5), (4.25, 4.0), (1.25, 4.0)]))
    expected = np.zeros(SIZE, np.float32)
    expected[2:4, 1:5] = np.outer([0.5, 1], [0.75, 1, 1, 0.25])
    assert np.abs(mask - expected).max() < 1e-3
    assert set(np.unique(drawn(star(7, 18, 9))[:, [25]])) >= {0.0, 1.0}  # inside and outside are not nearly so


@pytest.mark.parametrize("shift", [(-30, 0), (30, 5), (0, -25), (-20, 22), (500, 500), (-1e30, 0)])
def test_what_lies_beyond_the_picture_does_not_count(shift: tuple[float, float]) -> None:
    polygon = star(9, 18, 11)
    large = np.zeros((140, 150), np.float32)
    window, coverage = draw(polygon + shift + 50, 140, 150)
    large[window] = coverage
    assert np.abs(drawn(polygon + shift) - large[50:90, 50:100]).max() < 1e-3


@pytest.mark.parametrize("distance", [4.0, -4.0, -30.0])
def test_growing_a_convex_polygon(distance: float) -> None:
    """Steiner's formula, A + P d + π d², for growing; a shrunken square has straight corners."""
    square = np.array([(18.0, 10.0), (32.0, 10.0), (32.0, 24.0), (18.0, 24.0)])
    mask = np.zeros(SIZE, np.float32)
    window, coverage = draw(offset(square, distance), *SIZE)
    mask[window] = coverage
    grown = 14**2 + 4 * 14 * distance + np.pi * distance**2
    expected = grown if distance > 0 else max(0.0, 14 + 2 * distance) ** 2
    assert float(mask.sum()) == pytest.approx(expected, rel=0.004)


@pytest.mark.parametrize("distance", [3.0, -3.0])
def test_growing_a_concave_polygon_moves_its_edge_by_the_distance(distance: float) -> None:
    from scipy.ndimage import distance_transform_edt

    polygon = star(5, 17, 7) * 4  # finer pixels
    before = drawn(polygon, (160, 200)) > 0.5
    window, coverage = draw(offset(polygon, 4 * distance), 160, 200)
    after = np.zeros((160, 200), np.float32)
    after[window] = coverage
    away = distance_transform_edt(~before) if distance > 0 else distance_transform_edt(before)
    expected = away <= 12.3 if distance > 0 else away > 12.3  # measured between the centers of pixels
    assert ((after > 0.5) != expected).sum() < 0.03 * expected.sum()


def test_polygons_without_an_area_cover_nothing() -> None:
    for polygon in (np.zeros((0, 2)), np.full((5, 2), 7.0), np.array([(1.0, 1.0), (9.0, 9.0), (1.0, 1.0)])):
        for distance in (0.0, -1.0):
            _, coverage = draw(offset(polygon, distance), *SIZE)
            assert coverage.sum() == 0
