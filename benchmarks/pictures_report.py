"""The tables and the contact sheet of `pictures.py`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from perception_clip.common.fonts import font_for
from perception_clip.common.words import counted
from perception_clip.projection.insight import PLACEHOLDER_ENCODER

RESAMPLES = 2000
SIDE, LABEL = 160, 230  # pixels: of a picture on the sheet, and of the labels at its left
MOST_ROWS = 30  # of the sheet
RANDOM = (
    "**The checkpoint's weights are random.** These numbers prove that the benchmark runs, and nothing about steering."
)
PLACEHOLDER = "**The projection was trained with random text vectors**, so it cannot change the expression. Retrain it."
UNKNOWN = "Whether the checkpoint's weights are random was not checked: its file cannot be read from here."


@dataclass(frozen=True)
class Picture:
    """A generated picture and what was measured on it."""

    prompt: str
    seed: int
    method: str
    face: str
    where: str
    start: float
    strength: float
    path: Path
    faces: int  # 0 or 1
    match: float = math.nan
    gain: float = math.nan
    wanted: str = ""  # the target's strongest emotion
    shown: str = ""  # this picture's
    outside: float = math.nan  # mean absolute difference outside the head, 0…1

    @property
    def unit(self) -> tuple[str, int]:
        """Return what is resampled: pictures of one prompt and seed are not independent."""
        return self.prompt, self.seed

    @property
    def kind(self) -> tuple[str, str, float]:
        return self.method, self.where, self.start


def interval(pictures: Sequence[Picture], value: Callable[[Picture], float]) -> tuple[float, float, float]:
    """Return the mean and its 95 % interval, by the bootstrap over prompts and seeds; NaN without values."""
    units: dict[tuple[str, int], list[float]] = {}
    for picture in pictures:
        if not math.isnan(number := value(picture)):
            units.setdefault(picture.unit, []).append(number)
    if not units:
        return math.nan, math.nan, math.nan
    sums, counts = (np.array([measure(values) for values in units.values()], dtype=float) for measure in (sum, len))
    drawn = np.random.default_rng(0).integers(0, len(units), (RESAMPLES, len(units)))
    means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(sums.sum() / counts.sum()), float(low), float(high)


def gain_of(picture: Picture) -> float:
    return picture.gain if picture.faces else math.nan


def match_of(picture: Picture) -> float:
    return picture.match if picture.faces else math.nan


def hit_of(picture: Picture) -> float:
    return float(picture.shown == picture.wanted) if picture.faces else math.nan


def rows(pictures: Sequence[Picture]) -> list[dict[str, Any]]:
    """Return the numbers of each method, place, start and strength."""
    steered = [picture for picture in pictures if picture.face]
    result = []
    for kind in dict.fromkeys(picture.kind for picture in steered):
        for strength in sorted({picture.strength for picture in steered if picture.kind == kind}):
            chosen = [picture for picture in steered if picture.kind == kind and picture.strength == strength]
            result.append(
                {
                    **dict(zip(("method", "where", "start"), kind, strict=True)),
                    "strength": strength,
                    "pictures": len(chosen),
                    "without a face": sum(not picture.faces for picture in chosen) / len(chosen),
                    "gain": interval(chosen, gain_of),
                    "match": interval(chosen, match_of),
                    "hit rate": interval(chosen, hit_of),
                    "outside": interval(chosen, lambda picture: picture.outside),
                }
            )
    return result


def monotonicity(pictures: Sequence[Picture]) -> list[dict[str, Any]]:
    """Return, for each method, place and start, the share of steps to a higher strength in which the gain rises."""
    steered = [picture for picture in pictures if picture.face]
    result = []
    for kind in dict.fromkeys(picture.kind for picture in steered):
        series: dict[tuple[str, int, str], list[Picture]] = {}
        for picture in sorted(steered, key=lambda picture: picture.strength):
            if picture.kind == kind and picture.faces:
                series.setdefault((*picture.unit, picture.face), []).append(picture)
        steps = [
            after > before
            for chosen in series.values()
            for before, after in zip((0.0, *(one.gain for one in chosen)), (one.gain for one in chosen), strict=False)
        ]
        share = sum(steps) / len(steps) if steps else math.nan
        result.append(
            {**dict(zip(("method", "where", "start"), kind, strict=True)), "steps": len(steps), "rising": share}
        )
    return result


def write_report(folder: Path, run: dict[str, Any], pictures: Sequence[Picture], faces: dict[str, Path]) -> None:
    """Write results.json, results.md and contact_sheet.jpg."""
    numbers, steps = rows(pictures), monotonicity(pictures)
    plain = [picture for picture in pictures if not picture.face]
    each = [{**asdict(picture), "path": picture.path.name} for picture in pictures]
    content = {
        "run": run,
        "rows": numbers,
        "monotonicity": steps,
        "without_a_face_at_strength_0": sum(not picture.faces for picture in plain) / max(len(plain), 1),
        "pictures": each,
    }
    (folder / "results.json").write_text(json.dumps(no_nan(content), indent=1, ensure_ascii=False) + "\n", "utf-8")
    text = markdown(run, numbers, steps, content["without_a_face_at_strength_0"])
    (folder / "results.md").write_text(text, "utf-8")
    contact_sheet(run, pictures, faces).save(folder / "contact_sheet.jpg", quality=85)
    print(text)


def no_nan(value: Any) -> Any:
    """Return a value in which NaN, which JSON does not have, is None."""
    if isinstance(value, dict):
        return {key: no_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [no_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def markdown(run: dict[str, Any], numbers: list[dict[str, Any]], steps: list[dict[str, Any]], bare: float) -> str:
    """Return the report as Markdown."""
    lines = ["# Do pictures get the expression?", ""]
    if run["random_weights"] is not False:
        lines += [RANDOM if run["random_weights"] else UNKNOWN, ""]
    if (run["projection_trained_with"] or "").startswith(PLACEHOLDER_ENCODER):
        lines += [PLACEHOLDER, ""]
    lines += [
        f"{counted(len(run['prompts']), 'prompt')} × {counted(run['seeds'], 'seed')} × "
        f"{counted(len(run['faces']), 'face')}. Of the pictures at "
        f"strength 0, {bare:.0%} have no face. Means with 95 % intervals, by the bootstrap over prompts and seeds; "
        "gain, match and hit rate are those of pictures with a face.",
        "",
        "| method | where | start | strength | pictures | no face | gain | match | hit rate | outside the head |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in numbers:
        cells = [row["method"], row["where"] or "–", f"{row['start']:g}", f"{row['strength']:g}", str(row["pictures"])]
        cells += [f"{row['without a face']:.0%}", spread(row["gain"]), spread(row["match"])]
        cells += [spread(row["hit rate"], percent=True), spread(row["outside"], percent=True)]
        lines.append("| " + " | ".join(cells) + " |")
    lines += ["", "| method | where | start | steps | … in which the gain rises |", "|---|---|---|---|---|"]
    for row in steps:
        share = "–" if math.isnan(row["rising"]) else f"{row['rising']:.0%}"
        lines.append(f"| {row['method']} | {row['where'] or '–'} | {row['start']:g} | {row['steps']} | {share} |")
    lines += ["", "## Settings", ""]
    for name, value in run.items():
        shown = json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
        lines.append(f"- {name}: {shown}")
    return "\n".join(lines) + "\n"


def spread(values: tuple[float, float, float], *, percent: bool = False) -> str:
    """Return a mean with its interval; a dash for NaN."""
    if math.isnan(values[0]):
        return "–"
    mean, low, high = (f"{value:.0%}" if percent else f"{value:.2f}" for value in values)
    return f"{mean} ({low} to {high})"


def contact_sheet(run: dict[str, Any], pictures: Sequence[Picture], faces: dict[str, Path]) -> Image.Image:
    """Return the pictures of the first prompt and seed: a row for each face, method, place and start."""
    first = [picture for picture in pictures if picture.unit == pictures[0].unit]
    plain, steered = first[0], first[1:]
    keys = list(dict.fromkeys((picture.face, *picture.kind) for picture in steered))[:MOST_ROWS]
    strengths = sorted({picture.strength for picture in steered})
    sheet = Image.new("RGB", (LABEL + SIDE * (len(strengths) + 2), 60 + SIDE * len(keys)), (18, 22, 30))
    pen = ImageDraw.Draw(sheet)

    def write(x: float, y: float, text: str, size: int = 15) -> None:
        pen.text((x, y), text, (235, 238, 242), font_for(text, size))

    def paste(path: Path, column: int, row: int) -> None:
        with Image.open(path) as image:
            picture = ImageOps.contain(image.convert("RGB"), (SIDE - 4, SIDE - 4))
        sheet.paste(picture, (LABEL + SIDE * column + 2, 60 + SIDE * row + 2))

    note = " – RANDOM WEIGHTS" if run["random_weights"] else ""
    write(12, 8, f"“{plain.prompt}”, seed {plain.seed}{note}", 17)
    for column, name in enumerate(["face", "strength 0", *(f"strength {strength:g}" for strength in strengths)]):
        write(LABEL + SIDE * column + 6, 36, name)
    for row, (face, method, where, start) in enumerate(keys):
        labels = [face, method, where, f"start {start:g}" if method == "projection" else ""]
        for line, text in enumerate(text for text in labels if text):
            write(12, 60 + SIDE * row + 20 + 22 * line, text)
        paste(faces[face], 0, row)
        paste(plain.path, 1, row)
        for picture in steered:
            if (picture.face, *picture.kind) == (face, method, where, start):
                paste(picture.path, 2 + strengths.index(picture.strength), row)
    return sheet
