"""What Starter Projection does: imported when it runs, as it takes a while."""

from __future__ import annotations

from pathlib import Path

from comfy_api.latest import io

from ...projection.checkpoint import Checkpoint, load
from ...projection.checkpoint_file import CheckpointError
from ...projection.insight import SAMPLED
from ...training.dataset.samples import same_encoder
from ...training.learning.settings import STARTER_EPOCHS, Settings
from ...training.reports.node_picture import stored_result_picture
from ...training.starter import origin, sample_dataset
from . import checkpoints, clips, host
from .training import outcome, reported, train_to

BEGINNING = (
    "A starter is a beginning, judged on sampled faces: continue from it with real ones (init of Train Projection)"
)


def made_with(encoder: clips.ClipEncoder, target: Path, seed: int, samples: int) -> io.NodeOutput:
    """The starter for this encoder in `target`: made, or used again if it is there already."""
    made_by = origin("starter", samples, f"{SAMPLED}{host.expression_model().identity}")
    made = earlier(target)
    if made is not None and is_same(made, encoder, made_by, samples, seed):
        picture = stored_result_picture(made.metadata.metrics)
        checkpoints.written(target.name)
        note = f"{target.name}: made before from the same CLIP, samples and seed, and used again"
        return reported(target, made.metadata.metrics["verdict"], picture, [note, BEGINNING])
    dataset = sample_dataset(encoder.showing_progress(), samples, seed)
    with host.training() as device:
        settings = Settings(epochs=STARTER_EPOCHS, seed=seed, device=device, space=encoder.space)
        return outcome(train_to(target, dataset, settings, made_by=made_by), BEGINNING)


def earlier(path: Path) -> Checkpoint | None:
    """The checkpoint that is there already, or None; one that cannot be read is made anew."""
    try:
        return load(path) if path.is_file() else None
    except CheckpointError:
        return None


def is_same(made: Checkpoint, encoder: clips.ClipEncoder, made_by: str, samples: int, seed: int) -> bool:
    """Whether a checkpoint is what would be made again."""
    metadata = made.metadata
    if made.fingerprint is None or not same_encoder(made.fingerprint.numpy(), encoder.fingerprint.numpy()):
        return False
    known = metadata.made_by, metadata.dataset.get("samples"), metadata.dataset.get("seed")
    return known == (made_by, samples, seed) and "verdict" in metadata.metrics
