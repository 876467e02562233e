#!/usr/bin/env python3
"""Draw the pictures that the README and ComfyUI's template browser show, from two public-domain photos.

usage: python tools/make_pictures.py    (writes web/overview.jpg and workflows/*.jpg; needs scikit-image and
matplotlib)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise, product
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from perception_clip.perception.actions.model import ActionModel
from perception_clip.perception.comparison.compare import compare
from perception_clip.perception.comparison.expressions import ExpressionReader
from perception_clip.perception.drawing.overlay import draw_batch
from perception_clip.perception.drawing.panels import COLORS
from perception_clip.perception.editing.edit import edit
from perception_clip.perception.editing.join import join
from perception_clip.perception.editing.schedule import spread
from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.perception.topology import CLOSED_LINES, OPEN_LINES, mesh_lines
from perception_clip.perception.vector import EMOTIONS, Perceptions
from perception_clip.training.commands.demo import sample_photos

ROOT = Path(__file__).resolve().parents[1]
HEIGHT = 480  # pixels, of the README's picture
SIDE = 640  # pixels, of a thumbnail
ZOOM = 2  # thumbnails are drawn this many times larger, then reduced, for smooth lines
TITLE = 92  # pixels at the bottom, for the title
SHRUNK = 0.89  # of the drawing above the title, which leaves the top to the template browser's badge
QUALITY = 86

Box = tuple[float, float, float, float]  # left, top, right, bottom
Color = tuple[int, int, int]
WIDE: dict[str, Box] = {"astronaut": (60, 0, 460, 400), "grace_hopper": (50, 60, 462, 560)}
FACE: dict[str, Box] = {"astronaut": (84, 0, 364, 280), "grace_hopper": (96, 60, 426, 390)}
SAYS = {"astronaut": "“a person smiling”", "grace_hopper": "“a calm person”"}
DARK, PLATE, WORDS, DIM = (18, 22, 30), (34, 40, 54), (245, 246, 248), (150, 162, 178)
YELLOW, BLUE, ORANGE, GREEN, RED = (255, 213, 79), (105, 180, 250), (255, 160, 75), (120, 205, 130), (255, 85, 85)
MESH = (58, 92, 122)


def main() -> None:
    photos = {photo.name: photo.picture for photo in sample_photos()}
    wide = [cropped(photos[name], box) for name, box in WIDE.items()]
    drawn = draw_batch(wide, PerceptionPipeline()(wide))
    strip = [scaled(picture, HEIGHT) for pair in zip(wide, drawn, strict=True) for picture in pair]
    in_a_row(strip).save(ROOT / "web" / "overview.jpg", quality=88)
    for name, thumbnail in THUMBNAILS.items():
        page = Page()
        thumbnail(page)
        page.finished().save(ROOT / "workflows" / f"{name}.jpg", quality=QUALITY, optimize=True)


def cropped(picture: Tensor, box: Box) -> Tensor:
    left, top, right, bottom = map(int, box)
    return picture[top:bottom, left:right].contiguous()


def scaled(picture: Tensor, height: int) -> Image.Image:
    image = Image.fromarray(picture.numpy())
    return image.resize((round(image.width * height / image.height), height), Image.Resampling.LANCZOS)


def in_a_row(images: Sequence[Image.Image]) -> Image.Image:
    canvas = Image.new("RGB", (sum(image.width for image in images), images[0].height), DARK)
    left = 0
    for image in images:
        canvas.paste(image, (left, 0))
        left += image.width
    return canvas


# --- two faces and their perceptions ---------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def faces() -> tuple[dict[str, Tensor], Perceptions]:
    """Return the photos (H, W, 3) uint8, cropped to their faces, and both perceptions."""
    pictures = {photo.name: cropped(photo.picture, FACE[photo.name]) for photo in sample_photos()}
    return pictures, PerceptionPipeline()(list(pictures.values()))


def face(name: str, **sliders: float) -> Perceptions:
    """Return the face of one photo with another expression."""
    pictures, found = faces()
    alone = replace(found.select([list(pictures).index(name)]), frames=torch.zeros(1, dtype=torch.int64), frame_count=1)
    return edit(alone, sliders, 1.0, ExpressionModel.load())


def overlay(name: str) -> Tensor:
    """Return a photo with its perception drawn on it."""
    pictures, found = faces()
    return draw_batch(list(pictures.values()), found)[list(pictures).index(name)]


# --- drawing --------------------------------------------------------------------------------------------------------


class Page:
    """A thumbnail to draw on, in units of its pixels, x to the right and y down."""

    def __init__(self) -> None:
        self.image = Image.new("RGB", (SIDE * ZOOM, SIDE * ZOOM), DARK)
        self.pen = ImageDraw.Draw(self.image)

    def finished(self) -> Image.Image:
        """Return the thumbnail at its size, with the drawing shrunk towards the title."""
        whole = self.image.reduce(ZOOM)
        width, height = SIDE, SIDE - TITLE
        smaller = self.image.crop((0, 0, width * ZOOM, height * ZOOM)).resize(
            (round(width * SHRUNK), round(height * SHRUNK)), Image.Resampling.LANCZOS
        )
        whole.paste(DARK, (0, 0, width, height))
        whole.paste(smaller, ((width - smaller.width) // 2, height - smaller.height))
        return whole

    def title(self, words: str, below: str) -> None:
        """Draw the name at the bottom, and a smaller line below it."""
        self.pen.rectangle(zoomed((0, SIDE - TITLE, SIDE, SIDE)), PLATE)
        self.write(SIDE / 2, SIDE - 0.64 * TITLE, words, 37)
        self.write(SIDE / 2, SIDE - 0.23 * TITLE, below, 22, DIM)

    def write(self, x: float, y: float, words: str, size: float, color: Color = WORDS, anchor: str = "mm") -> None:
        self.pen.text((x * ZOOM, y * ZOOM), words, color, ImageFont.load_default(size * ZOOM), anchor)

    def photo(self, picture: Tensor, left: float, top: float, side: float, border: Color | None = None) -> None:
        """Draw a square picture with round corners and an optional colored border."""
        pixels = round(side * ZOOM)
        image = Image.fromarray(picture.numpy()).resize((pixels, pixels), Image.Resampling.LANCZOS)
        mask = Image.new("L", image.size)
        ImageDraw.Draw(mask).rounded_rectangle((0, 0, pixels - 1, pixels - 1), 14 * ZOOM, 255)
        self.image.paste(image, (round(left * ZOOM), round(top * ZOOM)), mask)
        if border is not None:
            self.pen.rounded_rectangle(zoomed((left, top, left + side, top + side)), 14 * ZOOM, None, border, 4 * ZOOM)

    def plate(self, box: Box, color: Color = PLATE, radius: float = 14) -> None:
        self.pen.rounded_rectangle(zoomed(box), radius * ZOOM, color)

    def chip(self, x: float, y: float, words: str, size: float, color: Color) -> None:
        """Draw text centered on a colored pill."""
        half = self.pen.textlength(words, ImageFont.load_default(size * ZOOM)) / ZOOM / 2 + 0.6 * size
        self.plate((x - half, y - 0.85 * size, x + half, y + 0.85 * size), color, 0.85 * size)
        self.write(x, y, words, size, DARK)

    def arrow(self, start: tuple[float, float], end: tuple[float, float], color: Color = WORDS) -> None:
        """Draw a thick horizontal or vertical arrow."""
        (x, y), (to_x, to_y) = start, end
        length = max(abs(to_x - x), abs(to_y - y))
        along = (to_x - x) / length, (to_y - y) / length
        neck = to_x - 16 * along[0], to_y - 16 * along[1]
        self.line([start, neck], color, 9)
        across = -along[1] * 16, along[0] * 16
        head = [end, (neck[0] + across[0], neck[1] + across[1]), (neck[0] - across[0], neck[1] - across[1])]
        self.pen.polygon([(a * ZOOM, b * ZOOM) for a, b in head], color)

    def line(self, points: Sequence[tuple[float, float]], color: Color, width: float) -> None:
        self.pen.line([(x * ZOOM, y * ZOOM) for x, y in points], color, round(width * ZOOM), joint="curve")

    def dot(self, x: float, y: float, radius: float, color: Color) -> None:
        self.pen.ellipse(zoomed((x - radius, y - radius, x + radius, y + radius)), color)

    def drawn_face(self, perceptions: Perceptions, box: Box, color: Color = YELLOW) -> None:
        """Draw the first face's landmarks as a mesh with bright features, as large as fits."""
        height, width = perceptions.image_sizes[0].tolist()
        points = perceptions.landmarks[0, :468, :2] * torch.tensor([width, height])
        low, high = points.amin(dim=0), points.amax(dim=0)
        left, top, right, bottom = box
        scale = min((right - left) / float(high[0] - low[0]), (bottom - top) / float(high[1] - low[1]))
        middle = torch.tensor([(left + right) / 2, (top + bottom) / 2])
        placed = [(x, y) for x, y in ((points - (low + high) / 2) * scale + middle).tolist()]
        thick = max(1.6, (right - left) / 90)
        for one in mesh_lines():
            if max(one) < len(placed):
                self.line([placed[index] for index in one], MESH, thick / 3)
        for one in CLOSED_LINES:
            self.line([placed[index] for index in (*one, one[0])], color, thick)
        for one in OPEN_LINES:
            self.line([placed[index] for index in one], color, thick)

    def shares(self, perceptions: Perceptions, box: Box) -> None:
        """Draw a bar for each emotion, as long as its probability."""
        left, top, right, bottom = box
        step = (bottom - top) / len(EMOTIONS)
        for row, (emotion, value) in enumerate(zip(EMOTIONS, perceptions.emotions[0].tolist(), strict=True)):
            y = top + (row + 0.5) * step
            self.write(left, y, emotion, 0.56 * step, WORDS if value > 0.2 else DIM, "lm")
            start = left + 0.48 * (right - left)
            self.plate((start, y - 0.26 * step, right, y + 0.26 * step), (52, 60, 76), 0.26 * step)
            end = start + max(value, 0.05) * (right - start)
            self.plate((start, y - 0.26 * step, end, y + 0.26 * step), COLORS[emotion], 0.26 * step)

    def network(self, box: Box, layers: Sequence[int] = (5, 4, 4, 5)) -> None:
        """Draw dots in columns, each connected to all dots of the next column."""
        left, top, right, bottom = box
        columns = [
            [
                (left + column * (right - left) / (len(layers) - 1), (top + bottom) / 2 + (row - (size - 1) / 2) * 26)
                for row in range(size)
            ]
            for column, size in enumerate(layers)
        ]
        for one, other in pairwise(columns):
            for start, end in product(one, other):
                self.line([start, end], MESH, 1.6)
        for column, points in enumerate(columns):
            for x, y in points:
                self.dot(x, y, 9, (YELLOW, BLUE, BLUE, ORANGE)[column])


