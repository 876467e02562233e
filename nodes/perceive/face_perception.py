"""The Face Perception node: pictures to perceptions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ...common.words import counted
from ...perception.drawing.overlay import Overlay
from ...perception.engines import BUNDLED, DEFAULT_EMOTION_MODEL, LANDMARKERS, Landmarker
from ...perception.landmarks.comfyui import SAME_PICTURES, ComfyLandmarks
from ...perception.landmarks.detectors import DETECTORS, FOR_PICTURES
from ...perception.origins import derived
from ...perception.pipeline import PerceptionPipeline
from ...perception.selection import ORDERS, Selection
from ...perception.sequences.missing import MISSING_MODES
from ...perception.sequences.run import FacesOfFrames, perceive_video
from ...perception.sequences.videos import Frame, VideoInMemory
from ...perception.vector import Perceptions
from ..support import host
from ..support.checks import check_choice, check_image, check_perceptions
from ..support.schema import PERCEPTION, advanced, aliases, extent, strongest

FACE_LANDMARKS = io.Custom("FACE_LANDMARKS")  # ComfyUI's own, from its MediaPipe Face Landmarker (0.23 and newer)
ALL_FACES = -1
BATCH_RATE = 24.0  # assumed pictures per second of a batch


def perceiving_inputs(detector: str) -> list[Any]:
    """Return the optional widgets that control how faces are detected, with that default detector; see `perceiver`."""
    inputs = [
        io.Combo.Input(
            "detector",
            options=list(DETECTORS),
            default=detector,
            tooltip="fast: faces at least a tenth of the picture's size. standard: also smaller faces; takes about "
            "twice as long as fast in batches. thorough: crowds, faces down to about 24 px, any head orientation; much "
            "slower.",
        ),
        io.Int.Input(
            "max_faces",
            default=10,
            min=1,
            max=100,
            tooltip="Maximum number of faces per picture, 1 to 100: the first ones in the order below.",
        ),
        io.Combo.Input(
            "order",
            options=list(ORDERS),
            default=ORDERS[0],
            tooltip="Order of the faces in a picture. If there are more than max_faces, the first ones are kept.",
        ),
        io.Float.Input(
            "min_confidence",
            default=0.5,
            min=0.05,
            max=1.0,
            step=0.05,
            tooltip="Faces scored below this are discarded, 0.05 to 1. Lower values find more faces but also more "
            "false positives.",
        ),
        io.Combo.Input(
            "missing",
            options=list(MISSING_MODES),
            default="skip",
            tooltip="What to do when a picture has no face. skip: output nothing for it, and report it. previous: "
            "reuse the previous picture's faces. interpolate: interpolate between the faces before and after it. "
            "neutral: insert a neutral face in the middle of the picture. error: stop the run.",
        ),
        advanced(
            io.Int.Input(
                "face_index",
                default=ALL_FACES,
                min=ALL_FACES,
                max=99,
                tooltip="Use only this face of each picture, counted from 0 in the order above, within max_faces; −1 "
                "uses all.",
            )
        ),
        advanced(
            io.Float.Input(
                "smoothing",
                default=0.0,
                min=0.0,
                max=1.0,
                step=0.05,
                tooltip="Temporal smoothing of landmarks and emotions (One-Euro filter), 0 (off) to 1 (strongest), "
                "with little lag behind movements. Batches are treated as 24 fps; videos use their own frame times.",
            )
        ),
        advanced(
            io.Combo.Input(
                "landmarker",
                options=list(LANDMARKERS),
                default=LANDMARKERS[0],
                tooltip="What detects the faces. bundled: included in the pack. mediapipe: Google's Face Landmarker; "
                "requires the mediapipe package and face_landmarker.task in models/mediapipe/ or models/detection/, "
                "and ignores detector.",
            )
        ),
        advanced(
            io.Combo.Input(
                "emotion_model",
                options=host.emotion_models(),
                default=DEFAULT_EMOTION_MODEL,
                tooltip="Emotion model. bundled (picture): reads the picture of the face; more accurate. bundled "
                "(landmarks): uses face shape only. Or an image classifier of the seven emotions: a "
                "folder in models/emotion/ or a Hugging Face model (downloaded on first use).",
            )
        ),
        PERCEPTION.Input(
            "neutral",
            tooltip="The same person's neutral face from another Face Perception node; emotions are then measured "
            "relative to it (bundled emotion models only). Only its first face is used.",
        ),
    ]
    for widget in inputs:
        widget.optional = True
    return inputs


def perceiving_outputs() -> list[Any]:
    """Return the outputs that all nodes that detect faces have."""
    return [
        PERCEPTION.Output("perception", display_name="perception", tooltip="All faces, picture by picture, in order."),
        io.Int.Output("face_count", display_name="face_count", tooltip="Total number of faces in all pictures."),
    ]


class FacePerception(io.ComfyNode):  # type: ignore[misc]  # the host ships no types
    """Detects the faces in a batch of pictures, with their landmarks and emotions."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="PerceptionClip_FacePerception",
            display_name="Face Perception (1441D)",
            category="Perception CLIP/perceive",
            description=(
                "Detects the faces in pictures and turns each into a perception of 1441 numbers: 478 landmarks (x, y, "
                "z) and the probabilities of 7 emotions. No download is needed."
            ),
            inputs=[
                io.Image.Input(
                    "image", tooltip="One picture or a batch, of any size; a batch is treated as a sequence."
                ),
                *perceiving_inputs(FOR_PICTURES),
                FACE_LANDMARKS.Input(
                    "face_landmarks",
                    optional=True,
                    tooltip="Optional: faces in the same pictures from ComfyUI's own MediaPipe Face Landmarker; "
                    "landmarker, detector and min_confidence are then ignored.",
                ),
            ],
            outputs=perceiving_outputs(),
            is_output_node=True,  # so that the node shows its faces even if nothing is connected to its outputs
            **aliases("face", "landmarks", "face mesh", "emotion", "expression", "mediapipe", "face detection"),
        )

    @classmethod
    def validate_inputs(cls, emotion_model: str = DEFAULT_EMOTION_MODEL) -> bool:
        """Accept any emotion model: `execute` checks it, and any Hugging Face id is allowed."""
        return True

    @classmethod
    def execute(
        cls,
        image: Tensor,
        missing: str = MISSING_MODES[0],
        smoothing: float = 0.0,
        face_landmarks: Any = None,
        **how: Any,
    ) -> io.NodeOutput:
        check_image(image)
        check_choice("missing", missing, MISSING_MODES)
        landmarks = None if face_landmarks is None else comfy_landmarks(face_landmarks, len(image))
        batch = VideoInMemory(image, BATCH_RATE)
        pipeline = perceiver(**how, landmarks=landmarks)
        progress = host.progress(len(image))
        perceptions = perceive_video(batch, pipeline, missing=missing, smoothing=smoothing, progress=progress)
        perceptions = relative(perceptions, how.get("neutral"))
        shown = preview(islice(batch.frames(), host.PREVIEWS), perceptions, tracks=len(image) > 1)
        return io.NodeOutput(perceptions, len(perceptions), ui={**shown, **host.note(summary(perceptions, missing))})


