"""The work of Starter Projection; imported when the node runs, because the import takes a while."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
    "A starter was only evaluated on synthetic faces: continue training it on real ones (init of Train Projection)"
)


def made_with(encoder: clips.ClipEncoder, target: Path, seed: int, samples: int) -> io.NodeOutput:
    """Train a starter for this encoder and write it to `target`, or reuse the one that is already there."""
    made_by = origin("starter", samples, f"{SAMPLED}{host.expression_model().identity}")
    made = earlier(target)
    if made is not None and is_same(made, encoder, made_by, samples, seed):
        metrics = made.metadata.metrics
        picture = stored_result_picture(metrics)
        checkpoints.written(target.name)
        note = f"{target.name}: reused, because it was already trained with the same CLIP, samples and seed"
        return reported(target, metrics["verdict"], picture, [note, BEGINNING], on_node=headline(metrics))
    dataset = sample_dataset(encoder.showing_progress(), samples, seed)
    with host.training() as device:
        settings = Settings(epochs=STARTER_EPOCHS, seed=seed, device=device, space=encoder.space)
        fitted = train_to(target, dataset, settings, made_by=made_by)
        return outcome(fitted, BEGINNING, on_node=headline(fitted.checkpoint.metadata.metrics))


def headline(metrics: Mapping[str, Any]) -> str:
    """Return one line for someone new: whether the starter is ready, and how often it is right compared with guessing.

    `metrics` are those of a checkpoint (`Metadata.metrics`). If it is not ready, a second line has the reason.
    """
    right, guessed = metrics["scores"]["projection"]["recall_at_1"][0], round(100 / metrics["prompts"], 1)
    line = f"picks the right prompt for {right:.0%} of unseen synthetic faces; guessing would be {guessed:g}%."
    return f"Ready: {line}" if metrics["ready"] else f"Not ready: {line}\n{metrics['verdict'][0]}"


def earlier(path: Path) -> Checkpoint | None:
    """Return the checkpoint that is already there; None if there is none or it cannot be read."""
    try:
        return load(path) if path.is_file() else None
    except CheckpointError:
        return None


def is_same(made: Checkpoint, encoder: clips.ClipEncoder, made_by: str, samples: int, seed: int) -> bool:
    """Return whether training again would give the same checkpoint."""
    metadata = made.metadata
    if made.fingerprint is None or not same_encoder(made.fingerprint.numpy(), encoder.fingerprint.numpy()):
        return False
    known = metadata.made_by, metadata.dataset.get("samples"), metadata.dataset.get("seed")
    return known == (made_by, samples, seed) and "verdict" in metadata.metrics
