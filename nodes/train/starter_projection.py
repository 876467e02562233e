"""The Starter Projection node: trains a first checkpoint for a CLIP, without any data."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...training.learning.settings import STARTER_SAMPLES
from ..support import checkpoints, clips
from ..support.schema import aliases
from .train_projection import checkpoint_inputs, checkpoint_outputs


class StarterProjection(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Trains a projection on synthetic faces and matching prompts, encoded by the graph's own CLIP."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_StarterProjection",
            display_name="Starter Projection",
            category="Perception CLIP/train",
            description=(
                "Trains a first checkpoint for your CLIP without any data of your own, in about a minute with a GPU, "
                "a few minutes without one: it samples synthetic faces with emotions, actions, gaze and head pose, "
                "encodes prompts that describe them with the CLIP, and trains a projection on both. To improve it "
                "with real faces, choose it as init in Train Projection."
            ),
            inputs=[
                io.Clip.Input("clip", tooltip="The CLIP of a Stable Diffusion 1.5 or XL checkpoint."),
                *checkpoint_inputs("starter"),
                io.Int.Input(
                    "samples",
                    default=STARTER_SAMPLES,
                    min=100,
                    max=100_000,
                    tooltip="Number of synthetic faces to sample, 100 to 100,000. More take longer and add little.",
                ),
            ],
            outputs=checkpoint_outputs(),
            is_output_node=True,
            **aliases("first checkpoint", "make projection"),
        )

    @classmethod
    def fingerprint_inputs(cls, name: str | None, **_: Any) -> int:
        """Return a number that changes when something else removes or replaces the checkpoint."""
        return checkpoints.external_changes(name or "")

    @classmethod
    def execute(cls, clip: Any, name: str, seed: int, samples: int) -> io.NodeOutput:
        from ..support.starter import train_starter  # a slow import, so not when ComfyUI starts

        return train_starter(clips.encoder(clip), checkpoints.new_path(name), seed, samples)