def zoomed(box: Box) -> Box:
    left, top, right, bottom = box
    return left * ZOOM, top * ZOOM, right * ZOOM, bottom * ZOOM


# --- a thumbnail for each workflow -----------------------------------------------------------------------------------


def face_to_expression(page: Page) -> None:
    page.photo(overlay("astronaut"), 130, 20, 380)
    page.network((150, 414, 300, 536))
    page.arrow((320, 475), (376, 475))
    page.chip(488, 475, "your prompt", 28, ORANGE)
    page.title("Face to expression", "a trained projection, made on the spot")


def emotion_prompts(page: Page) -> None:
    page.photo(faces()[0]["astronaut"], 24, 24, 284)
    page.arrow((322, 166), (366, 166))
    page.plate((376, 24, 616, 308))
    page.shares(face("astronaut"), (392, 36, 600, 296))
    page.arrow((496, 318), (496, 362))
    page.plate((24, 372, 616, 528))
    page.write(44, 402, "portrait photo of a person, …", 27, DIM, "lm")
    for row, (words, color) in enumerate((("joyful broad smile, laughing eyes", YELLOW), ("amazed eyes", ORANGE))):
        page.write(44, 448 + 44 * row, words, (30, 24)[row], color, "lm")
    page.title("Emotion prompts", "any model, no training")


