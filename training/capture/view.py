"""The contents of the `capture` window: the picture with its overlay, the prompt, and the state of the recording."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from math import ceil

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from ...common.fonts import Font, font_for
from ...common.words import wrapped
from ...perception.drawing import panels
from ...perception.drawing.overlay import Overlay
from ...perception.vector import LANDMARKS, Perception, pack
from .recorder import FrameCheck
from .session import CaptureError, Session

STAGE = 960, 540  # pixels: the picture is fitted into this area
BAND = 176  # pixels: the height of the band below it
MARGIN = 28
PROMPT_SIZES = range(44, 19, -4)  # pixels, tried from the largest
TWO_LINES = 36  # pixels: up to this size a prompt may have two lines
BACKGROUND, BAR_BACKGROUND = panels.BACKGROUND[:3], panels.BAR_BACKGROUND
BRIGHT, DIMMED = panels.BRIGHT, panels.DIMMED
WAITING, RECORDING, GOOD, REFUSED = (255, 193, 79), (240, 84, 84), (126, 211, 120), (255, 160, 75)
HELP = "space  pause      n  next prompt      r  repeat prompt      q or Esc  quit"


class View:
    """Draws the window. `mirrored` flips the picture like a mirror; `font` is a font file for the prompts.

    Raises CaptureError if the font cannot be read.
    """

    def __init__(self, *, mirrored: bool, font: str | None = None) -> None:
        self.mirrored, self.font = mirrored, font
        self._overlay = Overlay()
        if font is not None:
            try:
                ImageFont.truetype(font, PROMPT_SIZES[0])
            except OSError as error:
                raise CaptureError(f"{font}: the font cannot be read; pass a TrueType or OpenType file") from error

    def draw(self, picture: Tensor, check: FrameCheck, session: Session) -> Tensor:
        """Return the window (716, 960, 3) uint8 for a picture (H, W, 3) uint8 of any size and its faces."""
        width, height = STAGE
        canvas = Image.new("RGBA", (width, height + BAND), BACKGROUND)
        image = Image.fromarray(self._stage(picture, check).numpy())
        canvas.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
        if session.done:
            _badge(canvas, "done", GOOD)
        elif session.paused:
            _badge(canvas, "paused", DIMMED)
        elif session.recording:
            _badge(canvas, "recording", RECORDING)
        else:
            _countdown(canvas, ceil(session.countdown))
        self._band(canvas, check, session)
        return _pixels(canvas.convert("RGB"))

    def _stage(self, picture: Tensor, check: FrameCheck) -> Tensor:
        """Return the picture at its size in the window, with the overlay."""
        image = Image.fromarray(picture.numpy())
        scale = min(STAGE[0] / image.width, STAGE[1] / image.height)
        size = max(round(image.width * scale), 1), max(round(image.height * scale), 1)
        image = image.resize(size, Image.Resampling.BILINEAR)
        faces = list(check.faces)
        if self.mirrored:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            faces = [mirror(face) for face in faces]
        return self._overlay.draw(_pixels(image), faces)

    def _band(self, canvas: Image.Image, check: FrameCheck, session: Session) -> None:
        """Draw the prompt, a progress bar, and the state of the recording and of the current frame."""
        draw = ImageDraw.Draw(canvas)
        width, top = STAGE
        left, right = MARGIN, width - MARGIN
        lines, font = fitted(session.tally.prompt, right - left, self.font)
        for row, line in enumerate(lines):
            middle = top + 52 + (row - (len(lines) - 1) / 2) * 42
            draw.text((width / 2, middle), line, BRIGHT, font, anchor="mm")
        bar = top + 106
        draw.rounded_rectangle((left, bar, right, bar + 10), 5, BAR_BACKGROUND)
        if session.progress > 0:
            end = max(left + 10, left + round(session.progress * (right - left)))
            draw.rounded_rectangle((left, bar, end, bar + 10), 5, DIMMED if session.paused else RECORDING)
        prompts = len(session.tallies)
        where = f"prompt {min(session.turn + 1, prompts)} of {prompts}, {session.tally.in_words}"
        panels.write(canvas, left, top + 136, where, 20, BRIGHT, align=0)
        panels.write(canvas, right, top + 136, check.problem or "good", 24, REFUSED if check.problem else GOOD, align=1)
        panels.write(canvas, left, top + 161, HELP, 15, DIMMED, align=0)


def mirror(face: Perception) -> Perception:
    """Return a face as it appears in the mirrored picture, for drawing; landmark 33 stays the same eye."""
    flip = torch.tensor([1.0, 0.0, 0.0]).expand(LANDMARKS, 3)
    landmarks = (flip - face.landmarks) * flip + face.landmarks * (1 - flip)
    left, top, right, bottom = face.box
    width = face.image_size[1]
    return replace(
        face, vector=pack(landmarks[None], face.emotions[None])[0], box=(width - right, top, width - left, bottom)
    )


@lru_cache(maxsize=16)
def fitted(prompt: str, width: int, font_file: str | None = None) -> tuple[list[str], Font]:
    """Return a prompt on one or two lines with the largest font that fits `width`; prompts that do not fit are cut."""
    text = " ".join(prompt.split())
    for size in PROMPT_SIZES:
        font = prompt_font(prompt, size, font_file)
        lines = wrapped(text, width, font.getlength)
        if len(lines) <= (1 if size > TWO_LINES else 2):
            return lines, font
    return wrapped(text, width, font.getlength, most=2), font


def prompt_font(text: str, size: int, font_file: str | None = None) -> Font:
    """Return the font in `font_file`, else the first font, Pillow's or the system's, that covers the most text."""
    return font_for(text, size) if font_file is None else ImageFont.truetype(font_file, size)


def _badge(canvas: Image.Image, text: str, color: panels.Color) -> None:
    """Draw a dot and a word in the upper left corner."""
    draw = ImageDraw.Draw(canvas)
    draw.rounded_rectangle((16, 16, 66 + panels.text_width(text, 22), 54), 19, BACKGROUND)
    draw.ellipse((28, 27, 44, 43), color)
    panels.write(canvas, 52, 35, text, 22, BRIGHT, align=0)


def _countdown(canvas: Image.Image, seconds: int) -> None:
    """Draw the remaining seconds in large digits in the upper left corner."""
    ImageDraw.Draw(canvas).ellipse((16, 16, 128, 128), BACKGROUND, WAITING, 5)
    panels.write(canvas, 72, 72, str(seconds), 72, WAITING, align=0.5)


def _pixels(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image))
