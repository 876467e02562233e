"""Whether the texts of a figure can be read."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def assert_legible(draw: Callable[[], Figure]) -> None:
    """Draw a figure; no text may overlap another or leave the picture, and no letter may be missing from the font."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # such as of letters that a font does not have
        figure = draw()
        figure.draw_without_rendering()
    texts = [text for legend in figure.legends for text in legend.get_texts()]
    texts += [figure._suptitle] if figure._suptitle else []
    for axes in figure.axes:
        texts += [axes.title, *axes.texts, *((axes.xaxis.label, axes.yaxis.label) if axes.axison else ())]
        for axis, (low, high) in ((axes.xaxis, sorted(axes.get_xlim())), (axes.yaxis, sorted(axes.get_ylim()))):
            shown = zip(axis.get_majorticklocs(), axis.get_ticklabels(), strict=False)  # a shared axis hides some
            texts += [label for place, label in shown if axes.axison and low <= place <= high]
    boxes = [text.get_window_extent() for text in texts if text.get_text() and text.get_visible()]
    boxes = [box.padded(-1) for box in boxes if box.width]
    assert len(boxes) > 3
    for index, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:index])
        assert box.x0 >= 0 and box.x1 <= figure.bbox.width and box.y0 >= 0 and box.y1 <= figure.bbox.height
