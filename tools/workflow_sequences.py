"""The example workflows with several faces: a video, a webcam, two photos; see workflow_format.py."""

from __future__ import annotations

from workflow_format import Node, Workflow
from workflow_nodes import (
    PERCEIVING,
    TYPES,
    decode,
    emotion_prompts,
    latent,
    model,
    negative,
    note,
    perception,
    photo,
    same_noise,
    sampler,
    save,
    schedule,
    with_widgets,
)

FRAMES = 16  # of the video, sampled as one batch
PICTURES = 4  # from one face to the other

EXPRESSION_VIDEO_NOTE = f"""\
## A video's expressions, frame by frame

1. **Choose a short video of a face** in *Load Video*: some seconds, one person.
2. Choose a **Stable Diffusion 1.5** checkpoint.
3. **Run.** *Perception Schedule* takes {FRAMES} faces, evenly spread over the video. Each becomes a row of the
   conditioning, and all are sampled as one batch.
4. Set *fps* in *Create Video* to {FRAMES} ÷ the video's seconds, and the result keeps time with it.

**More frames**, or fewer if memory runs out: set *frames* and *batch_size* to the same number.

**Calm pictures:** all frames start from the same noise, so that little but the expression changes.

**AnimateDiff**, if you have ComfyUI-AnimateDiff-Evolved, makes it a real movement. Put its *AnimateDiff Loader* between
the checkpoint's MODEL and the sampler, and set *seed_behavior* to *random*: it wants a noise of its own for each frame.
"""

WEBCAM_NOTE = """\
## Your face, live

1. **Allow the camera** when the browser asks. It does so only at `localhost` or over https.
2. Choose a **Stable Diffusion 1.5** checkpoint. A fast one is best: with an LCM or Turbo checkpoint set *steps* to 4 to
   8 and *cfg* to 1 to 2.
3. **Run**: the camera takes a picture, and your expression steers the prompt.
4. **Keep it running:** choose *Run (Instant)* in the menu beside the Run button, and make faces. The same button stops
   it.

*width* and *height* 0 mean the camera's own size. The pictures are previews and are not saved; the camera's go to
ComfyUI's `temp` folder, which is emptied at the next start.

Ask others before you point the camera at them.
"""

BLEND_NOTE = f"""\
## From one face to another

1. **Choose two photos**, of one person or of two, with different expressions.
2. Choose a **Stable Diffusion 1.5** checkpoint.
3. **Run.** *Join Perceptions* puts the two faces one after the other, *Perception Schedule* goes from the first to the
   second in {PICTURES} steps, and each step becomes a picture.
4. **More steps:** set *frames* and *batch_size* to the same number.

All pictures start from the same noise (*The same noise for all*), so that they differ by the face alone.

*easing*: *ease* starts and stops gently, *hold* switches at once. For one picture of the two faces mixed, use *Edit
Perception* with *mix_with* instead.
"""

EXPRESSION_VIDEO = Workflow(
    name="expression_video",
    types=TYPES,
    nodes=(
        note(EXPRESSION_VIDEO_NOTE, 560),
        Node("video", "LoadVideo", (0, 0), (320, 340), {"file": "choose_a_video.mp4", "upload": "image"}),
        Node(
            "perception",
            "PerceptionClip_FacePerceptionVideo",
            (380, 0),
            (340, 560),
            PERCEIVING | {"detector": "fast", "max_faces": 1, "smoothing": 0.5},
            {"video": ("video", "VIDEO")},
        ),
        schedule((780, 0), "perception", FRAMES),
        model((780, 700)),
        with_widgets(emotion_prompts((1220, 0), faces_of="schedule"), faces="per frame"),
        negative((1220, 840), width=520),
        latent((780, 1000), batch_size=FRAMES),
        same_noise((1220, 1010), width=520),
        sampler((1800, 700), ("emotions", "conditioning"), "same_noise"),
        decode((2180, 500)),
        Node("frames", "CreateVideo", (2440, 500), (260, 90), {"fps": 8.0}, {"images": ("decode", "IMAGE")}),
        Node(
            "save",
            "SaveVideo",
            (2760, 500),
            (460, 540),
            {"filename_prefix": "video/expression", "format": "auto", "codec": "auto"},
            {"video": ("frames", "VIDEO")},
        ),
    ),
    groups={
        "1 · A face in a video": ("video", "perception", "schedule"),
        "2 · A model, and as many latents": ("model", "latent"),
        "3 · Prompts, frame by frame": ("emotions", "negative", "same_noise"),
        "4 · The video": ("sampler", "decode", "frames", "save"),
    },
)

WEBCAM = Workflow(
    name="webcam",
    types=TYPES,
    nodes=(
        note(WEBCAM_NOTE, 500),
        Node(
            "camera",
            "WebcamCapture",
            (0, 0),
            (320, 420),
            {"image": "", "width": 0, "height": 0, "capture_on_queue": True, "capture": "capture"},
        ),
        with_widgets(perception((360, 0), image="camera"), detector="fast", max_faces=1),
        model((360, 740)),
        emotion_prompts((800, 0)),
        negative((800, 880), width=520),
        latent((800, 1040), width=520),
        sampler((1380, 740), ("emotions", "conditioning"), steps=12),
        decode((1760, 600)),
        Node("show", "PreviewImage", (2020, 600), (420, 500), links={"images": ("decode", "IMAGE")}),
    ),
    groups={
        "1 · Your face": ("camera", "perception"),
        "2 · A model": ("model",),
        "3 · Prompts, as the face says": ("emotions", "negative", "latent"),
        "4 · The picture": ("sampler", "decode", "show"),
    },
)

BLEND_TWO_FACES = Workflow(
    name="blend_two_faces",
    types=TYPES,
    nodes=(
        note(BLEND_NOTE, 460),
        photo((0, 0), title="The first face"),
        photo((0, 680), "second_photo", title="The second face"),
        perception((380, 0)),
        perception((380, 680), "second_perception", "second_photo"),
        Node(
            "joined",
            "PerceptionClip_JoinPerceptions",
            (780, 340),
            (260, 120),
            links={"first": ("perception", "perception"), "second": ("second_perception", "perception")},
        ),
        schedule((1100, 0), "joined", PICTURES),
        model((1100, 640)),
        latent((1100, 930), batch_size=PICTURES),
        with_widgets(emotion_prompts((1540, 0), faces_of="schedule"), faces="per frame"),
        negative((1540, 770), width=520),
        same_noise((1540, 940), width=520),
        sampler((2120, 640), ("emotions", "conditioning"), "same_noise"),
        decode((2500, 500)),
        save((2760, 500), "blend_two_faces"),
    ),
    groups={
        "1 · Two faces": ("photo", "second_photo", "perception", "second_perception"),
        "2 · From one to the other": ("joined", "schedule"),
        "3 · A model, and as many latents": ("model", "latent"),
        "4 · Prompts, step by step": ("emotions", "negative", "same_noise"),
        "5 · The pictures": ("sampler", "decode", "save"),
    },
)