def picture_edit(page: Page) -> None:
    page.photo(faces()[0]["astronaut"], 24, 24, 220)
    page.arrow((256, 134), (300, 134))
    page.plate((312, 24, 616, 244))
    words = (("“smile broadly”", YELLOW, 0.86), ("“look calm”", WORDS, 0.1), ("“look surprised”", ORANGE, 0.04))
    for row, (text, color, share) in enumerate(words):
        page.write(332, 62 + 68 * row, text, 25, color, "lm")
        page.plate((332, 82 + 68 * row, 596, 92 + 68 * row), (52, 60, 76), 5)
        page.plate((332, 82 + 68 * row, 332 + 264 * max(share, 0.05), 92 + 68 * row), color, 5)
    page.arrow((464, 254), (464, 290))
    page.plate((24, 300, 616, 532))
    page.photo(faces()[0]["grace_hopper"], 40, 316, 200)
    page.arrow((258, 416), (330, 416))
    page.drawn_face(face("grace_hopper", happy=1.5), (370, 318, 570, 514))
    page.title("Picture edit", "Qwen-Image-Edit, no training")


def collect_dataset(page: Page) -> None:
    for row, (name, words) in enumerate(SAYS.items()):
        top = 22 + 266 * row
        page.plate((24, top, 616, top + 242))
        page.photo(overlay(name), 36, top + 11, 220)
        page.arrow((270, top + 121), (316, top + 121))
        page.write(464, top + 92, words, 29)
        page.chip(464, top + 158, ("happy", "neutral")[row], 26, COLORS[("happy", "neutral")[row]])
    page.title("Collect a dataset", "your own faces, in your own words")


