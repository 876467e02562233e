#!/usr/bin/env python3
"""Draw the pictures of the help pages, web/docs/<node>/*, with the pack's own code, from two public-domain photos.

usage: python tools/make_help_pictures.py [NODE …]    (all if none is named, such as EditPerception; takes a minute,
and needs scikit-image and matplotlib)

No text encoder can be shipped, so the pictures of projections come from the random placeholder encoder, and say so.
Copies each <node>/en.md to <node>.md too: the page that the front end shows to users of other languages.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch import Tensor

from perception_clip.perception.actions.basis import ActionBasis
from perception_clip.perception.actions.description import described
from perception_clip.perception.actions.gaze import gaze
from perception_clip.perception.actions.model import ActionModel
from perception_clip.perception.actions.traits import findings
from perception_clip.perception.actions.vocabulary import read_vocabulary
from perception_clip.perception.comparison.compare import compare
from perception_clip.perception.comparison.expressions import ExpressionReader
from perception_clip.perception.comparison.sweep import even_strengths, measure_sweep
from perception_clip.perception.control.pictures import KINDS, draw, placed_faces
from perception_clip.perception.drawing.action_bars import action_picture
from perception_clip.perception.drawing.canvas import BACKGROUND, Canvas
from perception_clip.perception.drawing.comparison_picture import comparison_picture
from perception_clip.perception.drawing.contact_sheet import contact_sheet
from perception_clip.perception.drawing.overlay import Overlay, draw_batch
from perception_clip.perception.drawing.panels import BRIGHT, DIMMED
from perception_clip.perception.drawing.sweep_chart import sweep_chart
from perception_clip.perception.editing.actions import edit_actions
from perception_clip.perception.editing.arithmetic import add_difference
from perception_clip.perception.editing.edit import edit
from perception_clip.perception.editing.join import join
from perception_clip.perception.editing.schedule import spread
from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.geometry import AXES, head_pose
from perception_clip.perception.landmarks.comfyui_export import face_landmarks
from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.perception.regions.crops import Crops, crops_of, cut
from perception_clip.perception.regions.masks import PARTS, mask
from perception_clip.perception.regions.pasting import Blend, paste
from perception_clip.perception.regions.resampling import resample
from perception_clip.perception.sequences.run import perceive_video
from perception_clip.perception.sequences.videos import VideoInMemory
from perception_clip.perception.storage import load, save
from perception_clip.perception.topology import FACE_OVAL
from perception_clip.perception.vector import EMOTIONS, Perceptions, pack
from perception_clip.projection.alignment import positions_of_tokens
from perception_clip.projection.conditioning import inject
from perception_clip.projection.insight import nearest, warnings
from perception_clip.projection.insight_picture import insight_picture
from perception_clip.projection.mixing import weights
from perception_clip.projection.subjects import roles_of
from perception_clip.projection.where import SUBJECT_AND_END, WHERE
from perception_clip.training.commands.demo import PROMPT, sample_photos
from perception_clip.training.dataset.npz import Dataset
from perception_clip.training.dataset.samples import Samples
from perception_clip.training.dataset.store import Store
from perception_clip.training.encoders.base import fingerprint
from perception_clip.training.encoders.random_weights import random_encoder
from perception_clip.training.fitting import Fitted, fit
from perception_clip.training.inspection.mean_faces import mean_faces
from perception_clip.training.inspection.scan import scan_dataset
from perception_clip.training.learning.settings import STARTER
from perception_clip.training.reports.node_picture import curve_picture, result_picture
from perception_clip.training.starter import sample_dataset

DOCS = Path(__file__).resolve().parents[1] / "web" / "docs"
NODE = "PerceptionClip_"
WIDTH, TILE = 560, 280  # pixels: of a picture for the narrow help column, and of each photo in a picture of two
WIDTH_OF_FOUR = 250  # pixels, of each photo in a picture of four
PART, PART_CAPTION = 190, 26  # pixels: of a photo in the picture of parts, and of the line above it
TEXT = 19  # font size, pixels
PALETTE_SIZE = 64  # colors in a drawing
CELLS, CELL = 26, 16  # tokens drawn per block, and their spacing in pixels
BLUE, BAR_BACKGROUND = (96, 185, 240), (52, 58, 70)
BOXES = {"astronaut": (84, 0, 364, 280), "grace_hopper": (96, 60, 426, 390)}  # left, top, right, bottom in the photos


@dataclass(frozen=True)
class Photos:
    pictures: list[Tensor]  # (H, W, 3) uint8, cropped to the faces: the first smiles, the second is calm
    found: Perceptions

    def face(self, index: int) -> Perceptions:
        return replace(self.found.select([index]), frames=torch.zeros(1, dtype=torch.int64), frame_count=1)


@lru_cache(maxsize=1)
def photos() -> Photos:
    boxes = [(photo.picture, *BOXES[photo.name]) for photo in sample_photos()]
    pictures = [whole[top:bottom, left:right].contiguous() for whole, left, top, right, bottom in boxes]
    return Photos(pictures, PerceptionPipeline()(pictures))


@lru_cache(maxsize=1)
def model() -> ExpressionModel:
    return ExpressionModel.load()


@lru_cache(maxsize=1)
def reader() -> ExpressionReader:
    return ExpressionReader(model(), ActionModel.load())


@lru_cache(maxsize=1)
def sampled() -> Dataset:
    return sample_dataset(random_encoder())


@lru_cache(maxsize=1)
def trained() -> Fitted:
    with tempfile.TemporaryDirectory() as folder:
        return fit(sampled(), Path(folder), STARTER, resumable=False, report=False)


def edited(face: int, emotion: str, amount: float) -> Perceptions:
    return edit(photos().face(face), {emotion: 1.0}, amount, model())


def sheet(faces: Sequence[Perceptions], captions: Sequence[str], columns: int = 2) -> Image.Image:
    vectors, sizes = (torch.cat([getattr(face, name) for face in faces]) for name in ("vectors", "image_sizes"))
    return Image.fromarray(contact_sheet(vectors, sizes, captions, columns).numpy())


def tile(picture: Tensor, width: int = TILE, height: int | None = None) -> Image.Image:
    return Image.fromarray(picture.numpy()).resize((width, height or width), Image.Resampling.LANCZOS)


def row(images: Sequence[Image.Image]) -> Image.Image:
    """Return pictures side by side, vertically centered."""
    canvas = Image.new("RGB", (sum(image.width for image in images), max(image.height for image in images)), BACKGROUND)
    for index, image in enumerate(images):
        left = sum(before.width for before in images[:index])
        canvas.paste(image, (left, (canvas.height - image.height) // 2))
    return canvas


# --- a picture for each node ---------------------------------------------------------------------------------------


def face_perception() -> Image.Image:
    large = [torch.from_numpy(np.array(tile(picture, 400))) for picture in photos().pictures]
    return tile(torch.cat(draw_batch(large, photos().found)), 400, 800)


def face_perception_video() -> Image.Image:
    """Return the photo as frames of a camera that moves from left to right."""
    whole = sample_photos()[0].picture
    frames = torch.stack([whole[0:256, left : left + 256] for left in range(20, 180, 16)]) / 255
    faces = perceive_video(VideoInMemory(frames, 24.0), PerceptionPipeline())
    brush = Overlay(tracks=True)
    drawn = [brush.draw(frame, of_frame) for frame, of_frame in zip(frames, faces.by_frame(), strict=True)]
    return row([tile(drawn[index], 256) for index in (0, 4, 9)])


def draw_perception() -> Image.Image:
    photo, face = torch.from_numpy(np.array(tile(photos().pictures[0], 400))), photos().face(0)
    return row([tile(draw_batch([photo], face, mesh=mesh, tracks=True)[0], 400) for mesh in (False, True)])


def perception_info() -> Image.Image:
    face = photos().face(1)
    [angles] = head_pose(face.landmarks, face.image_sizes, model().template).tolist()
    left, top, right, bottom = (round(edge) for edge in face.boxes[0].tolist())
    values = dict(zip(AXES, (f"{degrees:+.1f}°" for degrees in angles), strict=True))
    values |= {"x, y": f"{left}, {top}", "size": f"{right - left} x {bottom - top}", "score": f"{face.scores[0]:.2f}"}
    values |= zip(EMOTIONS, (f"{share:.1%}" for share in face.emotions[0]), strict=True)
    canvas = Canvas(WIDTH - TILE, 410)
    for index, (name, value) in enumerate(values.items()):
        canvas.write(24, 24 + 30 * index, name, TEXT, DIMMED)
        canvas.write(116, 24 + 30 * index, value, TEXT, BRIGHT)
    return row([tile(draw_batch([photos().pictures[1]], face)[0]), canvas.finished()])


def face_actions() -> Image.Image:
    face = photos().face(0)
    actions = ActionModel.load().actions(face.landmarks, face.image_sizes)
    measured = (measure(face.landmarks, face.image_sizes, model().template) for measure in (gaze, head_pose))
    angles = torch.cat(list(measured), dim=1)
    return action_picture(face[0], actions[0], angles[0].tolist(), "picture 0, track 0", "mouthSmile")


def describe_face() -> Image.Image:
    """Return two perceived and two edited faces, with the sentences that describe them."""
    basis, actions, vocabulary = ActionBasis.load(), ActionModel.load(), read_vocabulary()
    both = {"smile_left": 0.7, "smile_right": 0.7, "eye_closed_left": 1.0, "eye_closed_right": 1.0, "head_roll": 20.0}
    look = {"gaze_x": 1.0, "gaze_y": 0.5, "jaw_open": 0.5, "head_yaw": 20.0}
    edits = [edit_actions(photos().face(1), each, 1.0, model(), basis, actions) for each in (both, look)]
    faces, captions = [photos().face(0), photos().face(1), *edits], []
    for face in faces:
        [values] = actions.actions(face.landmarks, face.image_sizes)
        turns = [
            measure(face.landmarks, face.image_sizes, model().template)[0].tolist() for measure in (gaze, head_pose)
        ]
        captions.append(described(findings(values, face.emotions[0], *turns), vocabulary, subject="a person"))
    return sheet(faces, captions)


def to_face_landmarks() -> Image.Image:
    """Return a photo, and what ComfyUI's nodes draw of its edited face: the mesh, and the mask of the oval."""
    face = edited(0, "surprise", 1.5)
    actions = ActionModel.load().actions(face.landmarks, face.image_sizes)
    size = tuple(photos().pictures[0].shape[:2])
    exported = face_landmarks(face, actions, size)
    points = [tuple(point) for point in exported["frames"][0][0]["landmarks_xy"].tolist()]
    mesh, mask = Image.new("RGB", size[::-1]), Image.new("RGB", size[::-1])
    for start, end in exported["connection_sets"]["all"]:
        ImageDraw.Draw(mesh).line([points[start], points[end]], fill=(0, 255, 0))
    ImageDraw.Draw(mask).polygon([points[index] for index in FACE_OVAL], fill=(255, 255, 255))
    return row([tile(photos().pictures[0]), mesh, mask])


