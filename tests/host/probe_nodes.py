# ruff: noqa: N802  (functions are named after their nodes)
"""Nodes for the tests only: they make what no node of ComfyUI makes, and record what none shows.

Copied into the test host's custom_nodes.
"""

from __future__ import annotations

import gc
import importlib
import json
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import folder_paths
import numpy as np
import torch
from comfy import model_management, sd1_clip
from comfy.sd import CLIP
from comfy.supported_models_base import ClipTarget
from comfy.text_encoders import qwen_vl
from comfy_api.latest import ComfyExtension, io

import nodes

PERCEPTION = io.Custom("PERCEPTION")
NODES: list[type[io.ComfyNode]] = []
MARK = 1.375  # a weight in prompts that marks their subject for Probe_SubjectTokens
WIDTHS = {"l": 768, "g": 1280}
CALLS: list[int] = []  # rows of each call of a UNet that Probe_CountCalls has wrapped


def node(*inputs: Any, output: Any = None, always_runs: bool = False) -> Callable[[Callable[..., Any]], None]:
    """Make a function the node Probe_<its name>. It returns the output, or the text to show if there is none."""

    def register(function: Callable[..., Any]) -> None:
        class Probe(io.ComfyNode):
            @classmethod
            def define_schema(cls) -> io.Schema:
                return io.Schema(
                    node_id=f"Probe_{function.__name__}",
                    inputs=list(inputs),
                    outputs=[] if output is None else [output],
                    is_output_node=output is None,
                    not_idempotent=always_runs,
                )

            @classmethod
            def execute(cls, **values: Any) -> io.NodeOutput:
                result = function(**values)
                return io.NodeOutput(ui={"text": [result]}) if output is None else io.NodeOutput(result)

        NODES.append(Probe)

    return register


@node(
    io.Int.Input("count", default=1, min=0),
    io.Int.Input("size", default=64),
    io.Int.Input("channels", default=3),
    io.String.Input("value", default="0.5"),
    output=io.Image.Output(),
)
def Pictures(count: int, size: int, channels: int, value: str) -> torch.Tensor:
    """IMAGE of a given shape and value; the value may be nan or inf."""
    return torch.full((count, size, size, channels), float(value))


@node(io.Int.Input("width", default=768), io.Int.Input("blocks", default=1), output=io.Conditioning.Output())
def Conditioning(width: int, blocks: int) -> list[Any]:
    """CONDITIONING of random tokens, (1, 77·blocks, width)."""
    tokens = torch.randn(1, 77 * blocks, width, generator=torch.Generator().manual_seed(0))
    return [[tokens, {"pooled_output": tokens[:, 0, :1280]}]]


@node(io.Custom("BOUNDING_BOX").Input("boxes"))
def Boxes(boxes: list[Any]) -> str:
    """Shows BOUNDING_BOX as JSON."""
    return json.dumps(boxes)


@node(io.Custom("FACE_LANDMARKS").Input("landmarks"))
def Landmarks(landmarks: dict[str, Any]) -> str:
    """Shows the first face of FACE_LANDMARKS as JSON."""
    return json.dumps(landmarks["frames"][0][0], default=lambda array: array.tolist())


@node(io.Conditioning.Input("conditioning"), io.String.Input("name"))
def SaveConditioning(conditioning: list[Any], name: str) -> str:
    """Writes a CONDITIONING to output/<name>.pt."""
    path = Path(folder_paths.get_output_directory(), f"{name}.pt")
    torch.save([[tokens.clone(), options] for tokens, options in conditioning], path)
    return str(path)


@node(io.Clip.Input("clip"), io.String.Input("name"), output=io.Clip.Output())
def CountingClip(clip: Any, name: str) -> Any:
    """A CLIP that adds a line to output/<name>.txt for every prompt that it encodes."""
    counting, path = clip.clone(), Path(folder_paths.get_output_directory(), f"{name}.txt")
    encode = counting.encode_from_tokens_scheduled

    def counted(tokens: Any, *arguments: Any, **options: Any) -> Any:
        with path.open("a") as file:
            file.write("encoded\n")
        return encode(tokens, *arguments, **options)

    counting.encode_from_tokens_scheduled = counted
    return counting


@node(PERCEPTION.Input("perception"), io.Int.Input("points", default=478), output=io.Custom("FACE_LANDMARKS").Output())
def FaceLandmarks(perception: Any, points: int) -> dict[str, Any]:
    """FACE_LANDMARKS of perceived faces, in the format of ComfyUI 0.23 and newer."""
    height, width = perception.image_sizes[0].tolist()
    frames = [[comfy_face(face, height, width, points) for face in faces] for faces in perception.by_frame()]
    return {"frames": frames, "image_size": (height, width), "connection_sets": {}}


