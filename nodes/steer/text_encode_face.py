"""The CLIP Text Encode (Face) node: a prompt's text and perceptions to CONDITIONING."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...perception.vector import Perceptions
from ...projection.where import WHERE
from ..support.checks import check_choice, check_perceptions
from ..support.schema import PERCEPTION, aliases
from ..support.steering import (
    STEERED_FACES,
    UsesCheckpoint,
    amount_inputs,
    boxes_input,
    checkpoint_input,
    checkpoint_name_input,
    encode,
    prompt_inputs,
    steer,
    subject_inputs,
)


class TextEncodeFace(UsesCheckpoint):
    """Encodes a prompt and applies projected faces to its subject."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_TextEncode",
            display_name="CLIP Text Encode (Face)",
            category="Perception CLIP/steer",
            description=(
                "Encodes a prompt like CLIP Text Encode and gives its person the expression of a perceived face. "
                "It knows the words of the prompt, so the face acts on the subject instead of the whole image. "
                "Without a face, the prompt is encoded as usual."
            ),
            inputs=[
                *prompt_inputs(),
                PERCEPTION.Input("perception", tooltip="Faces from Face Perception."),
                checkpoint_input(),
                *subject_inputs(),
                *amount_inputs(),
                checkpoint_name_input(),
                boxes_input(),
            ],
            outputs=[
                io.Conditioning.Output(
                    "conditioning", display_name="conditioning", tooltip="The prompt, steered by the face."
                )
            ],
            **aliases("prompt with a face", "face prompt", "expression prompt", "text encode", "steer"),
        )

    @classmethod
    def run(
        cls,
        text: str,
        clip: Any,
        perception: Perceptions,
        checkpoint: str,
        subject: str,
        where: str,
        strength: float,
        start_percent: float,
        end_percent: float,
        faces: str,
        boxes: str | None = None,
    ) -> io.NodeOutput:
        check_perceptions(perception)
        check_choice("faces", faces, STEERED_FACES)
        check_choice("where", where, WHERE)
        conditioning, prompt = encode(clip, text, perception, subject, where)
        return steer(
            perception,
            conditioning,
            checkpoint,
            clip,
            faces=faces,
            boxes=boxes,
            where=where,
            mode="steer",
            strength=strength,
            start_percent=start_percent,
            end_percent=end_percent,
            prompt=prompt,
        )
