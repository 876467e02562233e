"""The work of the nodes that train; imported when one of them runs, because the import is slow."""

from __future__ import annotations

from pathlib import Path

from comfy_api.latest import io
from PIL import Image

from ...projection.checkpoint import Checkpoint
from ...projection.face_vectors import END_ONLY
from ...training.dataset.npz import Dataset
from ...training.evaluation.text import table
from ...training.fitting import Fitted, fit
from ...training.learning.run import Epoch
from ...training.learning.settings import Settings
from ...training.reports.node_picture import curve_picture, result_picture
from . import checkpoints, host


def train_to(
    target: Path, dataset: Dataset, settings: Settings, *, made_by: str = "train", init: Checkpoint | None = None
) -> Fitted:
    """Train in `host.training`, with progress on the node, and write `target`; a canceled run leaves nothing behind."""
    history: list[Epoch] = []
    update = host.progress(settings.epochs, lambda: curve_picture(history))

    def show(epoch: Epoch) -> None:
        history.append(epoch)
        update(epoch.number)

    fitted = fit(
        dataset,
        target.parent,
        settings,
        name=target.stem,
        made_by=made_by,
        init=init,
        resumable=False,
        report=False,
        progress=show,
        stop=host.stop_if_cancelled,
    )
    checkpoints.mark_written(target.name)
    return fitted


def outcome(fitted: Fitted, *notes: str, on_node: str | None = None) -> io.NodeOutput:
    """Return the output of a node that has trained; see `reported`."""
    assert fitted.evaluation is not None and fitted.verdict is not None  # it is None for stopped runs, which raise here
    picture = result_picture(fitted.checkpoint.metadata.metrics, fitted.history)
    epochs = f"{fitted.path.name}: best epoch {fitted.best_epoch} of {len(fitted.history):,}"
    lacks = [] if fitted.checkpoint.has_subject else [f"the dataset {END_ONLY}"]
    lines = [epochs, *fitted.notes, *lacks, *notes]
    return reported(fitted.path, fitted.verdict.sentences, picture, lines, table(fitted.evaluation), on_node)


def reported(
    path: Path,
    sentences: list[str],
    picture: Image.Image,
    notes: list[str],
    details: str = "",
    on_node: str | None = None,
) -> io.NodeOutput:
    """Return the output of a node that trains: the checkpoint's name, the picture (1, H, W, 3) and the full text.

    The node shows `on_node`, or else the sentences, notes and path.
    """
    report = host.as_image(picture)
    lines = [*sentences, *notes, str(path)]
    text = "\n".join([*lines, *(["", details] if details else [])])
    return io.NodeOutput(path.name, report, text, ui={**host.preview(report), **host.note("\n".join(lines), on_node)})