@lru_cache(maxsize=1)
def tilted() -> tuple[Tensor, Crops]:
    """Return a photo (1, H, W, 3) whose face is tilted, as a picture of the first one, and the crop of its face."""
    cos, sin = np.cos(0.4), np.sin(0.4)
    axes = torch.tensor([[cos, -sin], [sin, cos]]) * 0.8
    corner = torch.tensor([224.0, 130.0]) - axes @ torch.tensor([200.0, 200.0]).double()
    picture = resample(sample_photos()[0].picture / 255, corner, axes, 400, 400)[None]
    return picture, crops_of(PerceptionPipeline()(picture), 400, 0.4, model().template)


def as_bytes(picture: Tensor) -> Tensor:
    return (picture * 255).round().byte()


def crop_faces() -> Image.Image:
    """Return a photo with the square of its face, the crop with the face as seen in it, and the mask."""
    picture, crops = tilted()
    crop = as_bytes(cut(picture, crops)[0])
    photo = Image.fromarray(as_bytes(picture[0]).numpy())
    corners = crops.squares.locate(torch.tensor([[[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]]]))[0]
    points = [tuple(corner) for corner in corners.tolist()]
    ImageDraw.Draw(photo).line([*points, *points[:2]], fill=BLUE, width=5)
    oval = torch.from_numpy(mask(crops.seen[0], (400, 400), "face oval"))[..., None].expand(-1, -1, 3)
    shown = (torch.from_numpy(np.array(photo)), crop, draw_batch([crop], crops.seen)[0], as_bytes(oval))
    return row([tile(one, WIDTH_OF_FOUR) for one in shown])


