"""The Emotion Prompts node: perceptions to CONDITIONING without training, by blending a prompt for each emotion."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...perception.vector import EMOTIONS, NEUTRAL, Perceptions
from ...projection.mixing import mix
from ..support import clips, host
from ..support.checks import check_perceptions
from ..support.schema import PERCEPTION, aliases
from .blending import blend, blending_inputs

PLACEHOLDER = "{emotion}"
# The emotion comes last: CLIP reads from left to right, so everything before it is the same in all seven prompts.
BASE = f"portrait photo of a person, looking at the camera, soft natural light, {PLACEHOLDER}"
# Facial muscle movements, in 12 CLIP tokens each, so that all seven prompts end at the same position.
WORDS = {
    "angry": "angry face, furious glare, lowered brows, clenched teeth",
    "disgust": "disgusted face, sick look, wrinkled nose, curled lips",
    "fear": "frightened face, terrified wide eyes, raised brows, tense lips",
    "happy": "happy face, joyful broad smile, laughing eyes, raised cheeks",
    "sad": "sad face, tearful eyes, unhappy look, downturned lips",
    "surprise": "surprised face, amazed wide eyes, raised brows, open mouth",
    "neutral": "neutral face, calm relaxed eyes, level brows, closed mouth",
}


class EmotionPrompts(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Encodes a prompt for each emotion and blends the conditionings by a face's probabilities."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_EmotionPrompts",
            display_name="Emotion Prompts",
            category="Perception CLIP/steer",
            description=(
                "Lets a face's emotions steer the image without a trained checkpoint, with any model: Stable "
                "Diffusion 1.5, XL and 3, Flux and others. Blends seven prompts, one for each emotion, weighted by the "
                "emotion probabilities."
            ),
            inputs=[
                PERCEPTION.Input("perception", tooltip="Faces from Face Perception."),
                io.Clip.Input("clip", tooltip="The CLIP or other text encoder of the model that you sample with."),
                io.String.Input(
                    "base_prompt",
                    default=BASE,
                    multiline=True,
                    dynamic_prompts=False,  # they would remove the braces of the placeholder
                    tooltip=f"The prompt around the emotion. {PLACEHOLDER} is replaced with an emotion's words from "
                    "below; without it, they are appended after a comma. Put it last, so that everything before it is "
                    "the same in all seven prompts.",
                ),
                *(
                    io.String.Input(emotion, default=words, tooltip=f"The words for {emotion} in the prompt.")
                    for emotion, words in WORDS.items()
                ),
                *blending_inputs("the neutral prompt"),
            ],
            outputs=[
                io.Conditioning.Output("mixed", display_name="conditioning", tooltip="The blended prompts."),
                io.String.Output("text", display_name="text", tooltip="The weights of the emotions and all prompts."),
            ],
            **aliases("expression without training", "emotion to prompt", "blend prompts"),
        )

    @classmethod
    def execute(
        cls,
        perception: Perceptions,
        clip: Any,
        base_prompt: str,
        temperature: float,
        top_k: int,
        strength: float,
        faces: str,
        **words: str,
    ) -> io.NodeOutput:
        check_perceptions(perception)
        blended = blend(perception, faces, temperature, top_k, strength)
        prompts = {emotion: prompt(base_prompt, words[emotion]) for emotion in EMOTIONS}
        encoded = clips.conditionings(clip, list(prompts.values()))
        tokens = [clips.token_parts(clip, text, one) for text, one in zip(prompts.values(), encoded, strict=True)]
        mixed = [entry for rows in blended.parts for entry in mix(encoded, rows, strength, NEUTRAL, tokens)]
        listed = "\n".join(f"{emotion}: {text}" for emotion, text in prompts.items())
        return io.NodeOutput(mixed, f"{blended.text}\n\n{listed}", ui=host.note(blended.text))


def prompt(base: str, words: str) -> str:
    """Return the base prompt with an emotion's words in it."""
    if PLACEHOLDER in base:
        return base.replace(PLACEHOLDER, words)
    return ", ".join(part for part in (base.strip().rstrip(","), words.strip()) if part)
