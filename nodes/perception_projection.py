"""Perceptions to CONDITIONING."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from ..perception.vector import Perceptions
from ..projection.choice import FACES, choose
from ..projection.conditioning import MODES, inject
from ..projection.insight import lengths, nearest, warnings
from .support import checkpoints, clips, host
from .support.checks import check_choice, check_conditioning, check_perceptions
from .support.schema import PERCEPTION, advanced, aliases, count

SHOWN_PROMPTS, SHOWN_FACES = 3, 4  # on the node
MODE_TOOLTIP = (
    "What the face does. steer: shifts every word of the prompt by strength × (face − neutral face). blend: moves the "
    "end of the text and the padding behind it toward the face; the words stay. replace: moves every word toward the "
    "face; at strength 1 only the face is left of the prompt. append: keeps the prompt and adds as many tokens of the "
    "face."
)
FACES_TOOLTIP = (
    "Of several faces. first: the first face of the first picture that has one. mean: the average of all. each: a "
    "conditioning for each, acting together as with Conditioning (Combine); sampling takes so many times as long. per "
    "frame: a row for each picture, with its first face, for a latent batch of the same length; a picture without a "
    "face gets the prompt as it is."
)


class UsesCheckpoint(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """A node with the inputs `checkpoint` and `checkpoint_name`."""

    @classmethod
    def validate_inputs(cls, checkpoint: str) -> bool:
        """Let `execute` judge the checkpoint: its message has the remedy, ComfyUI's "not in list" has not."""
        return True

    @classmethod
    def fingerprint_inputs(cls, checkpoint: str | None, **others: Any) -> str:
        """Run again when the checkpoint's file has changed; of a linked name, the node before takes care."""
        return "linked" if "checkpoint_name" in others else checkpoints.state(checkpoint or "")


class PerceptionProjection(UsesCheckpoint):
    """Projects faces into CLIP's text space and lets them act on a prompt's conditioning."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_Projection",
            display_name="Perception→CLIP Projection",
            category="Perception CLIP",
            description=(
                "Projects perceived faces into Stable Diffusion's text space with a trained checkpoint and lets them "
                "act on the prompt. Without a face the conditioning passes unchanged."
            ),
            inputs=[
                PERCEPTION.Input("perception", tooltip="Faces from Face Perception."),
                io.Conditioning.Input("conditioning", tooltip="The prompt that the face acts on."),
                checkpoint_input(),
                io.Combo.Input("mode", options=list(MODES), default="steer", tooltip=MODE_TOOLTIP),
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
                io.Combo.Input("faces", options=list(FACES), default="first", tooltip=FACES_TOOLTIP),
                checkpoint_name_input(),
                advanced(
                    io.Boolean.Input(
                        "normalise",
                        default=False,
                        optional=True,
                        tooltip="Bring the face's vector to the length of the prompt's tokens. For a checkpoint whose "
                        "vectors are much shorter or longer; the node shows both lengths.",
                    )
                ),
                advanced(
                    io.Boolean.Input(
                        "clip_l_only",
                        default=False,
                        optional=True,
                        tooltip="Let a Stable Diffusion 1.5 checkpoint act on a Stable Diffusion XL prompt: on the "
                        "CLIP-L part of its tokens, 768 of 2048 numbers. Those are scaled otherwise: turn normalise "
                        "on, too.",
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
        normalise: bool = False,
        clip_l_only: bool = False,
        clip: Any = None,
    ) -> io.NodeOutput:
        check_perceptions(perception)
        check_conditioning(conditioning)
        check_choice("faces", faces, FACES)
        name = checkpoint if checkpoint_name is None else checkpoint_name
        projection = checkpoints.opened(name)
        if len(perception) == 0:
            return io.NodeOutput(conditioning, ui=host.note("no face: the conditioning passes unchanged"))
        vectors, neutral = checkpoints.projected(projection, perception)
        steered: list[list[Any]] = []
        parts = choose(torch.cat([vectors, neutral], dim=1), perception, faces)
        for rows, seen in parts:
            own, unmoved = rows.chunk(2, dim=1)
            steered += inject(
                conditioning,
                own,
                unmoved,
                space=projection.space,
                mode=mode,
                strength=strength,
                start_percent=start_percent,
                end_percent=end_percent,
                normalise=normalise,
                seen=seen,
                clip_l_only=clip_l_only,
            )
        acting = torch.cat([rows[seen] for rows, seen in parts])
        own, unmoved = acting.chunk(2, dim=1)
        lines = [f"⚠ {text}" for text in warnings(projection, perception, clips.fingerprint_for(projection, clip))]
        lines.append(f"{name}, trained with {projection.metadata.encoder}")
        length, moved, typical = lengths(projection, own, unmoved, conditioning)
        added = abs(strength) * (moved if mode == "steer" else length)
        effect = "adds a vector of length" if mode == "steer" else "brings in a vector of length"
        acts = f"{faces} of {count(len(perception), 'face')}" + (" (mean lengths)" if len(own) > 1 else "")
        lines.append(
            f"{acts}: {effect} {added:.1f} to tokens of length {typical:.1f}" + " before normalising" * normalise
        )
        for prompts in nearest(projection, own[:SHOWN_FACES], SHOWN_PROMPTS):
            lines += ["near to " + ", ".join(f"“{text}” {value:.2f}" for text, value in prompts)] if prompts else []
        return io.NodeOutput(steered, ui=host.note("\n".join(lines)))


def checkpoint_input() -> io.Combo.Input:
    """The drop-down of projection checkpoints."""
    return io.Combo.Input(
        "checkpoint",
        options=list(checkpoints.listed()) or [checkpoints.NONE_YET],
        tooltip="A trained projection, from the pack's projection/checkpoints/ or ComfyUI's models/perception_clip/. A "
        "new or retrained file is used without a restart (press R to refresh the list).",
    )


def checkpoint_name_input() -> io.String.Input:
    """The link that counts instead of the drop-down."""
    return io.String.Input(
        "checkpoint_name",
        optional=True,
        force_input=True,
        tooltip="Link the checkpoint output of Train Projection or Starter Projection: what they have made is used, "
        "and checkpoint above is not.",
    )


def clip_input() -> io.Clip.Input:
    return io.Clip.Input(
        "clip",
        optional=True,
        tooltip="Link the CLIP that encoded the prompt, if you like: the node then says whether the checkpoint was "
        "trained with another one.",
    )