def paste_faces() -> Image.Image:
    """Return a photo, its crop with changed colors, and the crop pasted back without and with color_match."""
    picture, crops = tilted()
    new = (cut(picture, crops).flip(2) * torch.tensor([0.8, 1.0, 1.1])).clamp(0, 1)  # mirrored, and bluer
    blends = [Blend(grow=0.05, feather=0.15, color_match=amount) for amount in (0.0, 1.0)]
    pasted = [paste(picture, crops, new, blend) for blend in blends]
    return row([tile(as_bytes(one[0]), WIDTH_OF_FOUR) for one in (picture, new, *pasted)])


def edit_perception() -> Image.Image:
    amounts = {"happy": (1, 2), "surprise": (1, 2), "angry": (1,)}
    faces = {f"{name} {amount}": edited(1, name, amount) for name, each in amounts.items() for amount in each}
    return sheet([photos().face(1), *faces.values()], ["as perceived", *faces])


def edit_perception_actions() -> Image.Image:
    """Return faces with a slider at −1, 0 and 1 each, and with the head turned."""
    smile, brows = (("smile_left", "smile_right"), ("brow_up_left", "brow_up_right"))
    rows: dict[str, tuple[tuple[str, ...], float]] = {
        "brow_up, both": (brows, 1.0),
        "eye_closed_left": (("eye_closed_left",), 1.0),
        "gaze_x": (("gaze_x",), 1.0),
        "smile, both": (smile, 1.0),
        "jaw_open": (("jaw_open",), 1.0),
        "head_yaw": (("head_yaw",), 30.0),
    }
    basis, actions = ActionBasis.load(), ActionModel.load()
    faces = {}
    for title, (sliders, end) in rows.items():
        face = photos().face(0 if title in ("smile, both", "jaw_open") else 1)
        for amount in (-end, 0.0, end):
            amounts = dict.fromkeys(sliders, amount)
            faces[f"{title} {amount:g}"] = edit_actions(face, amounts, 1.0, model(), basis, actions)
    drawn = sheet(list(faces.values()), list(faces), 6)
    return drawn.resize((1000, round(1000 * drawn.height / drawn.width)), Image.Resampling.LANCZOS)


