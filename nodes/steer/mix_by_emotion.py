"""The Mix by Emotion node: conditionings of any encoder, one for each emotion, blended by a face's probabilities."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...perception.vector import EMOTIONS, NEUTRAL, Perceptions
from ...projection.conditioning import Conditioning
from ...projection.mixing import mix
from ..support import host
from ..support.checks import check_conditioning, check_perceptions
from ..support.schema import PERCEPTION, aliases
from .blending import blend, blending_inputs

OTHERS = tuple(emotion for emotion in EMOTIONS if emotion != EMOTIONS[NEUTRAL])


class MixByEmotion(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Blends conditionings that other nodes encode, also those that see pictures, by a face's probabilities."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_MixByEmotion",
            display_name="Mix by Emotion",
            category="Perception CLIP/steer",
            description=(
                "Lets a face's emotions steer the image with any model and any encoder, also those that see pictures "
                "(Qwen-Image-Edit, Flux Kontext). Blends conditionings of your own, one for each emotion, weighted by "
                "the emotion probabilities."
            ),
            inputs=[
                PERCEPTION.Input("perception", tooltip="Faces from Face Perception."),
                io.Conditioning.Input("neutral", tooltip="The conditioning for a neutral face."),
                *(
                    io.Conditioning.Input(
                        emotion,
                        optional=True,
                        tooltip=f"The conditioning for {emotion}. Not connected: neutral is used for it.",
                    )
                    for emotion in OTHERS
                ),
                *blending_inputs("the neutral conditioning"),
            ],
            outputs=[
                io.Conditioning.Output("mixed", display_name="conditioning", tooltip="The blended conditionings."),
                io.String.Output("text", display_name="text", tooltip="The weights of the emotions."),
            ],
            **aliases(
                "emotion conditioning", "qwen image edit", "kontext", "blend conditioning", "conditioning average"
            ),
        )

    @classmethod
    def execute(
        cls,
        perception: Perceptions,
        neutral: Conditioning,
        temperature: float,
        top_k: int,
        strength: float,
        faces: str,
        **emotions: Any,
    ) -> io.NodeOutput:
        check_perceptions(perception)
        linked = {name: value for name, value in emotions.items() if value is not None} | {"neutral": neutral}
        for name, value in linked.items():
            check_conditioning(value, name)
        blended = blend(perception, faces, temperature, top_k, strength, among=linked)
        conditionings = [linked.get(emotion, neutral) for emotion in EMOTIONS]
        mixed = [entry for rows in blended.parts for entry in mix(conditionings, rows, strength, NEUTRAL)]
        text = blended.text if len(linked) > 1 else f"{blended.text}\nno emotion is connected: using neutral"
        return io.NodeOutput(mixed, text, ui=host.note(text))
