"""The work of Starter Projection; imported when the node runs, because the import is slow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from comfy_api.latest import io

from ...projection.checkpoint import Checkpoint, load
from ...projection.checkpoint_file import CheckpointError
from ...training.dataset.samples import same_encoder
from ...training.learning.settings import STARTER
from ...training.reports.node_picture import result_picture
from ...training.starter import origin, sample_dataset, sampler
from . import checkpoints, clips, host
from .training import outcome, reported, train_to

STARTER_NOTE = (
    "A starter was only evaluated on synthetic faces: continue training it on real ones (init of Train Projection)"
)


def train_starter(encoder: clips.ClipEncoder, target: Path, seed: int, samples: int) -> io.NodeOutput:
    """Train a starter for this encoder and write it to `target`, or reuse an existing one."""
    made_by = origin("starter", samples, sampler())
    existing = existing_checkpoint(target)
    if existing is not None and is_same(existing, encoder, made_by, samples, seed):
        metrics = existing.metadata.metrics
        picture = result_picture(metrics)
        checkpoints.mark_written(target.name)
        note = f"{target.name}: reused, because it was already trained with the same CLIP, samples and seed"
        return reported(target, metrics["verdict"], picture, [note, STARTER_NOTE], on_node=headline(metrics))
    dataset = sample_dataset(encoder.showing_progress(), samples, seed)
    with host.training() as device:
        settings = replace(STARTER, seed=seed, device=device, space=encoder.space)
        fitted = train_to(target, dataset, settings, made_by=made_by)
        return outcome(fitted, STARTER_NOTE, on_node=headline(fitted.checkpoint.metadata.metrics))


def headline(metrics: Mapping[str, Any]) -> str:
    """Return one line for newcomers: whether the starter is ready, and how often it is right by kind of prompt.

    `metrics` are `Metadata.metrics` of the checkpoint. If it is not ready, a second line contains the reason.
    """
    right = ", ".join(f"{score['name']} {score['recall'][0]:.0%}" for score in metrics["per_kind"])
    line = f"Right for unseen synthetic faces: {right}."
    return f"Ready. {line}" if metrics["ready"] else f"Not ready. {line}\n{metrics['verdict'][0]}"


def existing_checkpoint(path: Path) -> Checkpoint | None:
    """Return the checkpoint at `path`; None if there is none or it cannot be read."""
    try:
        return load(path) if path.is_file() else None
    except CheckpointError:
        return None


def is_same(existing: Checkpoint, encoder: clips.ClipEncoder, made_by: str, samples: int, seed: int) -> bool:
    """Return whether training again would give the same checkpoint."""
    metadata = existing.metadata
    if not existing.has_subject or existing.fingerprint is None:
        return False
    if not same_encoder(existing.fingerprint.numpy(), encoder.fingerprint.numpy()):
        return False
    provenance = metadata.made_by, metadata.dataset.get("samples"), metadata.dataset.get("seed")
    return provenance == (made_by, samples, seed) and "verdict" in metadata.metrics
