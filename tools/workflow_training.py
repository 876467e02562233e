"""The example workflows that collect faces and train with them; see workflow_format.py."""

from __future__ import annotations

from workflow_format import Node, Workflow
from workflow_nodes import (
    TYPES,
    decode,
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

COLLECT_DATASET_NOTE = """\
## Collect your own faces for training

1. **Choose a photo with a face** in *Load Image*, and a **Stable Diffusion 1.5** checkpoint (only its CLIP is used).
2. Say in the **prompt** what the face expresses, in varied words. Name the person in **group**. For several faces,
   write a line for each and set **prompts** to *one line per face*.
3. **Run**, then the next photo. Every face is kept once, however often you run. *Dataset Writer* shows the newest
   faces, *Dataset Info* what the dataset holds and what it lacks.
4. With some hundred faces of several people, **train**: open the template *train_and_try*.

For whole folders and videos there is a terminal: in this pack's folder, `python -m training build --help`.

Faces are personal data: ask the people whose faces you collect. The dataset stays on this machine, in ComfyUI's
`user/__perception_clip/datasets`.
"""

TRAIN_AND_TRY_NOTE = """\
## Train on your faces, and try it at once

1. **Collect faces** with the template *collect_dataset* first. Press **R** here, and choose the **dataset** in *Train
   Projection*.
2. Choose the **Stable Diffusion 1.5** checkpoint whose CLIP the dataset was made with.
3. **Choose a photo with a face** in *Load Image*, best of someone who is not in the dataset.
4. **Run.** *Train Projection* shows its learning curves, and says in words whether the result is ready to use. It then
   steers the picture, and *Inspect Projection* names the training prompts that the photo comes nearest to.
5. Change the photo or *strength* and run again: nothing is trained anew while the dataset stays as it is.

**Few faces?** Choose the checkpoint of *Starter Projection* as *init* (it is made in *face_to_expression*): training
then continues from it.

When it is good, choose it in any *Perception→CLIP Projection*.
"""

COLLECT_DATASET = Workflow(
    name="collect_dataset",
    types=TYPES,
    nodes=(
        note(COLLECT_DATASET_NOTE, 500),
        photo((0, 0)),
        perception((380, 0), height=620),
        model((380, 760)),
        Node(
            "writer",
            "PerceptionClip_DatasetWriter",
            (820, 0),
            (460, 860),
            {
                "prompt": "a smiling woman, friendly and relaxed",
                "dataset": "my_faces",
                "group": "",
                "prompts": "one for all faces",
                "label": "happy",
                "split": "none",
                "source": "",
            },
            {"perception": ("perception", "perception"), "clip": ("model", "CLIP")},
        ),
        Node(
            "info",
            "PerceptionClip_DatasetInfo",
            (1380, 0),
            (520, 860),
            {"dataset": "my_faces"},
            {"path": ("writer", "path")},
        ),
    ),
    groups={
        "1 · A face": ("photo", "perception"),
        "2 · The text encoder": ("model",),
        "3 · Into the dataset": ("writer",),
        "4 · What it holds": ("info",),
    },
)

TRAIN_AND_TRY = Workflow(
    name="train_and_try",
    types=TYPES,
    nodes=(
        note(TRAIN_AND_TRY_NOTE, 540),
        photo((0, 0)),
        model((0, 1600)),
        perception((420, 0)),
        Node(
            "train",
            "PerceptionClip_TrainProjection",
            (420, 720),
            (340, 600),
            {
                "dataset": "my_faces",
                "size": "base",
                "epochs": 100,
                "name": "best_model",
                "seed": 0,
                "init": "none",
                "val_split": 0.2,
            },
        ),
        prompt((420, 1440)),
        negative((420, 1720)),
        latent((420, 1880)),
        projection((900, 700), "best_model.safetensors", "train"),
        Node(
            "inspect",
            "PerceptionClip_InspectProjection",
            (900, 0),
            (360, 600),
            {"checkpoint": "best_model.safetensors", "prompts": 8},
            {
                "perception": ("perception", "perception"),
                "checkpoint_name": ("train", "checkpoint"),
            },
        ),
        sampler((1400, 1600), ("projection", "conditioning")),
        decode((1780, 1440)),
        save((2040, 1440), "train_and_try"),
    ),
    groups={
        "1 · A face": ("photo", "perception"),
        "2 · A model": ("model",),
        "3 · Training on your dataset": ("train",),
        "4 · A prompt": ("positive", "negative", "latent"),
        "5 · The face steers the prompt": ("projection", "inspect"),
        "6 · The picture": ("sampler", "decode", "save"),
    },
)
