"""The CLIP Text Encode (Face) node: a prompt's text and perceptions to CONDITIONING."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...perception.vector import Perceptions
from ...projection.choice import FACE_CHOICES
from ...projection.where import GROUPS, SUBJECT, SUBJECT_AND_END, WHERE
from ..support import clips
from ..support.checks import check_choice, check_perceptions
from ..support.prompt_tokens import prompt_tokens
from ..support.schema import PERCEPTION, aliases
from ..support.steering import UsesCheckpoint, amount_inputs, checkpoint_input, checkpoint_name_input, steer

WHERE_TOOLTIP = (
    "Which tokens the face acts on. subject and end: the words of the subject, so that the expression lands on the "
    "person, and the end of the text. subject: these words only. end: the end of the text and the padding after it, so "
    "all words stay. words: all words. all: every token, which shifts the whole image, background included. If the "
    "text has no subject or the checkpoint no vectors for it, the end of the text is used, and the node shows why."
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
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="The prompt. Weights such as (word:1.2), embedding:name and long texts work as in CLIP "
                    "Text Encode.",
                ),
                io.Clip.Input("clip", tooltip="The CLIP of a Stable Diffusion 1.5 or XL model."),
                PERCEPTION.Input("perception", tooltip="Faces from Face Perception."),
                checkpoint_input(),
                io.String.Input(
                    "subject",
                    default="",
                    tooltip="The words of the text that the face acts on, separated by commas, such as: old man, girl. "
                    "If empty, they are found by nouns for people, such as woman or king; if there are none, by face "
                    "or portrait. The node shows the words.",
                ),
                io.Combo.Input("where", options=list(WHERE), default=SUBJECT_AND_END, tooltip=WHERE_TOOLTIP),
                *amount_inputs(),
                checkpoint_name_input(),
            ],
            outputs=[
                io.Conditioning.Output(
                    "conditioning", display_name="conditioning", tooltip="The prompt, steered by the face."
                )
            ],
            **aliases("prompt with a face", "face prompt", "expression prompt", "text encode", "steer"),
        )

    @classmethod
    def execute(
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
        checkpoint_name: str | None = None,
    ) -> io.NodeOutput:
        check_perceptions(perception)
        check_choice("faces", faces, FACE_CHOICES)
        check_choice("where", where, WHERE)
        [conditioning] = clips.conditionings(clip, [text])
        prompt = None
        if len(perception) and clips.space_of(clip) is not None:
            prompt = prompt_tokens(clip, text, subject if SUBJECT in GROUPS[where] else "")
        return steer(
            perception,
            conditioning,
            checkpoint if checkpoint_name is None else checkpoint_name,
            clip,
            faces=faces,
            where=where,
            mode="steer",
            strength=strength,
            start_percent=start_percent,
            end_percent=end_percent,
            prompt=prompt,
        )
