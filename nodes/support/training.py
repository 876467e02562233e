"""What nodes that train do: imported when one of them runs, as it takes a while."""

from __future__ import annotations

from pathlib import Path

from comfy_api.latest import io
from PIL import Image

from ...common.words import counted
from ...projection.checkpoint import Checkpoint
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
    """Train in `host.training`, with progress on the node, and write `target`; nothing is left of a cancelled run."""
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
    checkpoints.written(target.name)
    return fitted


def outcome(fitted: Fitted, *notes: str) -> io.NodeOutput:
    """A trained checkpoint's name, its picture, and what there is to say of it."""
    assert fitted.evaluation is not None and fitted.verdict is not None  # it is None for stopped runs, which raise here
    picture = result_picture(fitted.history, fitted.evaluation, fitted.verdict)
    made = f"{fitted.path.name}: the best of {counted(len(fitted.history), 'epoch')} was {fitted.best_epoch}"
    return reported(fitted.path, fitted.verdict.sentences, picture, [made, *notes], table(fitted.evaluation))


def reported(
    path: Path, sentences: list[str], picture: Image.Image, notes: list[str], table: str = ""
) -> io.NodeOutput:
    """The output of a node that trains: a checkpoint's name, the picture (1, H, W, 3) and all that is said."""
    report = host.as_image(picture)
    said = [*sentences, *notes, str(path)]
    text = "\n".join([*said, *(["", table] if table else [])])
    return io.NodeOutput(path.name, report, text, ui={**host.preview(report), **host.note("\n".join(said))})
