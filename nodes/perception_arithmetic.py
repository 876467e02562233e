"""The difference of two faces, added to a third."""

from __future__ import annotations

from comfy_api.latest import io

from ..perception.editing.arithmetic import add_difference
from ..perception.vector import Perceptions
from .support import host
from .support.checks import check_perceptions
from .support.schema import PERCEPTION, aliases, count, strongest

ONE_OR_ALL = "A single one, which then serves all of a, or as many as in a, paired in their order."


class PerceptionArithmetic(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """A + strength × (B − C), on faces."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_PerceptionArithmetic",
            display_name="Perception Arithmetic",
            category="Perception CLIP",
            description=(
                "a + strength × (b − c): gives faces what b has and c has not. With one person smiling in b and not "
                "in c, everyone in a smiles like that person. Pose and place of a stay."
            ),
            inputs=[
                PERCEPTION.Input("a", tooltip="The faces that are changed."),
                PERCEPTION.Input("b", tooltip=f"The face that has what is added. {ONE_OR_ALL}"),
                PERCEPTION.Input("c", tooltip=f"The face that has it not, best of the same person as b. {ONE_OR_ALL}"),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-3.0,
                    max=3.0,
                    step=0.05,
                    tooltip="How much of the difference is added, −3 to 3, without unit: 0 leaves the faces as they "
                    "are, 1 adds all of it, more exaggerates, less than 0 takes it away.",
                ),
            ],
            outputs=[PERCEPTION.Output("sum", display_name="perception", tooltip="The faces of a, changed.")],
            **aliases("add expression", "transfer expression", "difference of faces"),
        )

    @classmethod
    def execute(cls, a: Perceptions, b: Perceptions, c: Perceptions, strength: float) -> io.NodeOutput:
        faces = {"a": a, "b": b, "c": c}
        for name, perceptions in faces.items():
            check_perceptions(perceptions, name)
        missing = [name for name, perceptions in faces.items() if len(perceptions) == 0]
        if missing:
            return io.NodeOutput(a, ui=host.note(f"no face in {' and '.join(missing)}: nothing was added"))
        changed = add_difference(a, b, c, strength, host.expression_model())
        text = f"{count(len(a), 'face')}; the first was {strongest(a)} and is {strongest(changed)}"
        return io.NodeOutput(changed, ui=host.note(text))
