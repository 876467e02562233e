"""Nodes for the tests only: they make what no node of ComfyUI makes, and write down what none shows.

Copied into the test host's custom_nodes.
"""

from __future__ import annotations

import gc
import json
import time
from pathlib import Path
from typing import Any, ClassVar

import folder_paths
import numpy as np
import torch
from comfy import model_management, sd1_clip, sdxl_clip
from comfy.sd import CLIP
from comfy.supported_models_base import ClipTarget
from comfy_api.latest import ComfyExtension, io

import nodes


class Pictures(io.ComfyNode):
    """IMAGE of a given shape and value; the value may be nan or inf."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_Pictures",
            inputs=[
                io.Int.Input("count", default=1, min=0),
                io.Int.Input("size", default=64),
                io.Int.Input("channels", default=3),
                io.String.Input("value", default="0.5"),
            ],
            outputs=[io.Image.Output()],
        )

    @classmethod
    def execute(cls, count: int, size: int, channels: int, value: str) -> io.NodeOutput:
        return io.NodeOutput(torch.full((count, size, size, channels), float(value)))


class Conditioning(io.ComfyNode):
    """CONDITIONING of random tokens, (1, 77·blocks, width)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_Conditioning",
            inputs=[io.Int.Input("width", default=768), io.Int.Input("blocks", default=1)],
            outputs=[io.Conditioning.Output()],
        )

    @classmethod
    def execute(cls, width: int, blocks: int) -> io.NodeOutput:
        tokens = torch.randn(1, 77 * blocks, width, generator=torch.Generator().manual_seed(0))
        return io.NodeOutput([[tokens, {"pooled_output": tokens[:, 0, :1280]}]])


class SaveConditioning(io.ComfyNode):
    """Writes a CONDITIONING to output/<name>.pt."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_SaveConditioning",
            inputs=[io.Conditioning.Input("conditioning"), io.String.Input("name")],
            outputs=[],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, conditioning: list, name: str) -> io.NodeOutput:
        path = Path(folder_paths.get_output_directory(), f"{name}.pt")
        torch.save([[tokens.clone(), options] for tokens, options in conditioning], path)
        return io.NodeOutput(ui={"text": [str(path)]})


class CountingClip(io.ComfyNode):
    """A CLIP that adds a line to output/<name>.txt for every prompt that it encodes."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_CountingClip",
            inputs=[io.Clip.Input("clip"), io.String.Input("name")],
            outputs=[io.Clip.Output()],
        )

    @classmethod
    def execute(cls, clip: Any, name: str) -> io.NodeOutput:
        counting, path = clip.clone(), Path(folder_paths.get_output_directory(), f"{name}.txt")
        encode = counting.encode_from_tokens_scheduled

        def counted(tokens: Any, *arguments: Any, **options: Any) -> Any:
            with path.open("a") as file:
                file.write("encoded\n")
            return encode(tokens, *arguments, **options)

        counting.encode_from_tokens_scheduled = counted
        return io.NodeOutput(counting)


class FaceLandmarks(io.ComfyNode):
    """FACE_LANDMARKS, in the form in which ComfyUI 0.23 and newer has them, of perceived faces."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_FaceLandmarks",
            inputs=[io.Custom("PERCEPTION").Input("perception"), io.Int.Input("points", default=478)],
            outputs=[io.Custom("FACE_LANDMARKS").Output()],
        )

    @classmethod
    def execute(cls, perception: Any, points: int) -> io.NodeOutput:
        height, width = perception.image_sizes[0].tolist()
        frames = [[cls.face(face, height, width, points) for face in faces] for faces in perception.by_frame()]
        return io.NodeOutput({"frames": frames, "image_size": (height, width), "connection_sets": {}})

    @staticmethod
    def face(face: Any, height: int, width: int, points: int) -> dict[str, Any]:
        """Its crop is upright and twice as wide as the face."""
        pixels = (face.landmarks * torch.tensor([width, height, width])).numpy()[:points]
        left, top, right, bottom = face.box
        scale = 192 / (2 * (right - left))
        middle = np.array([(left + right) / 2, (top + bottom) / 2, 0], dtype=np.float32)
        return {
            "bbox_xyxy": np.array(face.box, dtype=np.float32),
            "blendshapes": {},
            "landmarks_xy": pixels[:, :2],
            "landmarks_3d": (pixels - middle) * scale + np.array([96, 96, 0], dtype=np.float32),
            "presence": 0.99,
            "score": 0.75,
        }


class OneFace(io.ComfyNode):
    """PERCEPTION of one of the faces alone."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        perception = io.Custom("PERCEPTION")
        return io.Schema(
            node_id="Probe_OneFace",
            inputs=[perception.Input("perception"), io.Int.Input("index")],
            outputs=[perception.Output()],
        )

    @classmethod
    def execute(cls, perception: Any, index: int) -> io.NodeOutput:
        return io.NodeOutput(perception.select([index]))


