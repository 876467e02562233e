"""The report of a dataset: a folder with pictures drawn by matplotlib, and a page with them and the inspection."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...common.errors import InputError, MissingLibraryError
from ...common.files import atomic_path
from ...common.words import counted
from ...perception.vector import EMOTIONS
from ..dataset.samples import SPLITS, Floats
from ..inspection.inspection import Inspection
from ..inspection.mean_faces import mean_faces as means_of
from ..inspection.mean_faces import naming
from ..inspection.scan import Column, DatasetScan
from ..inspection.text import describe
from .numbers import (
    OTHERS,
    Points,
    map_of_faces,
    map_of_prompts,
    shown_of,
)
from .page import write_page
from .style import (
    BLUE,
    COLORS,
    DARK,
    GRAY,
    MARKERS,
    NORMAL,
    SMALL,
    bars,
    draw_face,
    face_grid,
    fitted,
    has_matplotlib,
    histogram,
    legend,
    map_axes,
    name_rows,
    new_figure,
    nothing,
    shaded_table,
    title,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import PathCollection
    from matplotlib.figure import Figure

MEAN_FACES, ROWS, BARS = 12, 20, 12  # mean faces, rows of emotions, bars of one kind
SCORE_BINS, GROUP_BINS = 25, 20
CROWDED = 9  # square points: a point of this size or less has no edge
DEGREES = 5  # per bin of a pose
EXAGGERATION = 2.0  # of the differences between mean faces, which are hard to see otherwise

INDEX = "index.html"
PICTURES = {  # file name → heading
    "counts.png": "Counts",
    "mean_faces.png": "Mean faces",
    "emotions.png": "Emotions",
    "map.png": "Maps of faces and prompts",
}


def mean_faces(scan: DatasetScan) -> Figure:
    """Draw the mean face of each of the most frequent labels (or prompts) over that of all samples, in gray."""
    means = means_of(scan, MEAN_FACES)
    count = len(means.names)
    across = count if count <= 4 else 3 if count <= 6 else 4
    figure, grid = face_grid(count, across, height=360, extra=70, shared=True)
    figure.suptitle(
        f"Mean face of {_each(means.kind, count, means.hidden)}, pose removed, over the mean of all samples (gray). "
        f"Differences are exaggerated {EXAGGERATION:g}×.",
        fontsize=NORMAL,
        color=DARK,
    )
    for axes, name, number, face in zip(grid, means.names, means.counts, means.faces, strict=False):
        draw_face(axes, means.face, GRAY, width=2.4)
        draw_face(axes, means.face + EXAGGERATION * (face - means.face), BLUE, width=1.4)
        title(axes, f"{fitted(name, 1160 / across - 10, NORMAL, 2)}\n{counted(number, 'sample')}")
    return figure


def emotions(scan: DatasetScan) -> Figure:
    """Draw the mean emotion probabilities of each label (or prompt) as a shaded table."""
    means = means_of(scan, ROWS)
    shares = np.vstack([means.emotions, means.emotion])
    names = [f"{fitted(name, 340, SMALL)} ({count:,})" for name, count in zip(means.names, means.counts, strict=True)]
    figure = new_figure(width=1200, height=34 * len(shares) + 130)
    axes = figure.subplots()
    highest = max(0.5, float(shares.max()))
    shaded_table(axes, shares, EMOTIONS, highest)
    name_rows(axes, [*names, f"all samples ({len(scan):,})"], width=440)
    axes.set_ylim(len(shares) - 0.5, -0.5)
    axes.axhline(len(shares) - 1.5, color="white", linewidth=5)
    for edge in range(1, len(EMOTIONS)):
        axes.axvline(edge - 0.5, color="white", linewidth=1)
    figure.suptitle(
        f"Mean emotion probabilities of {_each(means.kind, len(means.names), means.hidden)}, in %",
        fontsize=NORMAL,
        color=DARK,
    )
    return figure


def maps(scan: DatasetScan) -> Figure:
    """Draw a map of the faces and one of the prompts, in the colors of the most frequent labels (or prompts)."""
    faces, prompts = (make(scan, len(COLORS)) for make in (map_of_faces, map_of_prompts))
    others = any((points.ranks == OTHERS).any() for points in (faces, prompts))
    figure = new_figure(width=1640, height=840)
    left, right = figure.subplots(1, 2)
    size = float(np.clip(40_000 / len(faces.places), 6, 50))
    _scatter(left, faces, np.full(len(faces.places), size))
    some = shown_of(len(faces.places), faces.of, "face", how=" chosen at random")
    title(left, f"{some}: face shape without pose, plus emotions")
    biggest = float(np.clip(20_000 / len(prompts.places), 60, 400))
    _scatter(right, prompts, np.maximum(biggest * prompts.counts / prompts.counts.max(), 8))
    some = shown_of(len(prompts.places), prompts.of, "prompt", how=", the first")
    title(right, f"{some}: text vectors; area shows the number of samples")
    handles = [_legend_entry(left, rank) for rank in [*range(len(faces.names)), *([OTHERS] if others else [])]]
    texts = [*(fitted(name, 330, NORMAL) for name in faces.names), *(["others"] if others else [])]
    columns = min(len(texts), 4 if max(map(len, texts)) > 16 else 9)
    legend(figure, handles, texts, columns, heading=naming(scan)[1])
    return figure


def counts(scan: DatasetScan) -> Figure:
    """Draw the number of samples per label, group and split, the detector's scores, and the head's yaw and pitch."""
    figure = new_figure(width=1640, height=900)
    (names, groups, splits), (scores, yaw, pitch) = figure.subplots(2, 3, height_ratios=[1.25, 1])
    column, kind = naming(scan)
    _bars(names, column, kind)
    _groups(groups, scan.groups)
    _bars(splits, scan.splits, "split", order=SPLITS)
    _scores(scores, scan.scores)
    _pose(yaw, scan.poses[:, 0], "Head yaw", "degrees; positive: toward the right of the picture")
    _pose(pitch, scan.poses[:, 1], "Head pitch", "degrees; positive: up")
    for axes in (scores, yaw, pitch):
        axes.set_ylabel("samples", fontsize=SMALL, color=DARK)
    return figure


def _scatter(axes: Axes, points: Points, sizes: Floats) -> None:
    """Draw points with areas in square points, the rarest labels on top."""
    for rank in (OTHERS, *range(len(points.names))):
        chosen = points.ranks == rank
        if chosen.any():
            edge = 0.3 if sizes[0] > CROWDED else 0  # the edges of many small points would hide them
            axes.scatter(
                points.places[chosen, 0], points.places[chosen, 1], sizes[chosen], **{**_look(rank), "linewidths": edge}
            )
    map_axes(axes, points.shares, NORMAL)


def _look(rank: int) -> dict[str, Any]:
    color, marker = (GRAY, "o") if rank == OTHERS else (COLORS[rank], MARKERS[rank])
    return {"color": color, "marker": marker, "alpha": 0.75, "linewidths": 0.3, "edgecolors": "white"}


def _legend_entry(axes: Axes, rank: int) -> PathCollection:
    return axes.scatter([], [], 60, **{**_look(rank), "alpha": 1})


def _bars(axes: Axes, column: Column, kind: str, order: tuple[str, ...] = ()) -> None:
    """Draw the number of samples of the most frequent texts, or of those in `order`; samples without one in gray."""
    counts = column.counts()
    if not counts:
        nothing(axes, f"no {kind}s")
        return
    ordered = {name: counts[name] for name in order if name in counts} or counts
    shown = dict(list(ordered.items())[:BARS])
    without = int(column.empty.sum())
    extra = {f"(no {kind})": without} if without else {}
    bars(axes, [*shown, *extra], [*shown.values(), *extra.values()], width=170, grayed=len(extra))
    title(
        axes,
        f"Samples per {kind}"
        + (f" (the {len(shown)} most frequent of {len(counts):,})" if len(ordered) > BARS else ""),
    )


def _groups(axes: Axes, column: Column) -> None:
    """Draw bars for a few groups, a histogram of their sizes for many."""
    sizes = np.array(list(column.counts().values()))
    if len(sizes) <= BARS:
        _bars(axes, column, "group")
        return
    step = -(-int(sizes.max()) // GROUP_BINS)
    edges = np.arange(0.5, sizes.max() + step + 0.5, step)
    histogram(axes, sizes, edges, "samples per group")
    axes.set_ylabel("groups", fontsize=SMALL, color=DARK)
    without = int(column.empty.sum())
    ungrouped = f" ({counted(without, 'sample')} without a group)" if without else ""
    title(axes, f"Sizes of {counted(len(sizes), 'group')}{ungrouped}")


def _scores(axes: Axes, scores: Floats) -> None:
    known = scores[~np.isnan(scores)]
    if not len(known):
        nothing(axes, "detector scores unknown")
        return
    histogram(axes, known, np.linspace(0, 1, SCORE_BINS + 1), "detector score")
    missing = len(scores) - len(known)
    title(axes, "Detector scores" + (f" (unknown for {missing:,})" if missing else ""))


def _pose(axes: Axes, angles: Floats, heading: str, label: str) -> None:
    """Draw a histogram that is symmetric around 0."""
    reach = max(30, int(np.ceil(np.abs(angles).max() / DEGREES)) * DEGREES)
    histogram(axes, angles, np.arange(-reach, reach + DEGREES, DEGREES), label)
    axes.axvline(0, color=DARK, linewidth=0.8, linestyle=":")
    mean, deviation = (round(float(number)) for number in (angles.mean(), angles.std()))
    title(axes, f"{heading}: mean {mean}°, standard deviation {deviation}°")


def _each(kind: str, shown: int, hidden: int) -> str:
    return f"each of the {shown} most frequent of {shown + hidden:,} {kind}s" if hidden else f"each {kind}"


def require_matplotlib() -> None:
    """Raise MissingLibraryError, which names the extra to install, if pictures cannot be drawn."""
    if not has_matplotlib():
        raise MissingLibraryError(
            'a report needs matplotlib: run pip install "perception-clip[train]" or pip install matplotlib'
        )


def write_report(inspection: Inspection, scan: DatasetScan, folder: Path) -> Path:
    """Draw the pictures of a dataset with at least one sample into `folder`, which is created. Return the page's path.

    Each file is written whole or not at all, the page last. Raises MissingLibraryError without matplotlib, InputError
    for a dataset without samples.
    """
    require_matplotlib()
    if not len(scan):
        raise InputError(f"{inspection.path} contains no samples, so there is nothing to draw")
    figures = (counts(scan), mean_faces(scan), emotions(scan), maps(scan))
    for name, figure in zip(PICTURES, figures, strict=True):
        with atomic_path(folder / name) as temporary:
            figure.savefig(temporary, format="png")
    return write_page(
        folder / INDEX,
        "dataset_report.html.j2",
        title=Path(inspection.path).name,
        text=describe(inspection),
        pictures=PICTURES,
    )
