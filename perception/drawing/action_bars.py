"""Draw one face with a bar for each of its 52 actions."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image
from torch import Tensor

from ..actions.names import ACTIONS, INDEX
from ..geometry import AXES
from ..vector import Perception
from .canvas import Canvas
from .contact_sheet import contact_sheet
from .panels import BAR_BACKGROUND, BRIGHT, DIMMED

FONT_SIZE, SMALL = 17, 15  # pixels
MARGIN, ROW, GAP = 20, 22, 10  # pixels around everything; from a bar to the next; between groups
SIDE = 264  # pixels: the width of a face
LABEL, BAR, NUMBER = 156, 130, 44  # pixels: between the bars, the longest bar, a bar's number
CURVE = 110  # pixels: the height of the curve
BLUE, CHOSEN = (96, 185, 240), (255, 213, 79)
THICK = 12

# Label → the actions of the person's right and left side, by part of the face; those in the middle are on both.
OPPOSITE = {"jaw sideways": ("jawRight", "jawLeft"), "mouth sideways": ("mouthRight", "mouthLeft")}
SIDEWAYS = {name for pair in OPPOSITE.values() for name in pair}


def _rows() -> list[list[tuple[str, str, str]]]:
    """Return the rows of each part of the face: label, action on the right, action on the left."""
    groups: list[list[tuple[str, str, str]]] = []
    for part in ("brow", "eye", "cheek", "jaw", "mouth", "nose"):
        rows = [(label, *pair) for label, pair in OPPOSITE.items() if label.startswith(part)]
        for name in ACTIONS:
            if name.startswith(part) and name not in SIDEWAYS:
                label = name.removesuffix("Left").removesuffix("Right")
                if label == name:
                    rows.append((label, name, name))
                elif name.endswith("Left"):
                    rows.append((label, f"{label}Right", name))
        groups.append(sorted(rows))
    return groups


GROUPS = _rows()


def action_picture(
    face: Perception, actions: Tensor, angles: Sequence[float], caption: str, chosen: str, curve: Sequence[float] = ()
) -> Image.Image:
    """Return an RGB picture of a face beside the bars of its actions; the person's right side is on the left.

    `actions` (52,) are in 0…1, `angles` are gaze yaw and pitch, then head yaw, pitch and roll in degrees. The name
    `chosen` is highlighted; `curve` are its values over the pictures of a sequence, drawn if there are several.
    """
    sheet = contact_sheet(face.vector[None], _size(face), [caption], columns=1).numpy()
    count = sum(map(len, GROUPS))
    height = 2 * MARGIN + ROW * (count + 1) + GAP * len(GROUPS)
    canvas = Canvas(3 * MARGIN + SIDE + LABEL + 2 * (BAR + NUMBER), height)
    middle = 2 * MARGIN + SIDE + NUMBER + BAR + LABEL / 2
    y = MARGIN + ROW // 2
    for side, name in ((-1, "person's right"), (1, "person's left")):
        canvas.write(middle + side * (LABEL / 2 + BAR / 2), y, name, SMALL, DIMMED, align=0.5)
    values = actions.tolist()
    for group in GROUPS:
        y += GAP
        for label, right, left in group:
            y += ROW
            color = CHOSEN if chosen in (label, right, left) else BLUE
            canvas.write(middle, y, label, SMALL, BRIGHT if color == CHOSEN else DIMMED, align=0.5)
            for side, action in ((-1, right), (1, left)):
                marked = chosen in (label, action) or right == left == chosen
                _bar(canvas, middle + side * LABEL / 2, y, side, values[INDEX[action]], CHOSEN if marked else BLUE)
    y = MARGIN + sheet.shape[0]
    for what, degrees in (("gaze", angles[:2]), ("head", angles[2:])):
        y += ROW
        words = "  ".join(f"{axis} {round(angle):+d}°" for axis, angle in zip(AXES, degrees, strict=False))
        canvas.write(MARGIN + 12, y, what, FONT_SIZE, DIMMED)
        canvas.write(MARGIN + 62, y, words, FONT_SIZE, BRIGHT)
    if len(curve) > 1:
        _curve(canvas, y + 2 * ROW, chosen, curve)
    picture = canvas.finished()
    picture.paste(Image.fromarray(sheet), (MARGIN, MARGIN))
    return picture


def nothing_to_draw(reason: str) -> Image.Image:
    """Return an RGB picture with a line of text."""
    canvas = Canvas(3 * MARGIN + SIDE + LABEL + 2 * (BAR + NUMBER), 2 * MARGIN + ROW)
    canvas.write(canvas.width / 2, canvas.height / 2, reason, FONT_SIZE, BRIGHT, align=0.5)
    return canvas.finished()


def _size(face: Perception) -> Tensor:
    return face.vector.new_tensor([face.image_size])


def _bar(canvas: Canvas, start: float, y: float, side: int, value: float, color: tuple[int, int, int]) -> None:
    """Draw a bar of a value in 0…1 that grows from `start` to the right for side 1, to the left for −1."""
    canvas.bar(start, y, side * BAR, value, color, THICK)
    bright = BRIGHT if value >= 0.1 else DIMMED
    canvas.write(start + side * (BAR + 6), y, f"{value:.2f}", SMALL, bright, align=0 if side > 0 else 1)


def _curve(canvas: Canvas, top: float, name: str, values: Sequence[float]) -> None:
    left, right = MARGIN + 12, MARGIN + SIDE - 12
    canvas.write(left, top, f"{name} over the pictures", SMALL, DIMMED)
    top += ROW
    for share in (0.0, 1.0):
        canvas.line([(left, top + share * CURVE), (right, top + share * CURVE)], BAR_BACKGROUND, 1)
    steps = [left + (right - left) * index / (len(values) - 1) for index in range(len(values))]
    canvas.line([(x, top + CURVE * (1 - value)) for x, value in zip(steps, values, strict=True)], CHOSEN, 2)