def perceiver(
    detector: str = FOR_PICTURES,
    max_faces: int = 10,
    order: str = ORDERS[0],
    min_confidence: float = 0.5,
    face_index: int = ALL_FACES,
    landmarker: str = BUNDLED,
    emotion_model: str = DEFAULT_EMOTION_MODEL,
    neutral: Perceptions | None = None,
    landmarks: Landmarker | None = None,
) -> PerceptionPipeline:
    """Return the pipeline that the widgets of `perceiving_inputs` describe; `landmarks` override theirs."""
    check_choice("detector", detector, DETECTORS)
    check_choice("order", order, ORDERS)
    check_choice("landmarker", landmarker, LANDMARKERS)
    if neutral is not None:
        check_perceptions(neutral, "neutral")
    return PerceptionPipeline(
        host.landmarker(landmarker, detector) if landmarks is None else landmarks,
        host.emotion_model(emotion_model, neutral),
        min_confidence=min_confidence,
        selection=Selection(order, max_faces, None if face_index == ALL_FACES else face_index),
    )


def relative(perceptions: Perceptions, neutral: Perceptions | None) -> Perceptions:
    """Return the faces; their origins record the `neutral` face, if any, that their emotions are relative to."""
    if neutral is None or not len(perceptions):
        return perceptions
    return replace(perceptions, origins=derived("relative", perceptions.origins, neutral.origins[:1]))


def comfy_landmarks(data: Any, pictures: int) -> ComfyLandmarks:
    """Return ComfyUI's own face landmarks of that number of pictures; raise ValueError for anything else."""
    landmarks = ComfyLandmarks(data)
    if len(landmarks) != pictures:
        raise ValueError(
            f"face_landmarks are for {counted(len(landmarks), 'picture')}, but image has {pictures}; {SAME_PICTURES}"
        )
    return landmarks


def preview(frames: Iterable[Frame], perceptions: Perceptions, *, tracks: bool) -> dict[str, Any]:
    """Return the pictures with their faces drawn on them, as a node's `ui` entry."""
    faces, overlay = FacesOfFrames(perceptions), Overlay(tracks=tracks)
    return host.preview([overlay.draw(frame.picture, faces[frame.number]) / 255 for frame in frames])


def summary(perceptions: Perceptions, missing: str) -> str:
    """Summarize the faces in a few lines: their number, the first one's emotion, and the pictures without a face."""
    detected = perceptions.select((perceptions.scores > 0).nonzero()[:, 0].tolist())  # not those filled in
    lines = [extent(detected)]
    if len(detected):
        lines[0] += f"; the first looks {strongest(detected)}"
    empty = detected.empty_frames
    if empty and detected.frame_count > 1:
        shown = ", ".join(map(str, empty[:10])) + (", …" if len(empty) > 10 else "")
        lines.append(f"no face in {counted(len(empty), 'picture')} (counted from 0): {shown}")
    if empty and missing != "skip":
        lines.append(f"filled in: {missing}" if len(perceptions) else "there is no face to fill in from")
    return "\n".join(lines)
