"""The Perception→CLIP Projection node: perceptions to CONDITIONING."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from comfy_api.latest import io

from ...common.words import counted
from ...perception.vector import Perceptions
from ...projection.choice import FACE_CHOICES, choose
from ...projection.conditioning import MODES, inject
from ...projection.insight import Similarity, lengths, nearest, warnings
from ..support import checkpoints, clips, host
from ..support.checks import check_choice, check_conditioning, check_perceptions
from ..support.schema import PERCEPTION, advanced, aliases, file_choice

SHOWN_PROMPTS, SHOWN_FACES = 3, 4  # on the node
MODE_TOOLTIP = (
    "How the face is applied. steer: shifts every token of the prompt by strength × (face − neutral face). blend: "
    "moves only the end-of-text and padding tokens toward the face, so the words stay (on SDXL, it moves every token). "
    "replace: moves every token toward the face; at strength 1 only the face is left. append: keeps the prompt and "
    "adds the same number of face tokens."
)
FACES_TOOLTIP = (
    "Which faces to use when there are several. first: the first face of the first picture that has one. mean: the "
    "average of all. each: one conditioning for each face, all acting together as with Conditioning (Combine); "
    "sampling time grows with the number of faces. per frame: one row for each picture, from its first face, for a "
    "latent batch of the same length; a picture without a face keeps the prompt unchanged."
)


class UsesCheckpoint(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """A node with the inputs `checkpoint` and `checkpoint_name`."""

    @classmethod
    def validate_inputs(cls, checkpoint: str) -> bool:
        """Accept any checkpoint: `execute` checks it, and its error has a remedy, unlike ComfyUI's "not in list"."""
        return True

    @classmethod
    def fingerprint_inputs(cls, checkpoint: str | None, **others: Any) -> str:
        """Return a text that changes with the checkpoint's file; for a connected name, the node before does this."""
        return "linked" if "checkpoint_name" in others else checkpoints.state(checkpoint or "")