def perception_arithmetic() -> Image.Image:
    a, b, c = photos().face(1), photos().face(0), edited(0, "neutral", 2.0)
    return sheet([a, b, c, add_difference(a, b, c, 1.0, model())], ["a", "b", "c", "a + (b - c)"])


def join_perceptions() -> Image.Image:
    joined = join(photos().face(1), join(edited(1, "happy", 1.0), photos().face(0)))
    origins = zip(("first: picture 0", "second: picture 0", "second: picture 1"), joined.frames.tolist(), strict=True)
    return sheet([joined], [f"{origin}, joined: picture {frame}" for origin, frame in origins], 3)


def perception_schedule() -> Image.Image:
    keys = join(photos().face(1), join(edited(1, "happy", 2.0), edited(1, "surprise", 2.0)))
    captions = [f"frame {frame}" + (f", key {frame // 4}" if frame % 4 == 0 else "") for frame in range(9)]
    return sheet([spread(keys, 9, "linear")], captions, 3)


def save_perception() -> Image.Image:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "my_face.safetensors"
        save(photos().face(0), path)
        kept = sheet([load(path)], [f"my_face.safetensors, {path.stat().st_size / 1000:.0f} kB"])
    return row([tile(photos().pictures[0], 300), kept])


def face_control_picture() -> Image.Image:
    """Return a photo, and the control pictures of its face: as perceived above, edited to smile below."""
    side, drawn = 180, 360  # pixels of a picture as shown, and as drawn
    canvas = Canvas(len(KINDS) * side, 2 * side + 30)
    for column, kind in enumerate(KINDS):
        canvas.write((column + 0.5) * side, 15, kind, 16, BRIGHT, align=0.5)
    sheet = canvas.finished()
    for line, face in enumerate((photos().face(1), edited(1, "happy", 1.5))):
        [faces] = placed_faces(face, (drawn, drawn))
        for column, kind in enumerate(KINDS):
            picture = Image.fromarray(draw(kind, faces, (drawn, drawn)))
            sheet.paste(picture.reduce(2), (column * side, 30 + line * side))
    return row([tile(photos().pictures[1]), sheet])


def moved(prompt: str, face: Perceptions, mode: str = "steer", **how: Any) -> Tensor:
    """Return how far each token of a prompt moves, compared with the mean length: (blocks, 77)."""
    encoder, checkpoint = random_encoder(), trained().checkpoint
    tokens, pooled = encoder.token_states(prompt), encoder.encode([prompt])
    vectors, neutral = checkpoint.project(face.vectors, face.image_sizes), checkpoint.neutral_of(face)
    [[after, _]] = inject([[tokens, {"pooled_output": pooled}]], vectors, neutral, mode=mode, **how)
    return (after.unflatten(1, (-1, 77)) - tokens[:, None])[0].norm(dim=2) / tokens[0].norm(dim=1).mean()


