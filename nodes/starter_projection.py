"""A CLIP to a first checkpoint, without data of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from comfy_api.latest import io

from ..projection.checkpoint import Checkpoint, load
from ..projection.checkpoint_file import CheckpointError
from ..training.learning.settings import Settings
from ..training.reporting.progress_picture import stored_result_picture
from ..training.samples import same_vector
from ..training.starter import EPOCHS, SAMPLED, SAMPLES, origin, sample_dataset
from . import checkpoints, clips, host
from .train_projection import checkpoint_inputs, checkpoint_outputs, outcome, reported, train_to

BEGINNING = (
    "A starter is a beginning, judged on sampled faces: continue from it with real ones (init of Train Projection)"
)


class StarterProjection(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Trains a projection on sampled faces, with prompts to match, encoded by the graph's own CLIP."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_StarterProjection",
            display_name="Starter Projection",
            category="Perception CLIP",
            description=(
                "Makes a first checkpoint for your CLIP in about a minute, without data of your own: faces are sampled "
                "from the bundled expression model, prompts that say what they show are encoded with the CLIP, and a "
                "projection is trained on them. Improve it with real faces: choose it as init in Train Projection."
            ),
            inputs=[
                io.Clip.Input("clip", tooltip="The CLIP of a Stable Diffusion 1.5 checkpoint."),
                *checkpoint_inputs("starter"),
                io.Int.Input(
                    "samples",
                    default=SAMPLES,
                    min=100,
                    max=100_000,
                    tooltip="How many faces to sample, 100 to 100,000. More take longer and add little.",
                ),
            ],
            outputs=checkpoint_outputs(),
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, name: str | None, **_: Any) -> int:
        """Run again when the checkpoint was removed or replaced by others."""
        return checkpoints.changes(name or "")

    @classmethod
    def execute(cls, clip: Any, name: str, seed: int, samples: int) -> io.NodeOutput:
        target, encoder = checkpoints.new_path(name), clips.encoder(clip)
        made_by = origin("starter", samples, f"{SAMPLED}{host.expression_model().identity}")
        made = earlier(target)
        if made is not None and is_same(made, encoder, made_by, samples, seed):
            picture = stored_result_picture(made.metadata.metrics)
            checkpoints.written(target.name)
            note = f"{target.name}: made before from the same CLIP, samples and seed, and used again"
            return reported(target, made.metadata.metrics["verdict"], picture, [note, BEGINNING])
        dataset = sample_dataset(encoder.showing_progress(), samples, seed)
        with host.training() as device:
            settings = Settings(epochs=EPOCHS, seed=seed, device=device)
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
    if made.fingerprint is None or not same_vector(made.fingerprint.numpy(), encoder.fingerprint.numpy()):
        return False
    known = metadata.made_by, metadata.dataset.get("samples"), metadata.dataset.get("seed")
    return known == (made_by, samples, seed) and "verdict" in metadata.metrics
