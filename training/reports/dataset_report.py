"""A folder with pictures of a dataset, and a page that shows them with what inspecting it found."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ...common.errors import InputError, MissingLibraryError
from ...common.files import atomic_path
from ..inspection.checks import Inspection
from ..inspection.survey import Survey
from . import plots
from .numbers import head_poses
from .style import has_matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INDEX = "index.html"
PICTURES = {  # file name → heading
    "counts.png": "Counts",
    "mean_faces.png": "Mean faces",
    "emotions.png": "Emotions",
    "map.png": "Maps of the faces and of the prompts",
}
_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font-family: sans-serif; max-width: 1640px; margin: 2em auto; padding: 0 1em; color: #222; background: #fff }}
pre {{ overflow-x: auto; line-height: 1.35 }}
img {{ max-width: 100%; height: auto }}
</style>
<h1>{title}</h1>
<pre>{text}</pre>
{pictures}
</html>
"""


def require_matplotlib() -> None:
    """Raise MissingLibraryError, naming the extra, if the pictures cannot be drawn."""
    if not has_matplotlib():
        raise MissingLibraryError(
            'the report\'s pictures need matplotlib: pip install "perception-clip[train]" or matplotlib'
        )


def write_report(inspection: Inspection, seen: Survey, folder: Path) -> Path:
    """Draw the pictures of a dataset of N ≥ 1 samples into `folder`, which is made, and return the page's path.

    The dataset itself is read once more, for the heads' poses. Each file is written whole or not at all, the page
    last. Raises ImportError without matplotlib, ValueError for a dataset without samples.
    """
    require_matplotlib()
    if not len(seen):
        raise InputError(f"{inspection.path}: it holds no samples, so there is nothing to draw")
    draw: dict[str, Callable[[], Figure]] = {
        "counts.png": lambda: plots.counts(seen, head_poses(Path(inspection.path))),
        "mean_faces.png": lambda: plots.mean_faces(seen),
        "emotions.png": lambda: plots.emotions(seen),
        "map.png": lambda: plots.maps(seen),
    }
    for name in PICTURES:
        with atomic_path(folder / name) as temporary:
            draw[name]().savefig(temporary, format="png")
    page = _PAGE.format(
        title=html.escape(Path(inspection.path).name),
        text=html.escape(str(inspection)),
        pictures="\n".join(
            f'<h2>{heading}</h2>\n<p><img src="{name}" alt="{heading}"></p>' for name, heading in PICTURES.items()
        ),
    )
    with atomic_path(folder / INDEX) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return folder / INDEX