def token_color(amount: float) -> tuple[int, ...]:
    share = min(amount, 1.0)
    return tuple(round(dim + share * (full - dim)) for dim, full in zip(BAR_BACKGROUND, BLUE, strict=True))


def face_regions() -> Image.Image:
    """Return a photo that shows only one part of the face each time, with the part's name."""
    face, picture = photos().face(0)[0], photos().pictures[0]
    height, width = picture.shape[:2]
    parts = [(part, 0.0, 0.0) for part in PARTS] + [("eyes", 0.05, 0.0), ("head", 0.0, 0.3), ("lips", 0.03, 0.06)]
    sheet = Image.new("RGB", (4 * PART, 3 * (PART + PART_CAPTION)), BACKGROUND)
    for index, (part, grow, feather) in enumerate(parts):
        shown = picture * (0.2 + 0.8 * torch.from_numpy(mask(face, (width, height), part, grow, feather))[..., None])
        caption = Canvas(PART, PART_CAPTION)
        how = (f", grow {grow:g}" if grow else "") + (f", feather {feather:g}" if feather else "")
        caption.write(5, PART_CAPTION / 2, part + how, 15, BRIGHT)
        left, top = index % 4 * PART, index // 4 * (PART + PART_CAPTION)
        sheet.paste(caption.finished(), (left, top))
        sheet.paste(tile(shown.to(torch.uint8), PART - 6), (left + 3, top + PART_CAPTION))
    return sheet


def text_encode() -> Image.Image:
    """Draw which tokens of a prompt each value of `where` moves, and how far."""
    return token_columns([(where.replace(" and ", "\nand "), {"where": where}) for where in WHERE])


def strength_sweep() -> Image.Image:
    """Draw how far each strength moves the tokens, brighter for farther."""
    strengths = even_strengths(0.0, 2.0, 5)
    return token_columns(
        [(f"{one:g}", {"where": SUBJECT_AND_END, "strength": one}) for one in strengths], brightness=0.5
    )


def token_columns(columns: Sequence[tuple[str, dict[str, Any]]], brightness: float = 1.5) -> Image.Image:
    """Draw a prompt's tokens in rows, and for each heading how far a face moves them with these options."""
    prompt = "a portrait of an old man in a garden"
    words = prompt.split()  # the placeholder encoder has one token per word
    spelled = [None, *(f"{word}</w>" for word in words), *[None] * (76 - len(words))]
    roles = [roles_of([spelled], {1 + words.index("man")})]
    tokens = ["BOS", *words, "end of text", "padding", "padding …"]
    canvas, top = Canvas(WIDTH + 40, 66 + 27 * len(tokens)), 66
    for row, token in enumerate(tokens):
        canvas.write(112, top + 27 * row, token, TEXT, BRIGHT if token in words else DIMMED, align=1)
    for column, (heading, options) in enumerate(columns):
        left = 132 + 93 * column
        for line, part in enumerate(heading.splitlines()):
            canvas.write(left + 40, 18 + 20 * line, part, TEXT, BRIGHT, align=0.5)
        for row, amount in enumerate(moved(prompt, photos().face(0), roles=roles, **options)[0].tolist()):
            if row < len(tokens):
                canvas.line([(left, top + 27 * row), (left + 80, top + 27 * row)], token_color(brightness * amount), 22)
    return canvas.finished()


def projection() -> Image.Image:
    """Draw what each mode and place changes in the first tokens of the prompt and, with append, of its copy."""
    words = len(PROMPT.split())  # the placeholder encoder has one token per word
    shown = [("steer", "end"), ("steer", "words"), ("steer", "all"), ("replace", "all"), ("append", "all")]
    canvas, left, y = Canvas(WIDTH + 40, 270), 176, 62
    for mode, where in shown:
        canvas.write(24, y, f"{mode}, {where}", TEXT, BRIGHT)
        for line, change in enumerate(moved(PROMPT, photos().face(0), mode, where=where, strength=0.7)[:, :CELLS]):
            for place, amount in enumerate(change.tolist()):
                x, top = left + place * CELL, y - 14 + 32 * line
                canvas.line([(x, top), (x, top + 26)], token_color(amount), CELL - 3)
        y += 38
    for start, name in ((0, "BOS"), (3, "words"), (1 + words, "end of the text, then padding …")):
        canvas.write(left + start * CELL - 7, 24, name, 15, DIMMED)
    return canvas.finished()


