"""The Inspect Projection node: shows where a checkpoint projects faces, as text and as a picture."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...common.words import counted
from ...perception.vector import Perceptions
from ...projection.insight import nearest, shifts, warnings
from ...projection.insight_picture import insight_picture
from ...projection.where import ALL
from ..support import checkpoints, clips, host
from ..support.checks import check_conditioning, check_perceptions
from ..support.schema import PERCEPTION, aliases, strongest
from ..support.steering import UsesCheckpoint, checkpoint_input, checkpoint_name_input, clip_input, effect

MOST_FACES = 8  # in the text and the picture; a video has thousands


class InspectProjection(UsesCheckpoint):
    """Shows the training prompts closest to projected faces, and warnings about the checkpoint."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_InspectProjection",
            display_name="Inspect Projection",
            category="Perception CLIP/measure",
            description=(
                "Shows where a checkpoint projects faces: the most similar training prompts, how far they move a "
                "prompt's tokens, and whether the checkpoint fits the face, the models and the CLIP."
            ),
            inputs=[
                PERCEPTION.Input("perception", tooltip="Faces from Face Perception."),
                checkpoint_input(),
                io.Int.Input(
                    "prompts",
                    default=8,
                    min=1,
                    max=30,
                    tooltip="How many of the most similar prompts to show, 1 to 30.",
                ),
                checkpoint_name_input(),
                io.Conditioning.Input(
                    "conditioning",
                    optional=True,
                    tooltip="Optional: a prompt, to show how far faces move its tokens at strength 1.",
                ),
                clip_input(),
            ],
            outputs=[
                io.String.Output("text", display_name="text", tooltip="Everything the node shows, as text."),
                io.Image.Output("picture", display_name="picture", tooltip="The same as an RGB picture with bars."),
            ],
            is_output_node=True,  # so that it shows its picture even if nothing is connected to its outputs
            **aliases("debug projection", "nearest prompts"),
        )

    @classmethod
    def run(
        cls,
        perception: Perceptions,
        checkpoint: str,
        prompts: int,
        conditioning: list[list[Any]] | None = None,
        clip: Any = None,
    ) -> io.NodeOutput:
        check_perceptions(perception)
        check_conditioning(conditioning or [])
        projection = checkpoints.load(checkpoint)
        title = f"{checkpoint}, for {projection.space.title}, trained with {projection.metadata.encoder}"
        notes, faces = ["no face"], []
        if len(perception):
            faces_shown = perception.select(range(min(len(perception), MOST_FACES)))
            projected, without = checkpoints.project(projection, faces_shown)
            tokens = projection.space.tokens
            length, moved = (
                float(some[:, :tokens].norm(dim=1).mean()) for some in (projected.end, projected.end - without.end)
            )
            notes = [f"⚠ {text}" for text in warnings(projection, faces_shown, clips.fingerprint_for(projection, clip))]
            notes.append(f"vector length {length:.1f}, distance from neutral {moved:.1f}")
            if conditioning:
                notes.append(effect(shifts(conditioning, projected, without, projection.space, ALL), "steer", 1.0))
            if len(faces_shown) < len(perception):
                notes.append(f"showing the first {len(faces_shown)} of {counted(len(perception), 'face')}")
            headings = [f"face {index}: {strongest(faces_shown.select([index]))}" for index in range(len(faces_shown))]
            faces = list(zip(headings, nearest(projection, projected.end, prompts), strict=True))
        picture = insight_picture(title, notes, faces)
        lines = [title, *notes]
        for heading, similar in faces:
            lines += ["", heading, *(f"{value:6.2f}  {text}" for text, value in similar)]
        text = "\n".join(lines)
        image = host.as_image(picture)
        return io.NodeOutput(text, image, ui={**host.note(text), **host.preview(image)})