def train_and_try(page: Page) -> None:
    for column, emotion in enumerate(("happy", "sad", "surprise", "angry")):
        left = 24 + 151 * column
        page.plate((left, 22, left + 139, 186))
        page.drawn_face(face("grace_hopper", **{emotion: 1.3}), (left + 18, 34, left + 121, 174), COLORS[emotion])
    page.arrow((320, 196), (320, 236))
    page.plate((24, 246, 616, 530))
    page.line([(64, 270), (64, 500), (592, 500)], DIM, 3)
    learned = [(64 + 528 * t / 60, 276 + 200 * (1 - 0.935**t)) for t in range(61)]
    curve = [(64 + 528 * t / 60, 276 + 168 * (1 - 0.915**t)) for t in range(61)]
    page.line(learned, BLUE, 6)
    page.line(curve, ORANGE, 6)
    page.dot(*curve[-1], 10, ORANGE)
    page.write(400, 300, "Ready to use?", 34)
    page.write(400, 340, "It says so, and why.", 26, DIM)
    page.title("Train and try", "inside ComfyUI, in one graph")


def expression_video(page: Page) -> None:
    page.plate((0, 20, SIDE, 268), (44, 50, 64), 0)
    for hole in range(11):
        for y in (28, 244):
            page.plate((18 + 58 * hole, y, 42 + 58 * hole, y + 16), DARK, 4)
    [whole] = [photo.picture for photo in sample_photos() if photo.name == "astronaut"]
    moving = [cropped(whole, (60 + 18 * step, 6 * step, 340 + 18 * step, 280 + 6 * step)) for step in range(4)]
    for column, frame in enumerate(draw_batch(moving, PerceptionPipeline()(moving))):
        page.photo(frame, 14 + 155 * column, 70, 148)
    page.arrow((320, 278), (320, 322))
    keys = join(face("astronaut", surprise=1.4), face("astronaut", happy=1.4))
    for column, frame in enumerate(frames(keys, 4)):
        left = 20 + 151 * column
        page.plate((left, 336, left + 147, 530), PLATE, 8)
        page.drawn_face(frame, (left + 16, 348, left + 131, 518), (ORANGE, ORANGE, YELLOW, YELLOW)[column])
    page.title("Expression video", "a video's face, frame by frame")


