"""Nodes for the tests only: they make what no node of ComfyUI makes, and write down what none shows.

Copied into the test host's custom_nodes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import folder_paths
import numpy as np
import torch
from comfy_api.latest import ComfyExtension, io


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
        return io.NodeOutput([[tokens, {"pooled_output": tokens[:, 0]}]])


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


class ProbeExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [Pictures, Conditioning, SaveConditioning, FaceLandmarks]


async def comfy_entrypoint() -> ProbeExtension:
    return ProbeExtension()
