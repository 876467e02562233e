"""Perceptions with a prompt, into a growing dataset."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..perception.vector import Perceptions
from ..training.store import Store, dataset_path
from . import host
from .checks import check_perceptions
from .face_perception import PERCEPTION, count


class DatasetWriter(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Appends every perceived face, with one prompt, to a dataset on disk."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_DatasetWriter",
            display_name="Dataset Writer",
            category="Perception CLIP",
            description=(
                "Adds every perceived face, together with a prompt that says what it expresses, to a dataset "
                "for training a projection. Each sample is kept once, however often the graph is queued. "
                "Datasets lie in ComfyUI's user/__perception_clip/datasets/, which is not served over HTTP."
            ),
            inputs=[
                PERCEPTION.Input("perception", tooltip="Faces from Face Perception; all of them are added."),
                io.Clip.Input("clip", tooltip="The CLIP of a Stable Diffusion 1.5 checkpoint."),
                io.String.Input(
                    "prompt",
                    multiline=True,
                    dynamic_prompts=True,
                    placeholder="a person laughing with an open mouth",
                    tooltip="What the faces express, in words, as you would prompt for it. Up to 75 tokens count.",
                ),
                io.String.Input(
                    "dataset",
                    default="my_faces",
                    tooltip="The dataset's name, up to 60 letters, digits, spaces, dots, dashes and underscores; "
                    "it is made when it does not exist yet.",
                ),
                io.String.Input(
                    "group",
                    default="",
                    optional=True,
                    tooltip="The person or clip that the faces are from; may be empty. Training judges itself on "
                    "groups that it has not seen.",
                ),
            ],
            outputs=[
                io.Int.Output("samples", display_name="samples", tooltip="How many samples the dataset holds."),
                io.String.Output("path", display_name="path", tooltip="The dataset's file."),
            ],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, **_: Any) -> float:
        """Never equal to itself, so every queued run writes; the dataset keeps each sample once anyway."""
        return float("nan")

    @classmethod
    def execute(cls, perception: Perceptions, clip: Any, prompt: str, dataset: str, group: str = "") -> io.NodeOutput:
        check_perceptions(perception)
        prompt = prompt.strip()
        if not prompt:
            raise ValueError("The prompt is empty: say what the face expresses, for example 'a sad old man'.")
        path = dataset_path(host.datasets_folder(), dataset)
        encoder = host.encoder(clip)
        with Store(path) as store:
            store.bind(encoder.identity, encoder.fingerprint, perception.landmarker, perception.emotion_model)
            embedding = store.embedding_of(prompt)
            if embedding is None:
                embedding = encoder.encode([prompt])[0]
            new = store.append(
                perception.vectors,
                perception.image_sizes,
                [prompt] * len(perception),
                embedding.expand(len(perception), -1),
                [group.strip()] * len(perception),
            )
            total = len(store)
        text = f"{count(total, 'sample')} ({new} new) in {path}"
        if len(perception) == 0:
            text = f"no face was perceived, nothing was added\n{text}"
        return io.NodeOutput(total, str(path), ui=host.note(text))
