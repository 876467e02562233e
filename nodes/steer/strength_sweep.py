"""The Strength Sweep node: one face at several strengths, as the rows of one batch."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...perception.comparison.sweep import as_text, even_strengths
from ...perception.vector import Perceptions
from ...projection.conditioning import inject
from ...projection.sweeping import copies, rows_of_strengths
from ...projection.where import GROUPS, SUBJECT, SUBJECT_AND_END, WHERE, usable
from ..support import checkpoints, clips, host
from ..support.checks import check_choice, check_latent, check_perceptions
from ..support.prompt_tokens import prompt_tokens
from ..support.schema import PERCEPTION, aliases
from ..support.steering import UsesCheckpoint, checkpoint_input, checkpoint_name_input

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
                io.String.Input(
                    "text",
                    multiline=True,
                    dynamic_prompts=True,
                    tooltip="The prompt, as in CLIP Text Encode (Face).",
                ),
                io.Clip.Input("clip", tooltip="The CLIP of a Stable Diffusion 1.5 or XL model."),
                PERCEPTION.Input("perception", tooltip="The face from Face Perception; the first of several."),
                io.Latent.Input("latent", tooltip="The latent of one picture, such as from Empty Latent Image."),
                checkpoint_input(),
                io.String.Input(
                    "subject",
                    default="",
                    tooltip="The words of the text that the face acts on, as in CLIP Text Encode (Face). If empty, "
                    "they are found by nouns for people.",
                ),
                io.Combo.Input(
                    "where",
                    options=list(WHERE),
                    default=SUBJECT_AND_END,
                    tooltip="Which tokens the face acts on, as in CLIP Text Encode (Face).",
                ),
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
    def execute(
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
        checkpoint_name: str | None = None,
    ) -> io.NodeOutput:
        check_perceptions(perception)
        check_latent(latent)
        check_choice("where", where, WHERE)
        strengths = even_strengths(first_strength, last_strength, pictures)
        projection = checkpoints.load(checkpoint if checkpoint_name is None else checkpoint_name)
        [conditioning] = clips.conditionings(clip, [text])
        shown, batch = as_text(strengths), copies(latent, pictures)
        if len(perception) == 0:
            unchanged = [[tokens, dict(options)] for tokens, options in conditioning]
            return io.NodeOutput(
                unchanged, batch, shown, ui=host.note("no face: all pictures get the prompt unchanged")
            )
        vectors, neutral = checkpoints.project(projection, perception.select([0]))
        prompt = None
        if clips.space_of(clip) is not None:
            prompt = prompt_tokens(clip, text, subject if SUBJECT in GROUPS[where] else "")
        roles = None if prompt is None else prompt.roles
        place, missing = usable(where, vectors, roles)
        versions = [
            inject(conditioning, vectors, neutral, space=projection.space, where=place, roles=roles, strength=strength)
            for strength in strengths
        ]
        rows = rows_of_strengths(conditioning, versions, start_percent, end_percent)
        note = f"strengths {shown}"
        if prompt is not None and SUBJECT in GROUPS[place]:
            note += f"\nacts on the subject “{', '.join(prompt.subject)}”"
        if missing:
            note += f"\n⚠ acts on the end of the text, not on {where}: {missing}"
        return io.NodeOutput(rows, batch, shown, ui=host.note(note))