def inspect_projection() -> Image.Image:
    checkpoint, faces = trained().checkpoint, photos().found
    vectors = checkpoint.project(faces.vectors, faces.image_sizes).end
    delta = vectors - checkpoint.neutral_of(faces).end
    length, distance = (float(some[:, : checkpoint.space.tokens].norm(dim=1).mean()) for some in (vectors, delta))
    notes = [f"⚠ {line}" for text in warnings(checkpoint, faces, None) for line in text.split(". ")]  # to fit
    notes.append(f"vector length {length:.1f}, distance from neutral {distance:.1f}")
    shares = [face.emotions.max(dim=0) for face in faces]
    headings = [f"face {i}: {EMOTIONS[best.indices]} ({best.values:.0%})" for i, best in enumerate(shares)]
    similar = zip(headings, nearest(checkpoint, vectors, 4), strict=True)
    picture = insight_picture(f"{trained().path.name}, for {checkpoint.space.title}", notes, list(similar))
    return picture.crop((0, 0, 768, picture.height))  # the rest is empty


def emotion_prompts() -> Image.Image:
    shares = edit(photos().face(0), {"happy": -0.5, "surprise": 0.6}, 1.0, model()).emotions
    canvas, width = Canvas(WIDTH, 290), 84
    for column, temperature in enumerate((0.5, 1.0, 2.0)):
        left = 112 + column * 150
        canvas.write(left, 28, f"temp. {temperature:g}", TEXT, BRIGHT)
        for index, (name, share) in enumerate(zip(EMOTIONS, weights(shares, temperature, 7)[0].tolist(), strict=True)):
            y = 68 + 32 * index
            canvas.line([(left, y), (left + width, y)], BAR_BACKGROUND, 12)
            canvas.line([(left, y), (left + max(share * width, 1), y)], BLUE, 12)
            canvas.write(left + width + 8, y, f"{share:.0%}", 16, BRIGHT)
            if column == 0:
                canvas.write(left - 16, y, name, TEXT, BRIGHT, align=1)
    return canvas.finished()


def mix_by_emotion() -> Image.Image:
    """Return two prompts as they are aligned: what they share, what they do not, and what is filled in."""
    frame, closing = ["<start>", "<picture>", "she", "looks"], ["<end>", "<reply>"]
    prompts = [[*frame, "happy,", "laughing", "eyes", *closing], [*frame, "calm", *closing]]
    ids = {word: index for index, word in enumerate(dict.fromkeys(word for prompt in prompts for word in prompt))}
    placed = positions_of_tokens([[ids[word] for word in prompt] for prompt in prompts])
    canvas = Canvas(1000, 150)
    for row_index, (name, prompt, places) in enumerate(zip(("happy", "neutral"), prompts, placed, strict=True)):
        y = 45 + 60 * row_index
        canvas.write(86, y, name, TEXT, BRIGHT, align=1)
        for column, place in enumerate(places.tolist()):
            shared = all(prompt[place] in other for other in prompts)
            filled = column > 0 and place == places[column - 1]
            color = BACKGROUND if shared else DIMMED if filled else BRIGHT
            x = 104 + 98 * column
            canvas.line([(x + 2, y), (x + 88, y)], BLUE if shared else BAR_BACKGROUND, 40)
            canvas.write(x + 45, y, prompt[place], 17, color, align=0.5)
    return canvas.finished()


def compare_expressions() -> Image.Image:
    target, result, baseline = photos().face(0), edited(1, "happy", 0.8), photos().face(1)
    return comparison_picture(compare(target, result, baseline, reader()), target, result, baseline)


def sweep_chart_picture() -> Image.Image:
    """Draw a sweep in which edited faces, as drawings, take the place of generated pictures."""
    strengths = even_strengths(0.0, 2.0, 6)
    faces = [edited(1, "happy", strength) for strength in strengths]
    together = replace(faces[0].select([0] * len(faces)), frames=torch.arange(len(faces)), frame_count=len(faces))
    together = replace(together, vectors=torch.cat([face.vectors for face in faces]))
    sweep = measure_sweep(photos().face(0), together, strengths, reader())
    chart = sweep_chart(sweep, [sheet([face], [""], 1) for face in faces])
    return chart.resize((1000, round(1000 * chart.height / chart.width)), Image.Resampling.LANCZOS)