def comfy_face(face: Any, height: int, width: int, points: int) -> dict[str, Any]:
    """Return one face; its crop is upright and twice as wide as the face."""
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


@node(PERCEPTION.Input("perception"), io.Int.Input("index"), output=PERCEPTION.Output())
def OneFace(perception: Any, index: int) -> Any:
    """PERCEPTION of a single face."""
    return perception.select([index])


@node(io.Model.Input("model"), output=io.Model.Output(), always_runs=True)
def CountCalls(model: Any) -> Any:
    """The same model; Probe_Calls shows the rows of each call of its UNet."""
    counted = model.clone()

    def call(apply: Any, given: dict[str, Any]) -> torch.Tensor:
        CALLS.append(len(given["input"]))
        return apply(given["input"], given["timestep"], **given["c"])

    counted.set_model_unet_function_wrapper(call)
    return counted


@node(io.Latent.Input("latent"), always_runs=True)
def Calls(latent: Any) -> str:
    """Shows, once there is a latent, the calls since the last time."""
    rows = CALLS.copy()
    CALLS.clear()
    return str(rows)


@node(
    PERCEPTION.Input("perception"),
    io.Conditioning.Input("conditioning"),
    io.String.Input("checkpoint"),
    io.String.Input("mode"),
    io.String.Input("faces"),
    io.Int.Input("rounds", default=30),
)
def TimeProjection(rounds: int, **inputs: Any) -> str:
    """Shows the milliseconds that Perception→CLIP Projection and ComfyUI's ConditioningAverage take when everything is
    loaded, called in turn: JSON, a list for each.
    """
    project = nodes.NODE_CLASS_MAPPINGS["PerceptionClip_Projection"]
    settings = {"strength": 1.0, "start_percent": 0.0, "end_percent": 1.0}
    average = nodes.NODE_CLASS_MAPPINGS["ConditioningAverage"]()
    conditioning = inputs["conditioning"]
    taken: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        started = time.perf_counter()
        project.execute(**inputs, **settings)
        between = time.perf_counter()
        average.addWeighted(conditioning, conditioning, 0.5)
        ended = time.perf_counter()
        taken[0].append(1000 * (between - started))
        taken[1].append(1000 * (ended - between))
    return json.dumps(taken)


@node(io.Conditioning.Input("conditioning"), always_runs=True)
def CountTextEncoders(conditioning: Any) -> str:
    """Shows how many CLIP text models are in memory."""
    gc.collect()
    return str(sum(isinstance(thing, sd1_clip.SDClipModel) for thing in gc.get_objects()))


@node(io.AnyType.Input("after", optional=True), always_runs=True)
def LoadedModels(after: Any = None) -> str:
    """Shows the classes of the models that ComfyUI's memory management keeps on its device."""
    return json.dumps([type(loaded.model.model).__name__ for loaded in model_management.current_loaded_models])