def frames(keys: Perceptions, number: int) -> list[Perceptions]:
    """Return faces from the first to the last, in this many steps."""
    spreading = spread(keys, number, "linear")
    return [spreading.select([index]) for index in range(number)]


def webcam(page: Page) -> None:
    page.photo(overlay("astronaut"), 76, 22, 488, RED)
    page.plate((420, 42, 544, 90), DARK, 24)
    page.dot(446, 66, 11, RED)
    page.write(468, 66, "LIVE", 28, WORDS, "lm")
    page.title("Webcam", "make a face, see a picture")


def blend_two_faces(page: Page) -> None:
    pictures, _ = faces()
    page.photo(pictures["grace_hopper"], 24, 22, 272, BLUE)
    page.photo(pictures["astronaut"], 344, 22, 272, YELLOW)
    page.arrow((302, 158), (338, 158))
    mixed = frames(join(face("grace_hopper"), face("astronaut")), 5)
    for column, mixture in enumerate(mixed):
        share = column / (len(mixed) - 1)
        color = tuple(round(a + (b - a) * share) for a, b in zip(BLUE, YELLOW, strict=True))
        left = 24 + 120 * column
        page.drawn_face(mixture, (left, 316, left + 112, 516), color)  # type: ignore[arg-type]
    page.title("Blend two faces", "a row of pictures from one to the other")


def expression_switch(page: Page) -> None:
    """Draw a photo, whose expression the first steps have, and the face that the last ones have."""
    page.plate((24, 22, 308, 410))
    page.photo(overlay("astronaut"), 38, 60, 256, COLORS["happy"])
    page.chip(166, 372, "early: the photo's", 27, COLORS["happy"])
    page.plate((332, 22, 616, 410))
    page.drawn_face(face("astronaut", surprise=1.5), (362, 40, 586, 330), COLORS["surprise"])
    page.chip(474, 372, "late: surprise", 27, COLORS["surprise"])
    page.plate((24, 448, 270, 488), COLORS["happy"], 20)
    page.plate((262, 448, 616, 488), COLORS["surprise"], 20)
    for step in range(20):
        page.dot(44 + 29.1 * step, 468, 5, DARK)
    page.write(24, 514, "first step", 22, DIM, "lm")
    page.write(616, 514, "last step", 22, DIM, "rm")
    page.title("Expression switch", "one expression early, another late")


def sdxl(page: Page) -> None:
    page.plate((24, 22, 616, 530))
    page.drawn_face(face("astronaut", happy=0.6), (60, 60, 380, 494), GREEN)
    page.write(496, 150, "SD", 104, WORDS)
    page.write(496, 262, "XL", 104, GREEN)
    page.chip(496, 366, "1024 by 1024", 27, GREEN)
    page.write(496, 430, "CLIP-L + CLIP-G", 25, DIM)
    page.title("Stable Diffusion XL", "a face steers it, by a trained projection")


def find_strength(page: Page) -> None:
    """Draw edited faces in place of generated ones; the curve is their measured gain."""
    strengths = (0.0, 0.6, 1.2, 1.8)
    row = [face("grace_hopper", happy=strength) for strength in strengths]
    reader = ExpressionReader(ExpressionModel.load(), ActionModel.load())
    gains = [compare(face("astronaut"), one, row[0], reader).gain for one in row]
    columns = [24 + 151 * column for column in range(len(row))]
    for left, one, strength in zip(columns, row, strengths, strict=True):
        color = tuple(round(a + (b - a) * strength / 1.8) for a, b in zip(BLUE, YELLOW, strict=True))
        page.plate((left, 336, left + 139, 530))
        page.drawn_face(one, (left + 18, 380, left + 121, 518), color)  # type: ignore[arg-type]
        page.write(left + 70, 360, f"{strength:g}", 28)
    page.plate((24, 22, 616, 316))
    page.line([(64, 84), (592, 84)], DIM, 2)
    page.line([(64, 42), (64, 286), (592, 286)], DIM, 3)
    page.write(84, 108, "gain 1: the photo's expression", 24, DIM, "lm")
    curve = [(left + 70, 286 - 202 * gain) for left, gain in zip(columns, gains, strict=True)]
    page.line(curve, YELLOW, 6)
    for point in curve:
        page.dot(*point, 10, YELLOW)
    page.title("Find the strength", "a row of pictures, measured")


