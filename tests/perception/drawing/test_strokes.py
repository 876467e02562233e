"""Masks: that shapes lie where they should and cover what they should."""

from __future__ import annotations

import numpy as np
import pytest

from perception_clip.perception.drawing import strokes


def blank(width: int = 60, height: int = 40) -> np.ndarray:
    return np.zeros((height, width), dtype=np.uint8)


def middle(mask: np.ndarray) -> tuple[float, float]:
    """x and y of the middle of what is covered."""
    rows, columns = np.indices(mask.shape)
    weights = mask / mask.sum()
    return float(((columns + 0.5) * weights).sum()), float(((rows + 0.5) * weights).sum())


@pytest.mark.parametrize("width", [0.75, 1.25, 2.25, 5.25])
def test_lines_lie_where_they_should(width: float) -> None:
    for start, end in (((10, 20), (50, 20)), ((30.3, 5), (30.3, 35)), ((50, 30), (12, 8))):
        mask = strokes.lines((60, 40), [np.array([start, end], dtype=float)], width)
        assert mask.shape == (40, 60)
        x, y = middle(mask)
        assert x == pytest.approx((start[0] + end[0]) / 2, abs=0.3)
        assert y == pytest.approx((start[1] + end[1]) / 2, abs=0.3)
        length = float(np.hypot(end[0] - start[0], end[1] - start[1]))
        assert mask.sum() / 255 == pytest.approx(length * width, rel=0.15)


def test_dots_cover_their_area() -> None:
    mask = blank()
    strokes.add_dots(mask, np.array([[20.5, 15.2], [-3.0, 10.0], [59.9, 39.9], [1e9, 5.0]]), 4.0)
    alone = blank()
    strokes.add_dots(alone, np.array([[20.5, 15.2]]), 4.0)
    assert alone.sum() / 255 == pytest.approx(np.pi * 16, rel=0.03)
    assert middle(alone) == pytest.approx((20.5, 15.2), abs=0.05)
    assert mask[39, 59] == 255
    assert mask[10, 0] > 0  # the rim of the second


def test_overlapping_shapes_do_not_add_up() -> None:
    mask = blank()
    strokes.add_dots(mask, np.array([[20.0, 20.0], [21.0, 20.0]]), 5.0, opacity=100)
    assert mask.max() == 100


def test_a_ring_is_hollow() -> None:
    mask = blank()
    strokes.add_ring(mask, np.array([30.0, 20.0]), 10.0, 2.0)
    assert mask.sum() / 255 == pytest.approx(2 * np.pi * 10 * 2, rel=0.05)
    assert mask[20, 30] == 0
    assert mask[20, 40] > 200
    strokes.add_ring(mask, np.array([0.0, 0.0]), 1e9, 2.0)  # out of sight, and soon done


def test_a_rectangle_covers_parts_of_pixels() -> None:
    mask = blank()
    strokes.add_rectangle(mask, 10.25, 5.0, 20.5, 7.5)
    assert mask[5, 10] == round(0.75 * 255)
    assert mask[5, 20] == round(0.5 * 255)
    assert mask[7, 15] == round(0.5 * 255)
    assert mask.sum() / 255 == pytest.approx(10.25 * 2.5, rel=0.01)
    strokes.add_rectangle(mask, -1e12, -1e12, 1e12, 1e12)
    assert (mask == 255).all()


def test_a_frame_has_corners_and_a_dashed_one_gaps() -> None:
    corners, dashes = blank(120, 120), blank(120, 120)
    strokes.add_frame(corners, (10, 10, 110, 110), 2.0)
    strokes.add_dashes(dashes, (10, 10, 110, 110), 2.0)
    assert (corners[10, 8:112] > 200).sum() == pytest.approx(2 * (0.16 * 100 + 1), abs=2)
    for mask, parts in ((corners, 2), (dashes, 7)):
        for edge in (mask[10], mask[109], mask[:, 10], mask[:, 109]):
            filled = edge[2:-2] > 200
            assert (filled[1:] & ~filled[:-1]).sum() == parts
        assert mask[60, 30:90].max() == 0  # nothing within
        assert np.array_equal(mask, mask.T)


def test_painting_touches_masked_pixels_only() -> None:
    pixels = np.full((40, 60, 3), 100, dtype=np.uint8)
    under, over = blank(), blank()
    under[5, 5], under[6, 6], over[6, 6] = 255, 255, 51
    strokes.paint(pixels, ((under, (0, 0, 0)), (over, (255, 200, 100))))
    assert pixels[5, 5].tolist() == [0, 0, 0]
    assert pixels[6, 6].tolist() == [51, 40, 20]
    assert (pixels != 100).any(axis=2).sum() == 2
