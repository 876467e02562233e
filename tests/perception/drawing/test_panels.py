"""Panels and tags: that their bars and words are right, and that they are as large as they say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from perception_clip.perception.drawing import panels
from perception_clip.perception.vector import EMOTIONS

SHARES = (0.5, 0.0, 0.0, 0.25, 0.25, 0.0, 0.0)


def pixels(thing: panels.Panel | panels.Tag) -> Tensor:
    """(H, W, 4)."""
    return torch.from_numpy(np.array(thing.render()))


def like(picture: Tensor, color: tuple[int, int, int], limit: int = 6) -> Tensor:
    """(H, W) bool: which pixels have a color."""
    return (picture[..., :3].int() - torch.tensor(color)).abs().amax(dim=2) < limit


def test_a_bar_is_as_long_as_its_share() -> None:
    rendered = pixels(panels.Panel(SHARES, font_size=40, short=False))

    def length(name: str) -> int:
        return int(like(rendered, panels.COLORS[name]).any(dim=0).sum())

    assert length("angry") == pytest.approx(2 * length("happy"), abs=4)
    assert length("happy") == pytest.approx(length("sad"), abs=2)
    assert 0 < length("fear") < length("sad") / 2  # a dot shows where the bar begins


@pytest.mark.parametrize("font_size", [9, 13, 24, 68])
@pytest.mark.parametrize("short", [False, True])
def test_a_panel_is_as_large_as_it_says_and_nothing_is_cut_off(font_size: int, short: bool) -> None:
    for strongest in range(len(EMOTIONS)):
        shares = tuple(1.0 if index == strongest else 0.0 for index in range(len(EMOTIONS)))
        panel = panels.Panel(shares, font_size, short)
        rendered = pixels(panel)
        assert (rendered.shape[1], rendered.shape[0]) == panel.size
        rim = torch.ones(rendered.shape[:2], dtype=torch.bool)
        rim[2:-2, 2:-2] = False
        assert not (rendered[..., :3].amax(dim=2) > 60)[rim].any()
        assert like(rendered, panels.COLORS[EMOTIONS[strongest]]).any()


def test_a_number_does_not_touch_its_bar() -> None:
    for font_size in (9, 14, 30):
        rendered = pixels(panels.Panel((1.0, 0, 0, 0, 0, 0, 0), font_size, short=False))
        row = rendered[round(0.45 * font_size) : round(1.9 * font_size)]
        bar = like(row, panels.COLORS["angry"]).any(dim=0).nonzero()
        number = like(row, panels.BRIGHT, limit=60).any(dim=0).nonzero()
        number = number[number > bar.max()]
        assert number.min() - bar.max() >= 2


def test_rendering_again_gives_the_same() -> None:
    """The parts that are kept must not be drawn on."""
    panel = panels.Panel(SHARES, 15, short=False)
    first = pixels(panel)
    pixels(panels.Panel((0.9, 0.1, 0, 0, 0, 0, 0), 15, short=False))
    assert torch.equal(pixels(panel), first)


def test_tags_hold_their_words() -> None:
    for text in ("#3", "#12345", "filled in"):
        for font_size in (9, 12, 40):
            tag = panels.Tag(text, font_size, panels.BRIGHT)
            rendered = pixels(tag)
            assert (rendered.shape[1], rendered.shape[0]) == tag.size
            written = (rendered[..., :3].amin(dim=2) > 120).nonzero()
            left, right = written[:, 1].min(), written[:, 1].max()
            assert 0.2 * font_size < left < 0.7 * font_size
            assert 0.2 * font_size < tag.size[0] - 1 - right < 0.7 * font_size
            middle = float(written[:, 0].float().mean())
            assert middle == pytest.approx(tag.size[1] / 2, abs=0.15 * font_size)
