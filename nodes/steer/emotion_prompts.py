"""The Emotion Prompts node: perceptions to CONDITIONING without training, by blending a prompt for each emotion."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ...common.words import counted
from ...perception.vector import EMOTIONS, NEUTRAL, Perceptions
from ...projection.choice import FACE_CHOICES, choose
from ...projection.mixing import TEMPERATURES, mix, weights
from ..support import clips, host
from ..support.checks import check_choice, check_perceptions
from ..support.schema import PERCEPTION, aliases

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
LISTED_FACES = 20  # faces or pictures in the text


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
                io.Float.Input(
                    "temperature",
                    default=1.0,
                    min=TEMPERATURES[0],
                    max=TEMPERATURES[1],
                    step=0.05,
                    tooltip="How evenly the emotions are blended, 0.05 to 5, unitless: 1 uses the probabilities as "
                    "they are, lower values favor the strongest emotion, higher values even them out.",
                ),
                io.Int.Input(
                    "top_k",
                    default=len(EMOTIONS),
                    min=1,
                    max=len(EMOTIONS),
                    tooltip="How many of the seven emotions to blend, 1 to 7, the most probable first. 7 changes "
                    "smoothly from picture to picture; with fewer, emotions appear and disappear abruptly.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-2.0,
                    max=3.0,
                    step=0.05,
                    tooltip="How far to move from the neutral prompt, −2 to 3, unitless: 0 is neutral, 1 is the "
                    "blend, higher values exaggerate the expression, negative values push away from it.",
                ),
                io.Combo.Input(
                    "faces",
                    options=list(FACE_CHOICES),
                    default=FACE_CHOICES[0],
                    tooltip="Which faces to use when there are several. first: the first face of the first picture "
                    "that has one. mean: the average of all. each: all act together, as with Conditioning (Combine). "
                    "per frame: one row for each picture, from its first face, for a latent batch of the same length; "
                    "a picture without a face is neutral.",
                ),
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
        check_choice("faces", faces, FACE_CHOICES)
        no_face = torch.zeros(1, len(EMOTIONS)), torch.zeros(1, dtype=torch.bool)
        chosen = choose(perception.emotions, perception, faces) if len(perception) else [no_face]
        parts = [(shares(rows, seen, temperature, top_k), seen) for rows, seen in chosen]
        prompts = {emotion: prompt(base_prompt, words[emotion]) for emotion in EMOTIONS}
        encoded = clips.conditionings(clip, list(prompts.values()))
        mixed = [entry for rows, _ in parts for entry in mix(encoded, rows, strength, NEUTRAL)]
        blend = summary(parts, len(perception), faces, strength)
        listed = "\n".join(f"{emotion}: {text}" for emotion, text in prompts.items())
        return io.NodeOutput(mixed, f"{blend}\n\n{listed}", ui=host.note(blend))


def prompt(base: str, words: str) -> str:
    """Return the base prompt with an emotion's words in it."""
    if PLACEHOLDER in base:
        return base.replace(PLACEHOLDER, words)
    return ", ".join(part for part in (base.strip().rstrip(","), words.strip()) if part)


def shares(probabilities: Tensor, seen: Tensor, temperature: float, top_k: int) -> Tensor:
    """Return the weights (R, 7) of the emotions; a row without a face is neutral."""
    neutral = torch.zeros(len(EMOTIONS))
    neutral[NEUTRAL] = 1
    return weights(probabilities, temperature, top_k).where(seen[:, None], neutral)


def summary(parts: list[tuple[Tensor, Tensor]], face_count: int, faces: str, strength: float) -> str:
    """Describe the blend, with a line for each face or picture."""
    if not face_count:
        return "no face: using the neutral prompt"
    rows = [row for part, _ in parts for row in part]
    seen = [one for _, part in parts for one in part.tolist()]
    lines = [mixture(row) if one else "no face: using the neutral prompt" for row, one in zip(rows, seen, strict=True)]
    if faces in ("each", "per frame"):
        what = "face" if faces == "each" else "picture"
        lines = [f"{what} {index}: {line}" for index, line in enumerate(lines)]
    else:
        lines[0] = f"{faces} of {counted(face_count, 'face')}: {lines[0]}"
    more = [f"… and {len(lines) - LISTED_FACES} more"] if len(lines) > LISTED_FACES else []
    return "\n".join([*lines[:LISTED_FACES], *more, f"strength {strength:g}"])


def mixture(row: Tensor) -> str:
    """Return a line such as `happy 82%, surprise 11%, neutral 7%`, strongest first, without those that round to 0."""
    values, order = row.sort(descending=True)
    named = zip(order.tolist(), values.tolist(), strict=True)
    return ", ".join(f"{EMOTIONS[index]} {value:.0%}" for index, value in named if value >= 0.005)
