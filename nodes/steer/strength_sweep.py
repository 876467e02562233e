"""The Strength Sweep node: one face at several strengths, as the rows of one batch."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...perception.comparison.sweep import as_text, even_strengths
from ...perception.vector import Perceptions
from ...projection.conditioning import MODES, inject
from ...projection.sweeping import copies, rows_of_strengths
from ..support import checkpoints, host
from ..support.checks import check_conditioning, check_latent, check_perceptions
from ..support.schema import PERCEPTION, advanced, aliases
from ..support.steering import UsesCheckpoint, checkpoint_input, checkpoint_name_input

MOST = 25  # pictures


class StrengthSweep(UsesCheckpoint):
    """Applies a face to a prompt at several strengths, so that one run makes the whole row of pictures."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_StrengthSweep",
            display_name="Strength Sweep",
            category="Perception CLIP/steer",
            description=(
                "Applies one face to the prompt at several strengths, for a batch of pictures with the same noise: one "
                "run shows what the strength does. Sweep Chart measures the pictures."
            ),
            inputs=[
                PERCEPTION.Input("perception", tooltip="The face from Face Perception; the first of several."),
                io.Conditioning.Input("conditioning", tooltip="The prompt to apply the face to."),
                io.Latent.Input(
                    "latent",
                    tooltip="The latent of one picture, such as from Empty Latent Image.",
                ),
                checkpoint_input(),
                io.Combo.Input(
                    "mode",
                    options=list(MODES),
                    default=MODES[0],
                    tooltip="How the face is applied, as in Perception→CLIP Projection.",
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
                advanced(
                    io.Boolean.Input(
                        "match_norm",
                        default=False,
                        optional=True,
                        tooltip="Scale the face's vector to the length of the prompt's tokens, as in Perception→CLIP "
                        "Projection.",
                    )
                ),
                advanced(
                    io.Boolean.Input(
                        "clip_l_only",
                        default=False,
                        optional=True,
                        tooltip="Apply a Stable Diffusion 1.5 checkpoint to a Stable Diffusion XL prompt, as in "
                        "Perception→CLIP Projection.",
                    )
                ),
            ],
            outputs=[
                io.Conditioning.Output(
                    "steered", display_name="conditioning", tooltip="The prompt with one row for each strength."
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
        perception: Perceptions,
        conditioning: list[list[Any]],
        latent: dict[str, Any],
        checkpoint: str,
        mode: str,
        first_strength: float,
        last_strength: float,
        pictures: int,
        start_percent: float,
        end_percent: float,
        checkpoint_name: str | None = None,
        match_norm: bool = False,
        clip_l_only: bool = False,
    ) -> io.NodeOutput:
        check_perceptions(perception)
        check_conditioning(conditioning)
        check_latent(latent)
        strengths = even_strengths(first_strength, last_strength, pictures)
        projection = checkpoints.load(checkpoint if checkpoint_name is None else checkpoint_name)
        text, batch = as_text(strengths), copies(latent, pictures)
        if len(perception) == 0:
            note = "no face: all pictures get the prompt unchanged"
            return io.NodeOutput(conditioning, batch, text, ui=host.note(note))
        vectors, neutral = checkpoints.project(projection, perception.select([0]))

        def at(strength: float) -> list[list[Any]]:
            return inject(
                conditioning,
                vectors,
                neutral,
                space=projection.space,
                mode=mode,
                strength=strength,
                match_norm=match_norm,
                clip_l_only=clip_l_only,
            )

        rows = rows_of_strengths(conditioning, [at(strength) for strength in strengths], start_percent, end_percent)
        return io.NodeOutput(rows, batch, text, ui=host.note(f"strengths {text}"))
