"""The Sweep Chart node: what each strength of a sweep did, and which strength to use."""

from __future__ import annotations

from comfy_api.latest import io
from PIL import Image
from torch import Tensor

from ...common.errors import InputError
from ...common.words import counted
from ...perception.comparison.sweep import measure_sweep, parse, sweep_table
from ...perception.drawing.sweep_chart import sweep_chart
from ...perception.pictures import to_pictures
from ...perception.vector import Perceptions
from ..support import host
from ..support.checks import check_image, check_perceptions
from ..support.schema import PERCEPTION, aliases


class SweepChart(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Shows a sweep's pictures with the curve of gain over strength."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_SweepChart",
            display_name="Sweep Chart",
            category="Perception CLIP/measure",
            description=(
                "Measures the pictures of Strength Sweep: shows them in a row with the curve of gain over strength, "
                "and outputs the strength to use."
            ),
            inputs=[
                io.Image.Input("image", tooltip="The pictures of the sweep, one for each strength."),
                PERCEPTION.Input("target", tooltip="The face that steered the pictures, from Face Perception."),
                PERCEPTION.Input("result", tooltip="The faces in these pictures, from another Face Perception."),
                io.String.Input(
                    "strengths", default="0, 0.5, 1", tooltip="The strengths, as Strength Sweep outputs them."
                ),
            ],
            outputs=[
                io.Float.Output(
                    "strength",
                    display_name="strength",
                    tooltip="The recommended strength: where the gain reaches 1, or else that of the highest gain "
                    "before it falls or the face is lost. 0 if no strength has an effect.",
                ),
                io.Float.Output(
                    "gains",
                    display_name="gains",
                    is_output_list=True,
                    tooltip="The gain of every picture, −1 to 2, as a list: the next node runs once for each.",
                ),
                io.String.Output("table", display_name="table", tooltip="The numbers as a Markdown table."),
                io.Image.Output("chart", display_name="chart", tooltip="The pictures in a row, and the curves."),
            ],
            is_output_node=True,  # so that it shows its chart with nothing behind it
            **aliases("find strength", "best strength", "gain curve", "calibrate", "plot strengths"),
        )

    @classmethod
    def execute(cls, image: Tensor, target: Perceptions, result: Perceptions, strengths: str) -> io.NodeOutput:
        check_image(image)
        check_perceptions(target, "target")
        check_perceptions(result, "result")
        numbers = parse(strengths)
        if len(image) != len(numbers):
            raise InputError(
                f"image has {counted(len(image), 'picture')}, but there are {len(numbers)} strengths; connect the "
                "strengths output of the Strength Sweep that made these pictures"
            )
        sweep = measure_sweep(target, result, numbers, host.expression_reader())
        pictures = [Image.fromarray(picture.numpy()) for picture in to_pictures(image)]
        chart = host.as_image(sweep_chart(sweep, pictures))
        text = sweep_table(sweep)
        lines = [text.splitlines()[0], *(f"⚠ {note}" for note in sweep.comparison.notes)]
        ui = {**host.note(text, "\n".join(lines)), **host.preview(chart)}
        return io.NodeOutput(sweep.recommended, list(sweep.comparison.gains), text, chart, ui=ui)