def dataset_writer() -> Image.Image:
    faces = {
        "a person laughing with joy": photos().face(0),
        "a calm person": photos().face(1),
        "an astonished person, the mouth open": edited(1, "surprise", 2.0),
        "a furious person": edited(1, "angry", 2.0),
        "a person sickened by a smell": edited(1, "disgust", 1.0),
        "a sad person": edited(1, "sad", 2.0),
    }
    return sheet(list(faces.values()), list(faces))


def dataset_info() -> Image.Image:
    data, encoder = sampled(), random_encoder()
    labels = [EMOTIONS[index % 7] for index in range(len(data))]
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "sampled.db") as store:
        store.set_provenance(
            encoder.identity, fingerprint(encoder), data.meta["landmarker"], data.meta["emotion_model"]
        )
        store.append(
            Samples(data.perceptions, data.image_sizes, data.prompts.tolist(), data.clip_embeddings, labels=labels)
        )
        with store.snapshot() as snapshot:
            found = mean_faces(scan_dataset(snapshot), 6)
    captions = [f"{name} ({number})" for name, number in zip(found.names, found.counts, strict=True)]
    vectors = pack(torch.from_numpy(found.faces), torch.from_numpy(found.emotions))
    return Image.fromarray(contact_sheet(vectors, torch.ones(len(captions), 2), captions, 2).numpy())


def starter_projection() -> Image.Image:
    return result_picture(trained().checkpoint.metadata.metrics, trained().history)


def train_projection() -> Image.Image:
    return curve_picture(trained().history, 400, 440)


# Photos are smaller as JPEG, drawings as PNG with few colors.
PICTURES: dict[str, tuple[str, Callable[[], Image.Image]]] = {
    "FacePerception": ("overlay.jpg", face_perception),
    "FacePerceptionVideo": ("frames.jpg", face_perception_video),
    "DrawPerception": ("drawn.jpg", draw_perception),
    "PerceptionInfo": ("numbers.jpg", perception_info),
    "FaceActions": ("chart.png", face_actions),
    "DescribeFace": ("described.png", describe_face),
    "ToFaceLandmarks": ("drawn.jpg", to_face_landmarks),
    "CropFaces": ("cropped.jpg", crop_faces),
    "PasteFaces": ("pasted.jpg", paste_faces),
    "EditPerception": ("edited.png", edit_perception),
    "EditPerception actions": ("actions.png", edit_perception_actions),
    "PerceptionArithmetic": ("sum.png", perception_arithmetic),
    "JoinPerceptions": ("joined.png", join_perceptions),
    "PerceptionSchedule": ("schedule.png", perception_schedule),
    "SavePerception": ("saved.jpg", save_perception),
    "FaceControlPicture": ("kinds.jpg", face_control_picture),
    "FaceRegions": ("parts.jpg", face_regions),
    "TextEncode": ("where.png", text_encode),
    "Projection": ("modes.png", projection),
    "InspectProjection": ("prompts.png", inspect_projection),
    "EmotionPrompts": ("shares.png", emotion_prompts),
    "MixByEmotion": ("aligned.png", mix_by_emotion),
    "StrengthSweep": ("rows.png", strength_sweep),
    "SweepChart": ("chart.png", sweep_chart_picture),
    "CompareExpressions": ("compared.png", compare_expressions),
    "DatasetWriter": ("newest.png", dataset_writer),
    "DatasetInfo": ("mean_faces.png", dataset_info),
    "StarterProjection": ("report.png", starter_projection),
    "TrainProjection": ("curves.png", train_projection),
}


def main(names: Sequence[str]) -> None:
    for name in names or PICTURES:
        file, drawn = PICTURES[name]
        path, picture = DOCS / f"{NODE}{name.split()[0]}" / file, drawn()
        if path.suffix == ".png":
            picture.quantize(PALETTE_SIZE, Image.Quantize.MAXCOVERAGE).save(path, optimize=True)
        else:
            picture.save(path, quality=72, optimize=True)
        print(f"{path.relative_to(DOCS)}: {picture.width} × {picture.height}, {path.stat().st_size / 1000:.0f} kB")
    for page in DOCS.glob("*/en.md"):
        shutil.copyfile(page, page.parent.with_suffix(".md"))


if __name__ == "__main__":
    main(sys.argv[1:])
