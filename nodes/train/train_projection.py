"""The Train Projection node: trains and evaluates a checkpoint on a dataset."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...training.learning.settings import SIZES, Settings
from ..support import checkpoints, host
from ..support.checks import check_choice
from ..support.datasets import dataset_input, file_of, path_input
from ..support.schema import advanced, aliases

NO_INIT = "none"
LARGEST_SEED = 2**32 - 1


class TrainProjection(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Trains a projection on a dataset and evaluates it on people or clips that it has not seen."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_TrainProjection",
            display_name="Train Projection",
            category="Perception CLIP/train",
            description=(
                "Trains a projection on a dataset from Dataset Writer, evaluates it on held-out people or clips "
                "against simple baselines, and reports whether it is ready to use. The checkpoint is saved in "
                "ComfyUI's models/perception_clip/, where Perception→CLIP Projection finds it. Shows the learning "
                "curves while it runs; canceling leaves nothing behind."
            ),
            inputs=[
                dataset_input("train on"),
                io.Combo.Input(
                    "size",
                    options=list(SIZES),
                    default="base",
                    tooltip="Size of the network. base suits hundreds to hundreds of thousands of samples; small "
                    "trains faster; large may be better for very large datasets.",
                ),
                io.Int.Input(
                    "epochs",
                    default=100,
                    min=1,
                    max=10_000,
                    tooltip="Maximum number of epochs, 1 to 10,000; training stops early after 20 epochs without "
                    "improvement.",
                ),
                *checkpoint_inputs("best_model"),
                io.Combo.Input(
                    "init",
                    options=[NO_INIT, *checkpoints.listed()],
                    default=NO_INIT,
                    optional=True,
                    tooltip="A checkpoint to initialize from, such as one from Starter Projection. Its size is kept, "
                    "and the verdict reports what this dataset added. none: train from scratch.",
                ),
                path_input("train on"),
                advanced(
                    io.Float.Input(
                        "val_split",
                        default=0.2,
                        min=0.05,
                        max=0.5,
                        step=0.05,
                        optional=True,
                        tooltip="Share of the people or clips to hold out, 0.05 to 0.5: one half decides when to stop, "
                        "the other half is used to evaluate the result.",
                    )
                ),
            ],
            outputs=checkpoint_outputs(),
            is_output_node=True,
            **aliases("train face", "training", "fine-tune projection"),
        )

    @classmethod
    def validate_inputs(cls, dataset: str, init: str = NO_INIT) -> bool:
        """Accept any names: `execute` checks them, and its errors have a remedy, unlike ComfyUI's "not in list"."""
        return True

    @classmethod
    def fingerprint_inputs(
        cls, dataset: str | None, name: str | None = None, init: str | None = NO_INIT, **_: Any
    ) -> str:
        """Return a text that changes with the dataset and `init`, and if something else changes the checkpoint."""
        state = f"{host.dataset_state(dataset or '')} {checkpoints.external_changes(name or '')}"
        return state if init == NO_INIT else f"{state} {checkpoints.state(init or '')}"

    @classmethod
    def execute(
        cls,
        dataset: str,
        size: str,
        epochs: int,
        name: str,
        seed: int,
        init: str = NO_INIT,
        path: str | None = None,
        val_split: float = 0.2,
    ) -> io.NodeOutput:
        from ...training.dataset.opening import open_for_training  # slow imports, so not when ComfyUI starts
        from ..support.training import outcome, train_to

        check_choice("size", size, SIZES)
        target, file = checkpoints.new_path(name), file_of(dataset, path)
        with host.training() as device:
            start = None if init == NO_INIT else checkpoints.load_trainable(init)
            samples = open_for_training(file)
            settings = Settings(
                epochs=epochs, size=size, seed=seed, device=device, val_split=val_split, space=samples.space
            )
            fitted = train_to(target, samples, settings, init=start)
        return outcome(fitted)


def checkpoint_inputs(default: str) -> list[Any]:
    """Return the inputs for the checkpoint's name and the random seed of a node that trains."""
    return [
        io.String.Input(
            "name",
            default=default,
            tooltip="Name of the checkpoint, up to 60 letters, digits, spaces, dots, dashes and underscores. An "
            "existing checkpoint of that name is replaced.",
        ),
        io.Int.Input(
            "seed",
            default=0,
            min=0,
            max=LARGEST_SEED,
            control_after_generate=False,  # otherwise it would change at each run, and train again
            tooltip="Random seed, 0 to 2³² − 1; the same seed and data give the same checkpoint.",
        ),
    ]


def checkpoint_outputs() -> list[Any]:
    """Return the outputs of a node that trains; `support.training.reported` fills them."""
    return [
        io.String.Output(
            "checkpoint",
            display_name="checkpoint",
            tooltip="The checkpoint's name; connect it to checkpoint_name of Perception→CLIP Projection.",
        ),
        io.Image.Output(
            "report",
            display_name="report",
            tooltip="The verdict, the projection compared with the baselines, and the learning curves.",
        ),
        io.String.Output("text", display_name="text", tooltip="The verdict and all numbers."),
    ]
