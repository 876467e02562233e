"""A CLIP to a first checkpoint, without data of one's own."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..training.learning.settings import STARTER_SAMPLES
from .support import checkpoints, clips
from .support.schema import aliases
from .train_projection import checkpoint_inputs, checkpoint_outputs


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
                io.Clip.Input("clip", tooltip="The CLIP of a Stable Diffusion 1.5 or XL checkpoint."),
                *checkpoint_inputs("starter"),
                io.Int.Input(
                    "samples",
                    default=STARTER_SAMPLES,
                    min=100,
                    max=100_000,
                    tooltip="How many faces to sample, 100 to 100,000. More take longer and add little.",
                ),
            ],
            outputs=checkpoint_outputs(),
            is_output_node=True,
            **aliases("first checkpoint", "make projection"),
        )

    @classmethod
    def fingerprint_inputs(cls, name: str | None, **_: Any) -> int:
        """Run again when the checkpoint was removed or replaced by others."""
        return checkpoints.changes(name or "")

    @classmethod
    def execute(cls, clip: Any, name: str, seed: int, samples: int) -> io.NodeOutput:
        from .support.starter import made_with  # takes a while, so not when ComfyUI starts

        return made_with(clips.encoder(clip), checkpoints.new_path(name), seed, samples)