# Below comfy: the module of a family, its tokenizer, and its text encoders or what makes their class.
FAMILIES = {
    "sd15": ("sd1_clip", "SD1Tokenizer", "SD1ClipModel"),
    "sdxl": ("sdxl_clip", "SDXLTokenizer", "SDXLClipModel"),
    "sd3": ("text_encoders.sd3_clip", "SD3Tokenizer", "SD3ClipModel"),
    "flux": ("text_encoders.flux", "FluxTokenizer", "FluxClipModel"),
    "pixart": ("text_encoders.pixart_t5", "PixArtTokenizer", "pixart_te"),
    "qwen_image": ("text_encoders.qwen_image", "QwenImageTokenizer", "QwenImageTEModel"),
    "omnigen2": ("text_encoders.omnigen2", "Omnigen2Tokenizer", "te"),
    "z_image": ("text_encoders.z_image", "ZImageTokenizer", "te"),
    "flux2_klein": ("text_encoders.flux", "KleinTokenizer", "klein_te"),
    "ovis": ("text_encoders.ovis", "OvisTokenizer", "te"),
    "kandinsky5": ("text_encoders.kandinsky5", "Kandinsky5TokenizerImage", "te"),
    "anima": ("text_encoders.anima", "AnimaTokenizer", "te"),
    "boogu": ("text_encoders.boogu", "BooguTokenizer", "te"),
}
FEW = {"num_hidden_layers": 3}
SMALL_T5 = {"num_layers": 2, "d_ff": 64, "num_heads": 2, "d_kv": 32}
SMALL_QWEN = {"hidden_size": 256, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
SMALL_QWEN |= {"num_key_value_heads": 1}
SMALL_VISION = {"hidden_size": 64, "intermediate_size": 64, "depth": 1, "deepstack_visual_indexes": [0]}


def target_of(family: str) -> ClipTarget | None:
    """What a CLIP of the family consists of; None if this ComfyUI does not know the family."""
    module, *names = FAMILIES[family]
    try:
        tokenizer, model = (getattr(importlib.import_module(f"comfy.{module}"), name) for name in names)
    except (ImportError, AttributeError):
        return None
    return ClipTarget(tokenizer, model if isinstance(model, type) else model())


KNOWN_FAMILIES = [family for family in FAMILIES if target_of(family)]


@node(io.Combo.Input("family", options=KNOWN_FAMILIES), io.Int.Input("seed", default=0), output=io.Clip.Output())
def SmallClip(family: str, seed: int) -> CLIP:
    """A CLIP of a model family, with ComfyUI's own tokenizers, but few layers and random weights.

    Those of Stable Diffusion are as wide as real ones. CLIP-L is always the same; CLIP-G (of XL) differs by seed.
    """
    configs = {
        "clip_l_model_config": FEW,
        "clip_g_model_config": FEW,
        "t5xxl_model_config": SMALL_T5 | ({} if family == "sd3" else {"d_model": 64}),  # SD3 joins it to CLIP's
        **{f"qwen25_{size}_model_config": SMALL_QWEN for size in ("3b", "7b")},
        **{f"qwen3_{size}_model_config": SMALL_QWEN for size in ("06b", "2b", "4b")},
        "qwen3vl_8b_model_config": SMALL_QWEN,
    }
    if family == "flux2_klein":  # takes states of layers up to the 27th
        configs["qwen3_4b_model_config"] = SMALL_QWEN | {"hidden_size": 64, "num_hidden_layers": 28}
    if family == "boogu":
        importlib.import_module("comfy.text_encoders.qwen3vl").QWEN3VL_VISION["qwen3vl_8b"] = SMALL_VISION
    vision = qwen_vl.Qwen2VLVisionTransformer
    qwen_vl.Qwen2VLVisionTransformer = partial(vision, intermediate_size=64, num_layers=1)
    try:
        clip = CLIP(
            target_of(family),
            embedding_directory=folder_paths.get_folder_paths("embeddings"),
            model_options=configs,
        )
    finally:
        qwen_vl.Qwen2VLVisionTransformer = vision
    if family in ("sd15", "sdxl"):
        draw(clip.cond_stage_model.clip_l, 0)
        if family == "sdxl":
            draw(clip.cond_stage_model.clip_g, 1 + seed)
    else:
        draw(clip.cond_stage_model, seed)
    return clip


@node(io.Clip.Input("clip"), io.String.Input("prompts"))
def SubjectTokens(clip: Any, prompts: str) -> str:
    """Shows which tokens the pack takes for the subject of each prompt, and which ComfyUI gives the weight `MARK`.

    `prompts` is JSON: a list of texts and subjects. So is the result: for each prompt and text encoder, both lists of
    positions, counted over all blocks.
    """
    node = sys.modules[nodes.NODE_CLASS_MAPPINGS["PerceptionClip_TextEncode"].__module__]
    module = sys.modules[node.encode.__module__]
    result = []
    for text, subject in json.loads(prompts):
        roles, tokens = module.prompt_tokens(clip, text, subject).roles, clip.tokenize(text)
        found = [role.subject.nonzero()[:, 0].tolist() for role in roles]
        result.append(
            list(zip(found, (marked(tokens[name], WIDTHS[name]) for name in "lg" if name in tokens), strict=True))
        )
    return json.dumps(result)


def marked(blocks: list[Any], width: int) -> list[int]:
    """Return the positions of tokens with the weight MARK, without embeddings that the encoder cannot read."""
    read = [
        [weight for token, weight in block if isinstance(token, int) or token.shape[-1] == width] for block in blocks
    ]
    return [
        77 * index + place for index, block in enumerate(read) for place, weight in enumerate(block) if weight == MARK
    ]


def draw(model: torch.nn.Module, seed: int) -> None:
    """Give a model random weights."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if weight.dim() >= 2:
            weight.data.normal_(0, weight[0].numel() ** -0.5, generator=generator)
        else:
            weight.data.fill_(float("norm" in name and name.endswith("weight")))


class ProbeExtension(ComfyExtension):
    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES


async def comfy_entrypoint() -> ProbeExtension:
    return ProbeExtension()