class PerceptionProjection(UsesCheckpoint):
    """Projects faces into CLIP's text space and applies them to a prompt's conditioning."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_Projection",
            display_name="Perception→CLIP Projection",
            category="Perception CLIP/steer",
            description=(
                "Projects perceived faces into Stable Diffusion's text space with a trained checkpoint and applies "
                "them to the prompt. Without a face, the conditioning passes through unchanged."
            ),
            inputs=[
                PERCEPTION.Input("perception", tooltip="Faces from Face Perception."),
                io.Conditioning.Input("conditioning", tooltip="The prompt to apply the face to."),
                checkpoint_input(),
                io.Combo.Input("mode", options=list(MODES), default="steer", tooltip=MODE_TOOLTIP),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-2.0,
                    max=3.0,
                    step=0.05,
                    tooltip="How strongly the face is applied, −2 to 3, unitless. 0 leaves the conditioning "
                    "unchanged; negative values push away from the expression.",
                ),
                io.Float.Input(
                    "start_percent",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="When the face starts to act, as a fraction of the sampling, 0 (start) to 1 (end).",
                ),
                io.Float.Input(
                    "end_percent",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="When the face stops acting, as a fraction of the sampling, 0 to 1; must not be less than "
                    "start_percent.",
                ),
                io.Combo.Input("faces", options=list(FACE_CHOICES), default="first", tooltip=FACES_TOOLTIP),
                checkpoint_name_input(),
                advanced(
                    io.Boolean.Input(
                        "match_norm",
                        default=False,
                        optional=True,
                        tooltip="Scale the face's vector to the length of the prompt's tokens. Use it with a "
                        "checkpoint whose vectors are much shorter or longer; the node shows both lengths.",
                    )
                ),
                advanced(
                    io.Boolean.Input(
                        "clip_l_only",
                        default=False,
                        optional=True,
                        tooltip="Apply a Stable Diffusion 1.5 checkpoint to a Stable Diffusion XL prompt: it changes "
                        "only the CLIP-L part of the tokens, 768 of 2048 numbers. SDXL tokens have a different scale, "
                        "so turn on match_norm as well.",
                    )
                ),
                clip_input(),
            ],
            outputs=[
                io.Conditioning.Output(
                    "steered", display_name="conditioning", tooltip="The prompt, steered by the face."
                )
            ],
            **aliases("apply expression", "face to conditioning", "emotion conditioning", "steer"),
        )

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
        match_norm: bool = False,
        clip_l_only: bool = False,
        clip: Any = None,
    ) -> io.NodeOutput:
        check_perceptions(perception)
        check_conditioning(conditioning)
        check_choice("faces", faces, FACE_CHOICES)
        name = checkpoint if checkpoint_name is None else checkpoint_name
        projection = checkpoints.load(name)
        if len(perception) == 0:
            return io.NodeOutput(conditioning, ui=host.note("no face: the conditioning passes through unchanged"))
        vectors, neutral = checkpoints.project(projection, perception)
        chosen = choose(torch.cat([vectors, neutral], dim=1), perception, faces)
        parts = [(*rows.chunk(2, dim=1), seen) for rows, seen in chosen]
        steered: list[list[Any]] = []
        for vectors, neutral, seen in parts:
            steered += inject(
                conditioning,
                vectors,
                neutral,
                space=projection.space,
                mode=mode,
                strength=strength,
                start_percent=start_percent,
                end_percent=end_percent,
                match_norm=match_norm,
                seen=seen,
                clip_l_only=clip_l_only,
            )
        vectors = torch.cat([rows[seen] for rows, _, seen in parts])
        neutral = torch.cat([rows[seen] for _, rows, seen in parts])
        length, moved, typical = lengths(projection, vectors, neutral, conditioning)
        effect = f"adds a vector of length {abs(strength) * moved:.1f}"
        if mode != "steer":
            effect = f"applies a vector of length {abs(strength) * length:.1f}"
        which = f"{faces} of {counted(len(perception), 'face')}{' (mean lengths)' if len(vectors) > 1 else ''}"
        lines = [
            *(f"⚠ {text}" for text in warnings(projection, perception, clips.fingerprint_for(projection, clip))),
            f"{name}, trained with {projection.metadata.encoder}",
            f"{which}: {effect} to tokens of length {typical:.1f}{' before match_norm' if match_norm else ''}",
            *closest(nearest(projection, vectors[:SHOWN_FACES], SHOWN_PROMPTS)),
        ]
        return io.NodeOutput(steered, ui=host.note("\n".join(lines)))


def closest(prompts_of_faces: list[list[Similarity]]) -> Iterable[str]:
    """Yield one line per face with its most similar prompts, if the projection has prompts."""
    for prompts in prompts_of_faces:
        if prompts:
            yield "closest to " + ", ".join(f"“{text}” {value:.2f}" for text, value in prompts)


def checkpoint_input() -> io.Combo.Input:
    """Return the drop-down of projection checkpoints."""
    return io.Combo.Input(
        "checkpoint",
        **file_choice(checkpoints.listed()),
        tooltip="A trained projection from the pack's projection/checkpoints/ or ComfyUI's models/perception_clip/. "
        "New and retrained files are used without a restart (press R to refresh the list).",
    )


def checkpoint_name_input() -> io.String.Input:
    """Return the input that overrides the drop-down when it is connected."""
    return io.String.Input(
        "checkpoint_name",
        optional=True,
        force_input=True,
        tooltip="Connect the checkpoint output of Train Projection or Starter Projection; it overrides the checkpoint "
        "widget.",
    )


def clip_input() -> io.Clip.Input:
    """Return the input of the CLIP that the checkpoint is compared with."""
    return io.Clip.Input(
        "clip",
        optional=True,
        tooltip="Optional: the CLIP that encoded the prompt. The node then warns if the checkpoint was trained with a "
        "different one.",
    )
