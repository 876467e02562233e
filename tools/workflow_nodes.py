"""The nodes that the example workflows are made of, with the widgets that they show; see workflow_format.py.

Each function takes the node's place on the canvas, the names of the nodes that it is linked to, and what differs from
the usual; `with_widgets` changes any of a node's widgets.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from workflow_format import Node, NodeType, Socket

from perception_clip.perception.vector import EMOTIONS

Place = tuple[int, int]  # left, top of the node below its title, in pixels of the canvas

PERCEPTION, CONDITIONING, LATENT = "PERCEPTION", "CONDITIONING", "LATENT"
PERCEIVED: tuple[Socket, ...] = (("perception", PERCEPTION), ("face_count", "INT"))
VIDEO_PERCEIVED: tuple[Socket, ...] = (
    ("perception", PERCEPTION),
    ("face_count", "INT"),
    ("frame_count", "INT"),
    ("frame_rate", "FLOAT"),
)
TRAINED: tuple[Socket, ...] = (("checkpoint", "STRING"), ("report", "IMAGE"), ("text", "STRING"))

TYPES = {
    "CheckpointLoaderSimple": NodeType(outputs=(("MODEL", "MODEL"), ("CLIP", "CLIP"), ("VAE", "VAE"))),
    "CLIPTextEncode": NodeType((("clip", "CLIP"),), ((CONDITIONING, CONDITIONING),)),
    "ConditioningCombine": NodeType(
        (("conditioning_1", CONDITIONING), ("conditioning_2", CONDITIONING)), ((CONDITIONING, CONDITIONING),)
    ),
    "ConditioningSetTimestepRange": NodeType((("conditioning", CONDITIONING),), ((CONDITIONING, CONDITIONING),)),
    "CreateVideo": NodeType((("images", "IMAGE"),), (("VIDEO", "VIDEO"),)),
    "EmptyLatentImage": NodeType(outputs=((LATENT, LATENT),)),
    "KSampler": NodeType(
        (("model", "MODEL"), ("positive", CONDITIONING), ("negative", CONDITIONING), ("latent_image", LATENT)),
        ((LATENT, LATENT),),
    ),
    "LatentBatchSeedBehavior": NodeType((("samples", LATENT),), ((LATENT, LATENT),)),
    "LoadImage": NodeType(outputs=(("IMAGE", "IMAGE"), ("MASK", "MASK"))),
    "LoadVideo": NodeType(outputs=(("VIDEO", "VIDEO"),)),
    "MarkdownNote": NodeType(),
    "PreviewImage": NodeType((("images", "IMAGE"),)),
    "SaveImage": NodeType((("images", "IMAGE"),)),
    "SaveVideo": NodeType((("video", "VIDEO"),)),
    "VAEDecode": NodeType((("samples", LATENT), ("vae", "VAE")), (("IMAGE", "IMAGE"),)),
    "WebcamCapture": NodeType(outputs=(("IMAGE", "IMAGE"),)),
    "PerceptionClip_DatasetInfo": NodeType(
        (("path", "STRING"),), (("samples", "INT"), ("text", "STRING"), ("faces", "IMAGE"))
    ),
    "PerceptionClip_DatasetWriter": NodeType(
        (("perception", PERCEPTION), ("clip", "CLIP")), (("samples", "INT"), ("path", "STRING"))
    ),
    "PerceptionClip_EditPerception": NodeType((("perception", PERCEPTION),), (("perception", PERCEPTION),)),
    "PerceptionClip_EmotionPrompts": NodeType(
        (("perception", PERCEPTION), ("clip", "CLIP")), (("conditioning", CONDITIONING), ("text", "STRING"))
    ),
    "PerceptionClip_FacePerception": NodeType((("image", "IMAGE"),), PERCEIVED),
    "PerceptionClip_FacePerceptionVideo": NodeType((("video", "VIDEO"),), VIDEO_PERCEIVED),
    "PerceptionClip_InspectProjection": NodeType(
        (("perception", PERCEPTION), ("checkpoint_name", "STRING"), ("conditioning", CONDITIONING), ("clip", "CLIP")),
        (("text", "STRING"), ("picture", "IMAGE")),
    ),
    "PerceptionClip_JoinPerceptions": NodeType(
        (("first", PERCEPTION), ("second", PERCEPTION)), (("perception", PERCEPTION),)
    ),
    "PerceptionClip_PerceptionSchedule": NodeType((("perception", PERCEPTION),), (("perception", PERCEPTION),)),
    "PerceptionClip_Projection": NodeType(
        (("perception", PERCEPTION), ("conditioning", CONDITIONING), ("checkpoint_name", "STRING"), ("clip", "CLIP")),
        (("conditioning", CONDITIONING),),
    ),
    "PerceptionClip_StarterProjection": NodeType((("clip", "CLIP"),), TRAINED),
    "PerceptionClip_TrainProjection": NodeType((("path", "STRING"),), TRAINED),
}

SD15 = {
    "name": "v1-5-pruned-emaonly-fp16.safetensors",
    "url": "https://huggingface.co/Comfy-Org/stable-diffusion-v1-5-archive/resolve/main/"
    "v1-5-pruned-emaonly-fp16.safetensors?download=true",
    "directory": "checkpoints",
}
SDXL = {
    "name": "sd_xl_base_1.0.safetensors",
    "url": "https://huggingface.co/stabilityai/stable-diffusion-xl-base-1.0/resolve/main/"
    "sd_xl_base_1.0.safetensors?download=true",
    "directory": "checkpoints",
}

# The defaults of the pack's nodes, in the order of their widgets; a test compares them with the nodes' schemas.
PERCEIVING = {
    "detector": "far",
    "max_faces": 10,
    "order": "largest",
    "min_confidence": 0.5,
    "missing": "skip",
    "face_index": -1,
    "smoothing": 0.0,
    "landmarker": "bundled",
    "emotion_model": "bundled (landmarks)",
}
EMOTION_PROMPTS = {
    "base_prompt": "portrait photo of a person, looking at the camera, soft natural light, {emotion}",
    "angry": "angry face, furious glare, lowered brows, clenched teeth",
    "disgust": "disgusted face, sick look, wrinkled nose, curled lips",
    "fear": "frightened face, terrified wide eyes, raised brows, tense lips",
    "happy": "happy face, joyful broad smile, laughing eyes, raised cheeks",
    "sad": "sad face, tearful eyes, unhappy look, downturned lips",
    "surprise": "surprised face, amazed wide eyes, raised brows, open mouth",
    "neutral": "neutral face, calm relaxed eyes, level brows, closed mouth",
    "temperature": 1.0,
    "top_k": 7,
    "strength": 1.0,
    "faces": "first",
}
PROJECTION = {
    "mode": "steer",
    "strength": 1.0,
    "start_percent": 0.0,
    "end_percent": 1.0,
    "faces": "first",
    "normalise": False,
    "clip_l_only": False,
}


def with_widgets(node: Node, **changed: Any) -> Node:
    """The node with changed widgets. Raises ValueError for one that it has not."""
    if not changed.keys() <= node.widgets.keys():
        raise ValueError(f"{node.name} has not all of these widgets: {', '.join(changed)}")
    return replace(node, widgets=node.widgets | changed)


def note(text: str, height: int) -> Node:
    """What to do, left of everything."""
    return Node("note", "MarkdownNote", (-420, 0), (380, height), {"note": text}, title="Read me")


def model(at: Place, file: dict[str, str] = SD15) -> Node:
    """The checkpoint, with the link by which the front end offers to download it."""
    return Node("model", "CheckpointLoaderSimple", at, (380, 100), {"ckpt_name": file["name"]}, models=(file,))


def photo(at: Place, name: str = "photo", title: str = "") -> Node:
    return Node(name, "LoadImage", at, (320, 340), {"image": "example.png", "upload": "image"}, title=title)


def perception(at: Place, name: str = "perception", image: str = "photo", height: int = 600) -> Node:
    links = {"image": (image, "IMAGE")}
    return Node(name, "PerceptionClip_FacePerception", at, (340, height), PERCEIVING, links)


def prompt(at: Place) -> Node:
    text = {"text": "portrait photo of a person, detailed face, soft light"}
    return Node("positive", "CLIPTextEncode", at, (340, 130), text, {"clip": ("model", "CLIP")}, title="Prompt")


def negative(at: Place, width: int = 340) -> Node:
    text, links = {"text": "blurry, deformed, text"}, {"clip": ("model", "CLIP")}
    return Node("negative", "CLIPTextEncode", at, (width, 110), text, links, title="What to avoid")


def latent(at: Place, side: int = 512, batch_size: int = 1, width: int = 340) -> Node:
    widgets = {"width": side, "height": side, "batch_size": batch_size}
    return Node("latent", "EmptyLatentImage", at, (width, 110), widgets)


def same_noise(at: Place, width: int = 340) -> Node:
    """Gives every latent of the batch the noise of the first."""
    widgets, links = {"seed_behavior": "fixed"}, {"samples": ("latent", LATENT)}
    title = "The same noise for all"
    return Node("same_noise", "LatentBatchSeedBehavior", at, (width, 60), widgets, links, title=title)


def emotion_prompts(at: Place, name: str = "emotions", faces_of: str = "perception", title: str = "") -> Node:
    links = {"perception": (faces_of, "perception"), "clip": ("model", "CLIP")}
    return Node(name, "PerceptionClip_EmotionPrompts", at, (520, 600), EMOTION_PROMPTS, links, title=title)


def edit(at: Place, name: str, title: str, **sliders: float) -> Node:
    widgets = dict.fromkeys(EMOTIONS, 0.0) | {"strength": 1.0, "mix": 0.5}
    links = {"perception": ("perception", "perception")}
    return with_widgets(
        Node(name, "PerceptionClip_EditPerception", at, (340, 360), widgets, links, title=title), **sliders
    )


def schedule(at: Place, faces_of: str, frames: int) -> Node:
    widgets, links = {"frames": frames, "easing": "linear"}, {"perception": (faces_of, "perception")}
    return Node("schedule", "PerceptionClip_PerceptionSchedule", at, (300, 220), widgets, links)


def projection(at: Place, checkpoint: str, trained_by: str) -> Node:
    """With the checkpoint of a node that trains; its own drop-down shows the same."""
    links = {
        "perception": ("perception", "perception"),
        "conditioning": ("positive", CONDITIONING),
        "checkpoint_name": (trained_by, "checkpoint"),
    }
    widgets = {"checkpoint": checkpoint, **PROJECTION}
    return Node("projection", "PerceptionClip_Projection", at, (400, 480), widgets, links)


def sampler(at: Place, positive: tuple[str, str], latents: str = "latent", steps: int = 20) -> Node:
    widgets = {
        "seed": 42,
        "control_after_generate": "fixed",
        "steps": steps,
        "cfg": 7.0,
        "sampler_name": "euler",
        "scheduler": "normal",
        "denoise": 1.0,
    }
    links = {
        "model": ("model", "MODEL"),
        "positive": positive,
        "negative": ("negative", CONDITIONING),
        "latent_image": (latents, LATENT),
    }
    return Node("sampler", "KSampler", at, (320, 280), widgets, links)


def decode(at: Place) -> Node:
    return Node("decode", "VAEDecode", at, (200, 60), links={"samples": ("sampler", LATENT), "vae": ("model", "VAE")})


def save(at: Place, name: str) -> Node:
    links = {"images": ("decode", "IMAGE")}
    return Node("save", "SaveImage", at, (420, 500), {"filename_prefix": name}, links)
