"""The Compare Expressions node: how far a picture's face has the expression of another face."""

from __future__ import annotations

from comfy_api.latest import io

from ...perception.comparison.compare import compare
from ...perception.comparison.table import comparison_table
from ...perception.drawing.comparison_picture import comparison_picture
from ...perception.vector import Perceptions
from ..support import host
from ..support.checks import check_perceptions
from ..support.schema import PERCEPTION, aliases


class CompareExpressions(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Compares the expression of generated faces with the one that steered them."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_CompareExpressions",
            display_name="Compare Expressions",
            category="Perception CLIP/measure",
            description=(
                "Measures whether a generated face has the expression that steered it. Who the person is, where the "
                "face is and how the head is turned do not count."
            ),
            inputs=[
                PERCEPTION.Input("target", tooltip="The face whose expression was wanted, from Face Perception."),
                PERCEPTION.Input(
                    "result",
                    tooltip="The generated picture's face: connect the picture to another Face Perception. Of several "
                    "faces in a picture, the first counts.",
                ),
                PERCEPTION.Input(
                    "baseline",
                    optional=True,
                    tooltip="Optional: the face of the picture with the same seed at strength 0, where the gain starts "
                    "at 0. Without it, the gain starts at the average neutral face.",
                ),
            ],
            outputs=[
                io.Float.Output(
                    "match",
                    display_name="match",
                    tooltip="How alike the expressions are, 0 to 1; 1 is the same. The mean of all pictures.",
                ),
                io.Float.Output(
                    "gain",
                    display_name="gain",
                    tooltip="How much of the way from baseline to target the result has gone, −1 to 2: 0 is the "
                    "baseline, 1 the target; negative values lead away from it. The mean of all pictures.",
                ),
                io.Float.Output(
                    "matches",
                    display_name="matches",
                    is_output_list=True,
                    tooltip="The match of every picture, as a list: the next node runs once for each.",
                ),
                io.Float.Output(
                    "gains",
                    display_name="gains",
                    is_output_list=True,
                    tooltip="The gain of every picture, as a list: the next node runs once for each.",
                ),
                io.String.Output(
                    "table", display_name="table", tooltip="Match, gain, emotions and actions as a Markdown table."
                ),
                io.Image.Output(
                    "picture", display_name="picture", tooltip="The faces side by side, with emotions and actions."
                ),
            ],
            is_output_node=True,  # so that it shows its picture with nothing behind it
            **aliases("similarity", "compare faces", "evaluate", "expression score", "did it work", "closed loop"),
        )

    @classmethod
    def execute(cls, target: Perceptions, result: Perceptions, baseline: Perceptions | None = None) -> io.NodeOutput:
        check_perceptions(target, "target")
        check_perceptions(result, "result")
        if baseline is not None:
            check_perceptions(baseline, "baseline")
        comparison = compare(target, result, baseline, host.expression_reader())
        picture = host.as_image(comparison_picture(comparison, target, result, baseline))
        text = comparison_table(comparison)
        shown, *_ = text.split("\n\n")
        return io.NodeOutput(
            comparison.match,
            comparison.gain,
            list(comparison.matches) or [0.0],
            list(comparison.gains) or [0.0],
            text,
            picture,
            ui={**host.note(text, shown), **host.preview(picture)},
        )
