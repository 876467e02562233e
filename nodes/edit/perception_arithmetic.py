"""The Perception Arithmetic node: adds the difference between two faces to a third."""

from __future__ import annotations

from comfy_api.latest import io

from ...common.words import counted
from ...perception.editing.arithmetic import add_difference
from ...perception.vector import Perceptions
from ..support import host
from ..support.checks import check_perceptions
from ..support.schema import PERCEPTION, aliases, strongest

ONE_OR_ALL = "One face (applied to all of a) or exactly as many as in a, matched in order."


class PerceptionArithmetic(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Computes a + strength × (b − c) on faces."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_PerceptionArithmetic",
            display_name="Perception Arithmetic",
            category="Perception CLIP/edit",
            description=(
                "a + strength × (b − c): adds to the faces in a whatever distinguishes b from c. If a person smiles "
                "in b but not in c, everyone in a smiles like that person. The pose and position of a stay the same."
            ),
            inputs=[
                PERCEPTION.Input("a", tooltip="The faces to change."),
                PERCEPTION.Input("b", tooltip=f"The face with the expression to add. {ONE_OR_ALL}"),
                PERCEPTION.Input("c", tooltip=f"The face without it, ideally the same person as b. {ONE_OR_ALL}"),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-3.0,
                    max=3.0,
                    step=0.05,
                    tooltip="How much of the difference to add, −3 to 3, unitless: 0 leaves the faces unchanged, 1 "
                    "adds all of it, higher values exaggerate it, negative values subtract it.",
                ),
            ],
            outputs=[PERCEPTION.Output("sum", display_name="perception", tooltip="The changed faces.")],
            **aliases("add expression", "transfer expression", "difference of faces"),
        )

    @classmethod
    def execute(cls, a: Perceptions, b: Perceptions, c: Perceptions, strength: float) -> io.NodeOutput:
        faces = {"a": a, "b": b, "c": c}
        for name, perceptions in faces.items():
            check_perceptions(perceptions, name)
        missing = [name for name, perceptions in faces.items() if len(perceptions) == 0]
        if missing:
            return io.NodeOutput(a, ui=host.note(f"no face in {' and '.join(missing)}, so nothing was added"))
        changed = add_difference(a, b, c, strength, host.expression_model())
        text = f"{counted(len(a), 'face')}; the first was {strongest(a)} and is now {strongest(changed)}"
        return io.NodeOutput(changed, ui=host.note(text))