def change_expression(page: Page) -> None:
    """Draw a photo with the square of its face, and the crop's face with other expressions."""
    picture = faces()[0]["grace_hopper"]
    page.photo(picture, 24, 22, 272)
    page.pen.rectangle(zoomed((82, 62, 252, 232)), None, BLUE, 5 * ZOOM)
    page.arrow((306, 158), (350, 158))
    page.plate((360, 22, 616, 294))
    page.drawn_face(face("grace_hopper"), (404, 44, 572, 272), BLUE)
    for column, emotion in enumerate(("happy", "surprise", "angry", "sad")):
        left = 24 + 151 * column
        page.plate((left, 316, left + 139, 530))
        page.drawn_face(face("grace_hopper", **{emotion: 1.6}), (left + 20, 330, left + 119, 472), COLORS[emotion])
        page.write(left + 70, 504, emotion, 25, COLORS[emotion])
    page.title("Change expression", "of the people in a picture of yours")


def neutral_face(page: Page) -> None:
    page.plate((24, 22, 296, 410))
    page.drawn_face(face("astronaut", happy=0.8), (48, 44, 272, 388), YELLOW)
    page.arrow((306, 216), (334, 216))
    page.plate((344, 22, 616, 410))
    page.drawn_face(face("astronaut", neutral=1.6), (368, 44, 592, 388), WORDS)
    page.plate((24, 440, 616, 520))
    for column, (words, amount) in enumerate((("expression", 0.06), ("denoise", 0.55))):
        left = 44 + 290 * column
        page.write(left, 464, words, 24, DIM, "lm")
        page.plate((left, 486, left + 262, 500), (52, 60, 76), 7)
        page.plate((left, 486, left + 262 * amount, 500), (WORDS, BLUE)[column], 7)
    page.title("Neutral face", "takes the expression away")


def expression_transfer(page: Page) -> None:
    pictures, _ = faces()
    page.photo(pictures["grace_hopper"], 24, 22, 250, BLUE)
    page.photo(overlay("astronaut"), 24, 286, 250, YELLOW)
    page.chip(149, 252, "the person", 22, BLUE)
    page.chip(149, 516, "the expression", 22, YELLOW)
    page.arrow((286, 278), (336, 278))
    page.plate((348, 22, 616, 536))
    page.drawn_face(face("grace_hopper", happy=1.5), (372, 60, 592, 440), GREEN)
    page.write(482, 492, "both", 32, GREEN)
    page.title("Expression transfer", "from one photo to another")


def two_people(page: Page) -> None:
    """Draw two edited faces within the outlines of their heads."""
    page.plate((24, 22, 616, 440))
    for column, (name, emotion) in enumerate((("astronaut", "happy"), ("grace_hopper", "surprise"))):
        left = 64 + 272 * column
        for start in range(0, 360, 24):
            page.pen.arc(zoomed((left - 8, 40, left + 248, 424)), start, start + 14, COLORS[emotion], 4 * ZOOM)
        page.drawn_face(face(name, **{emotion: 1.6}), (left + 10, 136, left + 230, 412), COLORS[emotion])
        page.chip(left + 120, 486, emotion, 30, COLORS[emotion])
    page.title("Two people", "each with their own expression")


THUMBNAILS: dict[str, Callable[[Page], None]] = {
    drawing.__name__: drawing
    for drawing in (
        face_to_expression,
        change_expression,
        neutral_face,
        expression_transfer,
        emotion_prompts,
        picture_edit,
        collect_dataset,
        train_and_try,
        expression_video,
        webcam,
        blend_two_faces,
        expression_switch,
        sdxl,
        find_strength,
        two_people,
    )
}


if __name__ == "__main__":
    main()
