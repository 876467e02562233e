"""The example workflows from one photo to one picture; see workflow_format.py."""

from __future__ import annotations

from dataclasses import replace

from workflow_format import Node, Workflow
from workflow_nodes import (
    SDXL,
    TYPES,
    decode,
    edit,
    emotion_prompts,
    latent,
    model,
    negative,
    note,
    perception,
    photo,
    projection,
    prompt,
    sampler,
    save,
)

FACE_TO_EXPRESSION_NOTE = """\
## A face steers the picture, by a trained projection

1. **Choose a photo with a face** in *Load Image* (the picture that ComfyUI brings along shows none).
2. Choose a **Stable Diffusion 1.5** checkpoint.
3. **Run.** The first time, *Starter Projection* trains a small network for this checkpoint, which takes about a minute
   and needs no data of yours. After that it is used again.
4. **Change the photo and run again.** The seed is fixed: only the expression changes.

*strength* in *Perception→CLIP Projection*: 0 gives the picture without the face, 2 exaggerates, negative values turn
the expression away. *mode* says what the face does with the prompt.

The starter has learned from sampled faces. Better ones come from real faces: open the templates *collect_dataset*, then
*train_and_try*. Without any training there is *emotion_prompts*.
"""

EMOTION_PROMPTS_NOTE = """\
## A face steers the picture, without training

1. **Choose a photo with a face** in *Load Image* (the picture that ComfyUI brings along shows none).
2. Choose a checkpoint. **Any model works**: set the latent's size to what it likes.
3. **Run.** *Face Perception* says what it reads from the face, *Emotion Prompts* in which shares it mixes its seven
   prompts.
4. **Change the photo and run again.** The seed is fixed: only the expression changes.

Change *base_prompt* to what you like, with `{emotion}` at its end. *strength* above 1 exaggerates, 0 is neutral,
negative values turn the expression away. A lower *temperature* lets the strongest emotion win.
"""

EXPRESSION_SWITCH_NOTE = """\
## One expression early, another late

The first steps of sampling lay out the picture, the last ones its details. Here the face is surprised at first and
happy after that: an expression that one prompt does not give.

1. **Choose a photo with a face** in *Load Image*, and a **Stable Diffusion 1.5** checkpoint.
2. **Run.**
3. Change the sliders in *Early* and *Late*: they give the photo's face another expression. With all at 0 it is the
   photo's own.
4. Change where the switch is: *end* of the early range and *start* of the late one, as shares of the sampling, 0 to 1.

The two ranges and *Conditioning (Combine)* are ComfyUI's own. They switch the conditionings of *Perception→CLIP
Projection*, too, which besides has *start_percent* and *end_percent* for a face that comes and goes.
"""

SDXL_NOTE = """\
## A face steers Stable Diffusion XL, by a trained projection

1. **Choose a photo with a face** in *Load Image* (the picture that ComfyUI brings along shows none).
2. Choose a **Stable Diffusion XL** checkpoint.
3. **Run.** The first time, *Starter Projection* encodes a hundred prompts with the checkpoint's two text encoders, and
   trains a small network on them. After that it is used again.
4. **Change the photo and run again.** The seed is fixed: only the expression changes.

The projection moves the prompt's tokens and its pooled output. A checkpoint for Stable Diffusion 1.5 does not fit, but
can act on the CLIP-L part of the prompt: turn *clip_l_only* and *match_norm* on.

*Dataset Writer* and *Train Projection* take XL's CLIP, too. Without any training there is *emotion_prompts*.
"""


EMOTION_PROMPTS = Workflow(
    name="emotion_prompts",
    types=TYPES,
    nodes=(
        note(EMOTION_PROMPTS_NOTE, 400),
        photo((0, 0)),
        perception((360, 0)),
        model((360, 740)),
        emotion_prompts((800, 0)),
        negative((800, 880), width=520),
        latent((800, 1040), width=520),
        sampler((1380, 740), ("emotions", "conditioning")),
        decode((1760, 600)),
        save((2020, 600), "emotion_prompts"),
    ),
    groups={
        "1 · A face": ("photo", "perception"),
        "2 · A model": ("model",),
        "3 · Prompts, as the face says": ("emotions", "negative", "latent"),
        "4 · The picture": ("sampler", "decode", "save"),
    },
)