class CountCalls(io.ComfyNode):
    """The model again; how many rows each call of its UNet has is what Calls tells."""

    rows: ClassVar[list[int]] = []

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_CountCalls",
            inputs=[io.Model.Input("model")],
            outputs=[io.Model.Output()],
            not_idempotent=True,
        )

    @classmethod
    def execute(cls, model: Any) -> io.NodeOutput:
        counted = model.clone()

        def call(apply: Any, given: dict[str, Any]) -> torch.Tensor:
            cls.rows.append(len(given["input"]))
            return apply(given["input"], given["timestep"], **given["c"])

        counted.set_model_unet_function_wrapper(call)
        return io.NodeOutput(counted)


class Calls(io.ComfyNode):
    """What CountCalls has counted until there is a latent, and since the last time."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_Calls",
            inputs=[io.Latent.Input("latent")],
            outputs=[],
            is_output_node=True,
            not_idempotent=True,
        )

    @classmethod
    def execute(cls, latent: Any) -> io.NodeOutput:
        rows = [CountCalls.rows.pop(0) for _ in list(CountCalls.rows)]
        return io.NodeOutput(ui={"text": [str(rows)]})


class TimeProjection(io.ComfyNode):
    """How long Perception→CLIP Projection and ComfyUI's ConditioningAverage take when all is loaded, called in turn:
    milliseconds, JSON, a list for each."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_TimeProjection",
            inputs=[
                io.Custom("PERCEPTION").Input("perception"),
                io.Conditioning.Input("conditioning"),
                io.String.Input("checkpoint"),
                io.String.Input("mode"),
                io.String.Input("faces"),
                io.Int.Input("rounds", default=30),
            ],
            outputs=[],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, rounds: int, **inputs: Any) -> io.NodeOutput:
        node = nodes.NODE_CLASS_MAPPINGS["PerceptionClip_Projection"]
        settings = {"strength": 1.0, "start_percent": 0.0, "end_percent": 1.0}
        average = nodes.NODE_CLASS_MAPPINGS["ConditioningAverage"]()
        conditioning = inputs["conditioning"]
        taken: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            started = time.perf_counter()
            node.execute(**inputs, **settings)
            between = time.perf_counter()
            average.addWeighted(conditioning, conditioning, 0.5)
            ended = time.perf_counter()
            taken[0].append(1000 * (between - started))
            taken[1].append(1000 * (ended - between))
        return io.NodeOutput(ui={"text": [json.dumps(taken)]})


class CountTextEncoders(io.ComfyNode):
    """How many CLIP text models are in memory."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_CountTextEncoders",
            inputs=[io.Conditioning.Input("conditioning")],
            outputs=[],
            is_output_node=True,
            not_idempotent=True,
        )

    @classmethod
    def execute(cls, conditioning: Any) -> io.NodeOutput:
        gc.collect()
        count = sum(isinstance(thing, sd1_clip.SDClipModel) for thing in gc.get_objects())
        return io.NodeOutput(ui={"text": [str(count)]})


class LoadedModels(io.ComfyNode):
    """The models that ComfyUI's memory management holds on its device, by class."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_LoadedModels",
            inputs=[io.AnyType.Input("after", optional=True)],
            outputs=[],
            is_output_node=True,
            not_idempotent=True,
        )

    @classmethod
    def execute(cls, after: Any = None) -> io.NodeOutput:
        held = [type(loaded.model.model).__name__ for loaded in model_management.current_loaded_models]
        return io.NodeOutput(ui={"text": [json.dumps(held)]})


class SmallClip(io.ComfyNode):
    """A CLIP for Stable Diffusion 1.5 or XL, as wide as real ones, but with three layers and random weights.

    CLIP-L is always the same, CLIP-G (of XL) another for each seed.
    """

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="Probe_SmallClip",
            inputs=[io.Combo.Input("family", options=["sd15", "sdxl"]), io.Int.Input("seed", default=0)],
            outputs=[io.Clip.Output()],
        )

    @classmethod
    def execute(cls, family: str, seed: int) -> io.NodeOutput:
        kinds = {
            "sd15": (sd1_clip.SD1Tokenizer, sd1_clip.SD1ClipModel),
            "sdxl": (sdxl_clip.SDXLTokenizer, sdxl_clip.SDXLClipModel),
        }
        few = {"num_hidden_layers": 3}
        clip = CLIP(ClipTarget(*kinds[family]), model_options={"clip_l_model_config": few, "clip_g_model_config": few})
        model = clip.cond_stage_model
        draw(model.clip_l, 0)
        if family == "sdxl":
            draw(model.clip_g, 1 + seed)
        return io.NodeOutput(clip)


def draw(model: torch.nn.Module, seed: int) -> None:
    """Give a model random weights."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if weight.dim() == 2:
            weight.data.normal_(0, weight.shape[1] ** -0.5, generator=generator)
        else:
            weight.data.fill_(float("norm" in name and name.endswith("weight")))


class ProbeExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [
            Pictures,
            Conditioning,
            SaveConditioning,
            CountingClip,
            FaceLandmarks,
            OneFace,
            CountCalls,
            Calls,
            TimeProjection,
            CountTextEncoders,
            LoadedModels,
            SmallClip,
        ]


async def comfy_entrypoint() -> ProbeExtension:
    return ProbeExtension()
