"""The Dataset Info node: the contents of a dataset as text, with the mean faces of its labels."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from ...perception.drawing.contact_sheet import contact_sheet
from ...perception.vector import PERCEPTION_DIM, pack
from ..support import host
from ..support.datasets import adding, dataset_input, file_of, path_input
from ..support.schema import aliases

MEAN_FACES = 12  # mean faces drawn, at most
SHEET_COLUMNS = 4


class DatasetInfo(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Describes a dataset created by Dataset Writer or `python -m training build`."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_DatasetInfo",
            display_name="Dataset Info",
            category="Perception CLIP/train",
            description=(
                "Shows what a dataset from Dataset Writer contains: sample counts per label, prompt and group, the "
                "models it was created with, what to check before training, and the mean face of each label. Does not "
                "change the dataset."
            ),
            inputs=[
                dataset_input("describe"),
                path_input("describe"),
            ],
            outputs=[
                io.Int.Output("samples", display_name="samples", tooltip="Number of samples in the dataset."),
                io.String.Output("text", display_name="text", tooltip="The full description of the dataset."),
                io.Image.Output(
                    "faces",
                    display_name="faces",
                    tooltip="The mean face of each label, or of each prompt if there are no labels; at most the "
                    f"{MEAN_FACES} with the most samples. Drawn from landmarks.",
                ),
            ],
            is_output_node=True,  # so that it shows its text even if nothing is connected to its outputs
            **aliases("dataset statistics", "mean face"),
        )

    @classmethod
    def validate_inputs(cls, dataset: str) -> bool:
        """Accept any name: `execute` checks it, and its error has a remedy, unlike ComfyUI's "not in list"."""
        return True

    @classmethod
    def fingerprint_inputs(cls, dataset: str | None, **_: Any) -> str:
        """Return a text that changes with the dataset, so that the node then runs again."""
        return host.dataset_state(dataset or "")

    @classmethod
    def execute(cls, dataset: str, path: str | None = None) -> io.NodeOutput:
        from ...training.dataset.opening import open_dataset  # slow imports, so not when ComfyUI starts
        from ...training.inspection.checks import inspect_scan
        from ...training.inspection.mean_faces import mean_faces
        from ...training.inspection.scan import scan_dataset
        from ...training.inspection.text import describe, one_line_summary

        file = file_of(dataset, path)
        with open_dataset(file) as rows:
            scan = scan_dataset(rows, adding(host.progress(len(rows))))
        inspection = inspect_scan(scan, file)
        text = describe(inspection)
        vectors, captions = torch.empty(0, PERCEPTION_DIM), []
        if inspection.samples:
            means = mean_faces(scan, MEAN_FACES)
            vectors = pack(torch.from_numpy(means.faces), torch.from_numpy(means.emotions))
            captions = [f"{name} ({number})" for name, number in zip(means.names, means.counts, strict=True)]
        sheet = contact_sheet(vectors, torch.ones(len(captions), 2), captions, SHEET_COLUMNS)[None] / 255
        # The verdict goes first, because the front end shows only about 14 lines before one has to scroll.
        message = host.note(f"summary: {one_line_summary(inspection)}\n\n{text}")
        return io.NodeOutput(inspection.samples, text, sheet, ui={**host.preview(sheet), **message})