def with_starter(name: str, text: str, size: int, loader: Node, starter: str, height: int) -> Workflow:
    """Photo, Face Perception, a projection made for the model's CLIP, picture."""
    return Workflow(
        name=name,
        types=TYPES,
        nodes=(
            note(text, height),
            photo((0, 0)),
            loader,
            perception((480, 0)),
            Node(
                "starter",
                "PerceptionClip_StarterProjection",
                (480, 720),
                (340, 640),
                {"name": starter, "seed": 0, "samples": 6000},
                {"clip": ("model", "CLIP")},
            ),
            prompt((480, 1590)),
            negative((480, 1770)),
            latent((480, 1930), side=size),
            projection((1100, 300), f"{starter}.safetensors", "starter"),
            sampler((1580, 1390), ("projection", "conditioning")),
            decode((1940, 1250)),
            save((2180, 1250), name),
        ),
        groups={
            "1 · A face": ("photo", "perception"),
            "2 · A model": ("model",),
            "3 · A first projection for it": ("starter",),
            "4 · A prompt": ("positive", "negative", "latent"),
            "5 · The face steers the prompt": ("projection",),
            "6 · The picture": ("sampler", "decode", "save"),
        },
    )


FACE_TO_EXPRESSION = with_starter(
    "face_to_expression", FACE_TO_EXPRESSION_NOTE, 512, model((0, 1390)), "starter", height=460
)
XL_FACE_TO_EXPRESSION = with_starter("sdxl", SDXL_NOTE, 1024, model((0, 1390), SDXL), "starter_xl", height=520)


def from_a_file(workflow: Workflow, checkpoint: str) -> Workflow:
    """`workflow` without Starter Projection, with a checkpoint that is there already."""
    nodes = [node for node in workflow.nodes if node.name != "starter"]
    at = [node.name for node in nodes].index("projection")
    links = {name: link for name, link in nodes[at].links.items() if name != "checkpoint_name"}
    nodes[at] = replace(nodes[at], widgets=nodes[at].widgets | {"checkpoint": checkpoint}, links=links)
    groups = {title: members for title, members in workflow.groups.items() if members != ("starter",)}
    return replace(workflow, nodes=tuple(nodes), groups=groups)


def timestep_range(at: tuple[int, int], name: str, source: str, start: float, end: float) -> Node:
    links = {"conditioning": (source, "conditioning")}
    widgets = {"start": start, "end": end}
    return Node(name, "ConditioningSetTimestepRange", at, (300, 90), widgets, links)


EXPRESSION_SWITCH = Workflow(
    name="expression_switch",
    types=TYPES,
    nodes=(
        note(EXPRESSION_SWITCH_NOTE, 500),
        photo((0, 0)),
        perception((380, 0)),
        edit((820, 0), "early", "Early: surprised", surprise=1.2),
        edit((820, 660), "late", "Late: happy", happy=1.2),
        model((820, 1280)),
        emotion_prompts((1320, 0), "early_emotions", "early", "Early prompts"),
        emotion_prompts((1320, 660), "late_emotions", "late", "Late prompts"),
        negative((1320, 1410), width=520),
        latent((1320, 1570), width=520),
        timestep_range((1920, 0), "early_range", "early_emotions", 0.0, 0.4),
        timestep_range((1920, 660), "late_range", "late_emotions", 0.4, 1.0),
        Node(
            "both",
            "ConditioningCombine",
            (2280, 330),
            (260, 60),
            links={"conditioning_1": ("early_range", "CONDITIONING"), "conditioning_2": ("late_range", "CONDITIONING")},
        ),
        sampler((2600, 1280), ("both", "CONDITIONING")),
        decode((2960, 1140)),
        save((3240, 1140), "expression_switch"),
    ),
    groups={
        "1 · A face": ("photo", "perception"),
        "2 · Early and late": ("early", "late"),
        "3 · A model": ("model",),
        "4 · Prompts, as the faces say": ("early_emotions", "late_emotions", "negative", "latent"),
        "5 · The switch": ("early_range", "late_range", "both"),
        "6 · The picture": ("sampler", "decode", "save"),
    },
)
