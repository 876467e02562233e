"""The Perception→CLIP Projection node: perceptions to CONDITIONING."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...perception.vector import Perceptions
from ...projection.conditioning import MODES
from ...projection.where import ALL, END, WHERE
from ..support.checks import check_choice, check_conditioning, check_perceptions
from ..support.schema import PERCEPTION, advanced, aliases
from ..support.steering import (
    STEERED_FACES,
    UsesCheckpoint,
    amount_inputs,
    boxes_input,
    checkpoint_input,
    checkpoint_name_input,
    clip_input,
    steer,
)

MODE_TOOLTIP = (
    "How the face is applied. steer: shifts tokens by strength × (face − neutral face). replace: moves tokens toward "
    "the face; at strength 1, only the face is left. append: keeps the prompt and adds a copy of it with the face in "
    "place of its tokens. blend: replace, only at the end of the text, whatever where says."
)
WHERE_TOOLTIP = (
    "Which tokens the face acts on. end: the end of the text and the padding after it, so the words stay. words: the "
    "words only. all: both, which shifts the whole image, background included. The subject needs the prompt's text: "
    "use CLIP Text Encode (Face)."
)


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
                *amount_inputs(),
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
                io.Combo.Input("where", options=list(WHERE), default=END, optional=True, tooltip=WHERE_TOOLTIP),
                boxes_input(),
            ],
            outputs=[
                io.Conditioning.Output(
                    "steered", display_name="conditioning", tooltip="The prompt, steered by the face."
                )
            ],
            **aliases("apply expression", "face to conditioning", "emotion conditioning", "steer"),
        )

    @classmethod
    def run(
        cls,
        perception: Perceptions,
        conditioning: list[list[Any]],
        checkpoint: str,
        mode: str,
        strength: float,
        start_percent: float,
        end_percent: float,
        faces: str,
        match_norm: bool = False,
        clip_l_only: bool = False,
        clip: Any = None,
        where: str = ALL,  # as in graphs saved before this widget existed
        boxes: str | None = None,
    ) -> io.NodeOutput:
        check_perceptions(perception)
        check_conditioning(conditioning)
        check_choice("faces", faces, STEERED_FACES)
        check_choice("where", where, WHERE)
        return steer(
            perception,
            conditioning,
            checkpoint,
            clip,
            faces=faces,
            boxes=boxes,
            where=END if mode == "blend" else where,
            mode=mode,
            strength=strength,
            start_percent=start_percent,
            end_percent=end_percent,
            match_norm=match_norm,
            clip_l_only=clip_l_only,
        )
