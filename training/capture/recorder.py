"""Recording yourself: which frames are good, and their way into a dataset.

Nothing here opens a camera or a window: frames with their times go in, and what to show can be read off the
`Session` (training/capture/view.py draws it, training/capture/camera.py has the camera and the window).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image
from torch import Tensor

from ...perception.emotions.expression import ExpressionModel
from ...perception.geometry import head_pose
from ...perception.origins import as_texts
from ...perception.pipeline import PerceptionPipeline
from ...perception.sequences.videos import Frame
from ...perception.vector import Perceptions
from ..dataset.store import Store
from ..encoders.base import TextEncoder, fingerprint
from ..sources.media import origin_of
from .session import Session

NO_FACE, TOO_SMALL, TURNED, BLURRED = "no face", "face too small", "turn toward the camera", "blurred"
LOOKS_DOWN, LOOKS_UP = "look up a little", "look down a little"
CROP = 96  # pixels: the side that a face is brought to before its sharpness is measured


@dataclass(frozen=True)
class Limits:
    """What a good frame needs.

    The least sharpness is measured on 21 photos and 12 frames of a film clip of 640 × 360, all with faces of 100
    pixels or more: as they are they have 0.06…0.56; blurred by 2 % of the face's height (Gaussian, one sigma)
    0.002…0.037, half of them at most 0.007. A blur of 1 % still passes in 8 of the 21 photos and in no frame.
    Beyond some 35° the far half of a face is guessed rather than seen.
    """

    max_yaw: float = 35.0  # degrees, to either side
    max_pitch: float = 30.0  # degrees, up or down
    min_face: float = 100.0  # pixels: the longer side of the landmarks' box
    min_sharpness: float = 0.04  # see `sharpness`


@dataclass(frozen=True)
class Look:
    """What a frame shows."""

    faces: Perceptions  # of one picture: one face, or none
    problem: str  # why it is not good; empty if it is


def sharpness(picture: Tensor, box: tuple[float, float, float, float]) -> float:
    """How sharp a picture (H, W, 3) uint8 is in a box: left, top, right, bottom in pixels.

    The variance of the Laplacian (Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy, ICPR 2000) of
    the grey crop at 96 × 96 pixels, in units of the crop's own variance: a face in dim light is not a blurred one.
    0 for a box outside of the picture.
    """
    height, width = picture.shape[:2]
    left, top = (min(max(value, 0.0), limit) for value, limit in zip(box[:2], (width, height), strict=True))
    right, bottom = (min(max(value, 0.0), limit) for value, limit in zip(box[2:], (width, height), strict=True))
    if right - left < 1 or bottom - top < 1:
        return 0.0
    image = Image.fromarray(picture.numpy()).convert("L")
    crop = image.resize((CROP, CROP), Image.Resampling.BILINEAR, box=(left, top, right, bottom))
    grey = np.asarray(crop, dtype=np.float32)
    middle = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * middle
    return float(laplacian.var() / max(grey.var(), 1.0))


class Recorder:
    """Judges frames and appends the good ones to a dataset; each is safe on disk when `save` returns.

    Args:
        store: gets the samples.
        pipeline: finds one face in each picture.
        encoder: encodes the prompts, once each, now.
        prompts: those to come.
        limits: what makes a frame good.
        group: of all samples, the name of the session.
        source: what the frames are from, for people to read: "camera 0".
        content: SHA-256 of the video that the frames are from: it makes a frame with the same prompt known when it
            comes again. None for a camera.

    Raises StoreError if the dataset's samples were made with other models.
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
        store.bind(encoder.identity, fingerprint(encoder), landmarker, emotion_model, space=encoder.space)
        texts = list(dict.fromkeys(prompts))
        self._rows = {text: slice(row, row + 1) for row, text in enumerate(texts)}
        self._embeddings, self._extras = encoder.encode(texts), encoder.extras(texts)
        self._template = ExpressionModel.load().template

    def look(self, picture: Tensor) -> Look:
        """Find the face in a picture (H, W, 3) uint8, and judge it."""
        faces = self.pipeline([picture])
        return Look(faces, self._problem(picture, faces) if len(faces) else NO_FACE)

    def save(self, frame: Frame, look: Look, prompt: str) -> bool:
        """Append a frame's face as a sample of one of the prompts; False if it was in the dataset before."""
        row = self._rows[prompt]
        new = self.store.append(
            look.faces.vectors[:1],
            look.faces.image_sizes[:1],
            [prompt],
            self._embeddings[row],
            [self.group],
            [f"{self.source}#frame={frame.number}"],
            ["capture " + self._origin(frame, look)],
            scores=look.faces.scores[:1],
            extras={name: values[row] for name, values in self._extras.items()},
        )
        return new == 1

    def _origin(self, frame: Frame, look: Look) -> str:
        """What the face is made from: a frame of a file, or a picture that only the camera had."""
        if self._content is not None:
            return origin_of(self._content, frame.number)
        return as_texts(look.faces.origins[:1])[0]

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
    show: Callable[[Frame, Look, Session], str] | None = None,
    *,
    live: bool = False,
) -> None:
    """Take frames until the session is done or they end; what is good and due is saved at once.

    `show`, if given, gets every frame, and returns the key that was pressed, or "". `live` frames go on coming while
    the session is paused; others wait.
    """
    for frame in frames:
        session.advance(frame.time)
        if session.done:
            return
        if show is None and not session.due:
            continue
        look = recorder.look(frame.picture)
        if session.due:
            known = not look.problem and not recorder.save(frame, look, session.tally.prompt)
            session.note(look.problem, known=known)
        if show is not None:
            session.obey(show(frame, look, session))
            while session.paused and not live and not session.done:
                session.obey(show(frame, look, session))
        if session.done:
            return
