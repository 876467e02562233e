"""The Strength Sweep node: one face at several strengths, as the rows of one batch."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...perception.comparison.sweep import even_strengths, strengths_text
from ...perception.vector import Perceptions
from ...projection.conditioning import inject
from ...projection.sweeping import copies, rows_of_strengths
from ...projection.where import GROUPS, SUBJECT, WHERE
from ..support import checkpoints, host
from ..support.checks import check_choice, check_latent, check_perceptions
from ..support.schema import PERCEPTION, aliases
from ..support.steering import (
    UsesCheckpoint,
    checkpoint_input,
    checkpoint_name_input,
    encode,
    placed,
    prompt_inputs,
    range_inputs,
    subject_inputs,
    unchanged,
)

MOST = 25  # pictures


class StrengthSweep(UsesCheckpoint):
    """Encodes a prompt with a face at several strengths, so that one run makes the whole row of pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_StrengthSweep",
            display_name="Strength Sweep",
            category="Perception CLIP/steer",
            description=(
                "Encodes a prompt with one face at several strengths, like CLIP Text Encode (Face), for a batch of "
                "pictures with the same noise: one run shows what the strength does. Sweep Chart measures the pictures."
            ),
            inputs=[
                *prompt_inputs(),
                PERCEPTION.Input("perception", tooltip="The face from Face Perception; the first of several."),
                io.Latent.Input("latent", tooltip="The latent of one picture, such as from Empty Latent Image."),
                checkpoint_input(),
                *subject_inputs(),
                io.Float.Input(
                    "first_strength",
                    default=0.0,
                    min=-2.0,
                    max=3.0,
                    step=0.05,
                    tooltip="The strength of the first picture, −2 to 3. Keep a picture at 0: it is the baseline that "
                    "the others are compared with.",
                ),
                io.Float.Input(
                    "last_strength",
                    default=2.0,
                    min=-2.0,
                    max=3.0,
                    step=0.05,
                    tooltip="The strength of the last picture, −2 to 3.",
                ),
                io.Int.Input(
                    "pictures",
                    default=5,
                    min=2,
                    max=MOST,
                    tooltip=f"How many pictures to make, 2 to {MOST}, at equal distances of strength.",
                ),
                *range_inputs(),
                checkpoint_name_input(),
            ],
            outputs=[
                io.Conditioning.Output(
                    "conditioning", display_name="conditioning", tooltip="The prompt with one row for each strength."
                ),
                io.Latent.Output(
                    "copies", display_name="latent", tooltip="One latent for each strength, all with the same noise."
                ),
                io.String.Output(
                    "strengths", display_name="strengths", tooltip="The strengths as text, for Sweep Chart."
                ),
            ],
            **aliases("compare strengths", "xy plot", "grid of strengths", "find strength", "calibrate"),
        )

    @classmethod
    def run(
        cls,
        text: str,
        clip: Any,
        perception: Perceptions,
        latent: dict[str, Any],
        checkpoint: str,
        subject: str,
        where: str,
        first_strength: float,
        last_strength: float,
        pictures: int,
        start_percent: float,
        end_percent: float,
    ) -> io.NodeOutput:
        check_perceptions(perception)
        check_latent(latent)
        check_choice("where", where, WHERE)
        strengths = even_strengths(first_strength, last_strength, pictures)
        projection = checkpoints.load(checkpoint)
        conditioning, prompt = encode(clip, text, perception, subject, where)
        shown, batch = strengths_text(strengths), copies(latent, pictures)
        if not len(perception):
            note = host.note("no face: all pictures get the prompt unchanged")
            return io.NodeOutput(unchanged(conditioning), batch, shown, ui=note)
        face = perception.select([0])
        vectors, neutral = checkpoints.project(projection, face)
        how, problems = placed(projection, face, vectors, conditioning, clip, where, prompt)
        versions = [inject(conditioning, vectors, neutral, strength=strength, **how) for strength in strengths]
        rows = rows_of_strengths(conditioning, versions, start_percent, end_percent)
        lines = [*problems, f"strengths {shown}"]
        if prompt is not None and SUBJECT in GROUPS[how["where"]]:
            lines.append(f"acts on the subject “{', '.join(prompt.subject)}”")
        return io.NodeOutput(rows, batch, shown, ui=host.note("\n".join(lines)))
