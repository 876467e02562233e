"""Recording yourself: selection of good frames and storage in a dataset.

Nothing here opens a camera or a window: the input is frames with their times, and the `Session` contains what to show
(training/capture/view.py draws it, training/capture/camera.py has the camera and the window).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor

from ...perception.emotions.expression import ExpressionModel
from ...perception.geometry import head_pose
from ...perception.origins import as_texts, face_number
from ...perception.pipeline import PerceptionPipeline
from ...perception.sequences.videos import Frame
from ...perception.vector import Perceptions
from ..dataset.samples import Samples
from ..dataset.store import Store
from ..encoders.base import TextEncoder, fingerprint
from ..sources.media import origin_of
from .session import Session

NO_FACE, TOO_SMALL, TURNED, BLURRED = "no face", "face too small", "turn toward the camera", "blurred"
LOOKS_DOWN, LOOKS_UP = "look up a little", "look down a little"
CROP = 96  # pixels: the side length to which a face is scaled before its sharpness is measured


@dataclass(frozen=True)
class Limits:
    """The requirements of a good frame.

    The minimum sharpness is based on 21 photos and 12 frames of a film clip of 640 × 360, all with faces of 100 pixels
    or more: unchanged, their sharpness is 0.06…0.56; blurred by 2 % of the face's height (Gaussian, one sigma), it is
    0.002…0.037, with a median of 0.007. With a blur of 1 %, 8 of the 21 photos and none of the frames still pass.
    Beyond about 35° the far half of a face is guessed rather than seen.
    """

    max_yaw: float = 35.0  # degrees, to either side
    max_pitch: float = 30.0  # degrees, up or down
    min_face: float = 100.0  # pixels: the longer side of the box around the landmarks
    min_sharpness: float = 0.04  # see `sharpness`


@dataclass(frozen=True)
class FrameCheck:
    """The result of examining a frame."""

    faces: Perceptions  # of one picture: one face, or none
    problem: str  # why the frame is not good; empty if it is


def sharpness(picture: Tensor, box: tuple[float, float, float, float]) -> float:
    """Return the sharpness of a picture (H, W, 3) uint8 in a box: left, top, right, bottom in pixels.

    It is the variance of the Laplacian (Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, ICPR 2000)
    of the gray crop at 96 × 96 pixels, divided by the crop's own variance, so that a face in dim light does not count
    as blurred. It is 0 for a box outside of the picture.
    """
    height, width = picture.shape[:2]
    left, top = (min(max(value, 0.0), limit) for value, limit in zip(box[:2], (width, height), strict=True))
    right, bottom = (min(max(value, 0.0), limit) for value, limit in zip(box[2:], (width, height), strict=True))
    if right - left < 1 or bottom - top < 1:
        return 0.0
    image = Image.fromarray(picture.numpy()).convert("L")
    crop = image.resize((CROP, CROP), Image.Resampling.BILINEAR, box=(left, top, right, bottom))
    gray = np.asarray(crop, dtype=np.float32)
    middle = gray[1:-1, 1:-1]
    laplacian = gray[:-2, 1:-1] + gray[2:, 1:-1] + gray[1:-1, :-2] + gray[1:-1, 2:] - 4 * middle
    return float(laplacian.var() / max(gray.var(), 1.0))


class Recorder:
    """Evaluates frames and appends the good ones to a dataset; each is safe on disk when `save` returns.

    Args:
        store: receives the samples.
        pipeline: finds one face in each picture.
        encoder: encodes each prompt once, now.
        prompts: all prompts of the session.
        limits: the requirements of a good frame.
        group: the group of all samples, the name of the session.
        source: a readable name of the frames' source: "camera 0".
        content: SHA-256 of the video that contains the frames, by which a frame with the same prompt is recognized
            when it is recorded again. None for a camera.

    Raises StoreError if the dataset's samples were created with other models.
    """

    def __init__(
        self,
        store: Store,
        pipeline: PerceptionPipeline,
        encoder: TextEncoder,
        prompts: Sequence[str],
        *,
        limits: Limits,
        group: str,
        source: str,
        content: bytes | None = None,
    ) -> None:
        self.store, self.pipeline, self.limits = store, pipeline, limits
        self.group, self.source, self._content = group, source, content
        landmarker, emotion_model = pipeline.landmarker.identity, pipeline.emotion_model.identity
        store.set_provenance(encoder.identity, fingerprint(encoder), landmarker, emotion_model, space=encoder.space)
        texts = list(dict.fromkeys(prompts))
        self._rows = {text: slice(row, row + 1) for row, text in enumerate(texts)}
        self._embeddings, self._added_targets = encoder.encode(texts), encoder.added_targets(texts)
        self._template = ExpressionModel.load().template

    def check(self, picture: Tensor) -> FrameCheck:
        """Find the face in a picture (H, W, 3) uint8 and return it with its problem, if any."""
        faces = self.pipeline([picture])
        return FrameCheck(faces, self._problem(picture, faces) if len(faces) else NO_FACE)

    def save(self, frame: Frame, check: FrameCheck, prompt: str) -> bool:
        """Append a frame's face as a sample of one of the prompts; return False if the dataset already has it."""
        row = self._rows[prompt]
        samples = Samples(
            check.faces.vectors[:1].numpy(),
            check.faces.image_sizes[:1].numpy(),
            [prompt],
            self._embeddings[row].numpy(),
            [self.group],
            [f"{self.source}#frame={frame.number}"],
            ["capture " + self._origin(frame, check)],
            scores=check.faces.scores[:1].numpy(),
            added_targets={name: values[row].numpy() for name, values in self._added_targets.items()},
        )
        return self.store.append(samples) == 1

    def _origin(self, frame: Frame, check: FrameCheck) -> str:
        """Return the origin of the face: a frame of a file, or a picture that only the camera had."""
        if self._content is not None:
            return origin_of(self._content, frame.number, face_number(frame.picture, check.faces.origins[0]))
        return as_texts(check.faces.origins[:1])[0]

    def _problem(self, picture: Tensor, faces: Perceptions) -> str:
        face, limits = faces[0], self.limits
        left, top, right, bottom = face.box
        if max(right - left, bottom - top) < limits.min_face:
            return TOO_SMALL
        yaw, pitch, _ = head_pose(faces.landmarks[:1], faces.image_sizes[:1], self._template)[0].tolist()
        if abs(yaw) > limits.max_yaw:
            return TURNED
        if abs(pitch) > limits.max_pitch:
            return LOOKS_UP if pitch > 0 else LOOKS_DOWN
        return BLURRED if sharpness(picture, face.box) < limits.min_sharpness else ""


def record(
    frames: Iterable[Frame],
    session: Session,
    recorder: Recorder,
    show: Callable[[Frame, FrameCheck, Session], str] | None = None,
    *,
    live: bool = False,
) -> None:
    """Read frames until the session is done or they end; good frames that are due are saved at once.

    `show`, if not None, receives every frame and returns the pressed key, or "". `live` frames continue while the
    session is paused; others wait.
    """
    for frame in frames:
        session.advance(frame.time)
        if session.done:
            return
        if show is None and not session.due:
            continue
        check = recorder.check(frame.picture)
        if session.due:
            known = not check.problem and not recorder.save(frame, check, session.tally.prompt)
            session.note(check.problem, known=known)
        if show is not None:
            session.obey(show(frame, check, session))
            while session.paused and not live and not session.done:
                session.obey(show(frame, check, session))
        if session.done:
            return
