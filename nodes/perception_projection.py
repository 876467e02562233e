"""Perceptions to CONDITIONING."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..perception.vector import Perceptions
from ..projection.conditioning import MODES, inject
from ..training.random_clip import IDENTITY as STAND_IN
from . import host
from .checks import check_choice, check_perceptions
from .face_perception import PERCEPTION, count

FACES = ("first", "mean")


class PerceptionProjection(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Projects faces into CLIP's text space and lets them act on a prompt's conditioning."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_Projection",
            display_name="Perception→CLIP Projection",
            category="Perception CLIP",
            description=(
                "Projects a perceived face into Stable Diffusion 1.5's text space with a trained checkpoint and "
                "lets it steer the prompt. Without a face the conditioning passes unchanged."
            ),
            inputs=[
                PERCEPTION.Input("perception", tooltip="Faces from Face Perception."),
                io.Conditioning.Input("conditioning", tooltip="The prompt that the face acts on."),
                io.Combo.Input(
                    "checkpoint",
                    options=list(host.checkpoints()) or [host.NO_CHECKPOINT],
                    tooltip="A trained projection, from the pack's projection/checkpoints/ or ComfyUI's "
                    "models/perception_clip/. A new or retrained file is used without a restart (press R to "
                    "refresh the list).",
                ),
                io.Combo.Input(
                    "mode",
                    options=list(MODES),
                    default="steer",
                    tooltip="steer: shifts every word of the prompt by strength × (face − neutral face). "
                    "append: adds the face as 77 more tokens, times strength.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-2.0,
                    max=3.0,
                    step=0.05,
                    tooltip="How strongly the face acts, −2 to 3, without unit. 0 leaves the conditioning as it "
                    "is; negative values turn the expression away.",
                ),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="From when the face acts, as a share of the sampling, 0 (start) to 1 (end).",
                ),
                io.Float.Input(
                    "end_percent",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="Until when the face acts, as a share of the sampling, 0 to 1; not before start_percent.",
                ),
                io.Combo.Input(
                    "faces",
                    options=list(FACES),
                    default="first",
                    tooltip="Of several faces. first: the first face of the first picture that has one. "
                    "mean: the average of all.",
                ),
                io.String.Input(
                    "checkpoint_name",
                    optional=True,
                    force_input=True,
                    tooltip="Link the checkpoint output of Train Projection or Starter Projection: what they have made "
                    "is used, and checkpoint above is not.",
                ),
            ],
            outputs=[
                io.Conditioning.Output(
                    "steered", display_name="conditioning", tooltip="The prompt, steered by the face."
                )
            ],
        )

    @classmethod
    def validate_inputs(cls, checkpoint: str) -> bool:
        """Let `execute` judge the checkpoint: its message has the remedy, ComfyUI's "not in list" has not."""
        return True

    @classmethod
    def fingerprint_inputs(cls, checkpoint: str | None, **others: Any) -> str:
        """Run again when the checkpoint's file has changed; of a linked name, the node before takes care."""
        return "linked" if "checkpoint_name" in others else host.checkpoint_state(checkpoint or "")

    @classmethod
    def execute(
        cls,
        perception: Perceptions,
        conditioning: list[list[Any]],
        checkpoint: str,
        mode: str,
        strength: float,
        start_percent: float,
        end_percent: float,
        faces: str,
        checkpoint_name: str | None = None,
    ) -> io.NodeOutput:
        check_perceptions(perception)
        check_choice("faces", faces, FACES)
        name = checkpoint if checkpoint_name is None else checkpoint_name
        projection = host.checkpoint(name)
        if len(perception) == 0:
            return io.NodeOutput(conditioning, ui=host.note("no face: the conditioning passes unchanged"))
        vector = choose(projection.project(perception.vectors, perception.image_sizes), faces)
        steered = inject(
            conditioning,
            vector,
            projection.neutral,
            mode=mode,
            strength=strength,
            start_percent=start_percent,
            end_percent=end_percent,
        )
        added = vector if mode == "append" else vector - projection.neutral.to(vector)
        lines = [
            f"{name}, trained with {projection.metadata.encoder}",
            f"{faces} of {count(len(perception), 'face')}: {effect(conditioning, added * strength)}",
        ]
        if projection.metadata.encoder == STAND_IN:
            lines.insert(0, "⚠ STAND-IN: the picture changes, but not towards the expression. Train with your CLIP")
        return io.NodeOutput(steered, ui=host.note("\n".join(lines)))


def choose(vectors: Tensor, faces: str) -> Tensor:
    """Of the projected faces (F, 768), F ≥ 1, the first, or the mean, as (1, 768)."""
    return vectors.mean(dim=0, keepdim=True) if faces == "mean" else vectors[:1]


def effect(conditioning: list[list[Any]], added: Tensor) -> str:
    """How long the added vector (1, 768) is, beside the tokens that it acts on."""
    lengths = [tokens[:, 1:].float().norm(dim=-1).mean() for tokens, _ in conditioning]
    typical = float(torch.stack(lengths).mean()) if lengths else 0.0
    return f"adds a vector of length {float(added.norm()):.1f} to tokens of length {typical:.1f}"
