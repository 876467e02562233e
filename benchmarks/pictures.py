"""Whether pictures get the expression of the face that steers them: generate, perceive, compare.

    python benchmarks/pictures.py --checkpoint MY_SD15.safetensors --projection MY_PROJECTION.safetensors

Drives a running ComfyUI (`--server`) over prompts × seeds × faces × where × start × strengths, and over two rivals:
Emotion Prompts, and the plain words of the emotion in the prompt. Perceives every picture and writes into `--out`
results.md, results.json and contact_sheet.jpg; docs/does_it_work.md explains them. A run that was stopped continues: it
makes only the pictures that are missing.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from http.client import HTTPException
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from inputs import need
from pictures_report import Picture, write_report
from pictures_server import Graph, Server, random_weights, sha256
from PIL import Image

from perception_clip.perception.actions.model import ActionModel
from perception_clip.perception.comparison.compare import compare
from perception_clip.perception.comparison.expressions import ExpressionReader
from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.perception.vector import EMOTIONS, Perceptions
from perception_clip.projection.opening import open_projection

ROOT = Path(__file__).resolve().parents[1]
PHOTOS = ROOT / "training" / "photos"
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
PROJECTION, TEXT_ENCODE, PROMPTS = (f"PerceptionClip_{name}" for name in ("Projection", "TextEncode", "EmotionPrompts"))
PLAIN, STEERED, RIVAL, WORDS = "without a face", "projection", "Emotion Prompts", "words in the prompt"
DEFAULT_PROMPTS = (
    "portrait photo of a woman, looking at the camera, soft natural light",
    "portrait photo of an old man in a garden, looking at the camera",
    "oil painting of a young man, head and shoulders",
    "photo of a girl in a red coat on a street, upper body",
)
NEGATIVE = "blurry, deformed, text"


@dataclass(frozen=True)
class Cell:
    """One picture to make."""

    prompt: str
    seed: int
    method: str
    face: str = ""
    where: str = ""
    start: float = 0.0
    strength: float = 0.0

    @property
    def key(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default="http://127.0.0.1:8188", help="address of a running ComfyUI")
    parser.add_argument("--checkpoint", required=True, help="Stable Diffusion checkpoint, as ComfyUI lists it")
    parser.add_argument("--projection", help="projection checkpoint, as ComfyUI lists it; without it, only the rivals")
    parser.add_argument("--faces", type=Path, default=PHOTOS, help="folder of photos, one expressive face each")
    parser.add_argument("--prompts", type=Path, help="text file with a prompt on each line")
    parser.add_argument("--seeds", type=int, default=4, help="number of seeds for each prompt")
    parser.add_argument("--strengths", type=float, nargs="+", default=[0.5, 1.0, 1.5, 2.0])
    parser.add_argument("--where", nargs="+", help="places that the face acts on; all that the server has")
    parser.add_argument("--start", type=float, nargs="+", default=[0.0, 0.15], help="start_percent")
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--cfg", type=float, default=7.0)
    parser.add_argument("--sampler", default="dpmpp_2m")
    parser.add_argument("--scheduler", default="karras")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--out", type=Path, default=Path("pictures"), help="folder for pictures and results")
    return parser.parse_args()


def cells(settings: dict[str, Any], faces: list[str]) -> list[Cell]:
    """Return all pictures to make, those of a prompt and seed together."""
    result = []
    for prompt, seed in itertools.product(settings["prompts"], range(settings["seeds"])):
        result.append(Cell(prompt, seed, PLAIN))
        for face in faces:
            for where, start, strength in itertools.product(
                settings["where"], settings["start"], settings["strengths"]
            ):
                result.append(Cell(prompt, seed, STEERED, face, where, start, strength))
            result += [Cell(prompt, seed, RIVAL, face, strength=strength) for strength in settings["strengths"]]
            result.append(Cell(prompt, seed, WORDS, face, strength=1.0))
    return result


def graph_of(cell: Cell, settings: dict[str, Any], server: Server, photo: str, words: str) -> Graph:
    """Return the graph that makes a picture and shows it in the node `picture`."""
    text = f"{cell.prompt}, {words}" if cell.method == WORDS else cell.prompt
    graph: Graph = {
        "model": server.node("CheckpointLoaderSimple", ckpt_name=settings["checkpoint"]),
        "positive": server.node("CLIPTextEncode", text=text, clip=["model", 1]),
        "negative": server.node("CLIPTextEncode", text=NEGATIVE, clip=["model", 1]),
        "latent": server.node("EmptyLatentImage", width=settings["width"], height=settings["height"], batch_size=1),
    }
    positive = "positive"
    if cell.method in (STEERED, RIVAL):
        graph["photo"] = server.node("LoadImage", image=photo)
        graph["face"] = server.node("PerceptionClip_FacePerception", image=["photo", 0])
        inputs: dict[str, Any] = {"perception": ["face", 0], "strength": cell.strength}
        positive = "steered"
        if cell.method == RIVAL:
            inputs |= {"clip": ["model", 1], "base_prompt": cell.prompt}
            graph["steered"] = server.node(PROMPTS, **inputs)
        else:
            inputs |= {"checkpoint": settings["projection"], "start_percent": cell.start}
            inputs |= {"where": cell.where} if cell.where else {}
            if TEXT_ENCODE in server.nodes:
                graph["steered"] = server.node(TEXT_ENCODE, text=cell.prompt, clip=["model", 1], **inputs)
            else:
                graph["steered"] = server.node(PROJECTION, conditioning=["positive", 0], **inputs)
    sampling = {name: settings[name] for name in ("steps", "cfg", "scheduler")}
    graph["sampler"] = server.node(
        "KSampler",
        **sampling,
        sampler_name=settings["sampler"],
        seed=cell.seed,
        denoise=1.0,
        model=["model", 0],
        positive=[positive, 0],
        negative=["negative", 0],
        latent_image=["latent", 0],
    )
    graph["decoded"] = server.node("VAEDecode", samples=["sampler", 0], vae=["model", 2])
    graph["picture"] = server.node("PreviewImage", images=["decoded", 0])
    return graph


def describe_run(
    options: argparse.Namespace, server: Server, faces: dict[str, Path], pipeline: PerceptionPipeline
) -> dict[str, Any]:
    """Return every setting, hash and version on which the numbers depend."""
    node = TEXT_ENCODE if TEXT_ENCODE in server.nodes else PROJECTION
    where = options.where or server.choices(node, "where") or [""]
    for name, kind, widget in (
        ("checkpoint", "CheckpointLoaderSimple", "ckpt_name"),
        ("projection", node, "checkpoint"),
    ):
        value, known = getattr(options, name), server.choices(kind, widget)
        if value is not None and value not in known:
            sys.exit(f"ComfyUI has no {name} named {value}; choose one of these: {', '.join(known)}")
    prompts = DEFAULT_PROMPTS
    if options.prompts is not None:
        prompts = tuple(line.strip() for line in options.prompts.read_text("utf-8").splitlines() if line.strip())
    checkpoint = server.file("checkpoints", options.checkpoint)
    projection = None if options.projection is None else server.file("perception_clip", options.projection)
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return {
        **{key: getattr(options, key) for key in ("checkpoint", "projection", "seeds", "strengths", "start", "steps")},
        **{key: getattr(options, key) for key in ("cfg", "sampler", "scheduler", "width", "height")},
        "prompts": list(prompts),
        "negative": NEGATIVE,
        "where": list(where) if options.projection else [],
        "node": node,
        "faces": {name: sha256(path) for name, path in faces.items()},
        "sha256": {"checkpoint": sha256(checkpoint), "projection": sha256(projection)},
        "random_weights": random_weights(checkpoint),
        "projection_trained_with": None if projection is None else open_projection(projection).metadata.encoder,
        "measured_with": {
            "landmarker": pipeline.landmarker.identity,
            "emotions": pipeline.emotion_model.identity,
        },
        "versions": {
            "pack": f"{version('perception-clip')} {commit.stdout.strip()}".strip(),
            "comfyui": server.system.get("comfyui_version", "unknown"),
            "torch of ComfyUI": server.system.get("pytorch_version", "unknown"),
            "torch here": torch.__version__,
            "python here": platform.python_version(),
        },
    }


def continue_run(folder: Path, run: dict[str, Any]) -> None:
    """Write the settings, or check that the folder's pictures were made with the same ones."""
    path = folder / "run.json"
    if path.exists():
        before = json.loads(path.read_text("utf-8"))
        grows = ("prompts", "seeds", "strengths", "start", "where", "faces")  # more of these only adds pictures
        different = [name for name in run if name not in grows and before.get(name) != run[name]]
        changed = [name for name, digest in run["faces"].items() if before["faces"].get(name, digest) != digest]
        different += [f"face {name}" for name in changed]
        if different:
            sys.exit(f"{folder} has pictures of other settings ({', '.join(different)}); choose another --out")
    write_atomically(path, json.dumps(run, indent=1, ensure_ascii=False).encode())


def write_atomically(path: Path, content: bytes) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(content)
    part.replace(path)


def make(cell: Cell, path: Path, graph: Graph, server: Server) -> None:
    part = path.with_suffix(".part")
    server.picture(graph, "picture").save(part, format="PNG")
    part.replace(path)


def main() -> None:
    options = arguments()
    need(options.faces, "give a folder of photos with --faces")
    need(options.prompts, "give a text file with --prompts")
    faces = {path.stem: path for path in sorted(options.faces.iterdir()) if path.suffix.lower() in SUFFIXES}
    server = Server(options.server)
    pipeline = PerceptionPipeline(detector="standard")
    run = describe_run(options, server, faces, pipeline)
    folder = options.out / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    continue_run(options.out, run)

    reader = ExpressionReader(ExpressionModel.load(), ActionModel.load())
    targets, photos, words = {}, {}, {}
    for name, path in faces.items():
        with Image.open(path) as image:
            targets[name] = one_face(pipeline([torch.from_numpy(np.asarray(image.convert("RGB")).copy())]))
        if len(targets[name]) == 0:
            sys.exit(f"{path} shows no face; remove it from --faces")
        photos[name] = server.upload(path)
        words[name] = server.default(PROMPTS, emotion_of(targets[name]))

    todo = cells(run, list(faces))
    missing = [cell for cell in todo if not (folder / f"{cell.key}.png").exists()]
    print(f"{len(todo)} pictures, {len(todo) - len(missing)} of them from before")
    began = time.monotonic()
    for done, cell in enumerate(missing, start=1):
        graph = graph_of(cell, run, server, photos.get(cell.face, ""), words.get(cell.face, ""))
        make(cell, folder / f"{cell.key}.png", graph, server)
        left = (time.monotonic() - began) / done * (len(missing) - done)
        print(f"\r{done} of {len(missing)}, {left / 60:.0f} min left ", end="", flush=True)
    print()

    measured, plain = [], {}
    for cell in todo:
        path = folder / f"{cell.key}.png"
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB")).copy()
        face = one_face(pipeline([torch.from_numpy(pixels)]))
        if cell.method == PLAIN:
            plain = {"pixels": pixels, "face": face}
            measured.append(Picture(**asdict(cell), path=path, faces=len(face)))
            continue
        baseline = plain["face"] if len(plain["face"]) else None
        target = targets[cell.face]
        comparison = compare(target, face, baseline, reader)
        measured.append(
            Picture(
                **asdict(cell),
                path=path,
                faces=len(face),
                match=comparison.match,
                gain=comparison.gain,
                wanted=emotion_of(target),
                shown=emotion_of(face) if len(face) else "",
                outside=changed_outside(pixels, plain["pixels"], [face, plain["face"]]),
            )
        )
    write_report(options.out, run, measured, faces)


def one_face(perceptions: Perceptions) -> Perceptions:
    """Return the first face alone."""
    return perceptions.select(perceptions.first_of_frames)


def emotion_of(perceptions: Perceptions) -> str:
    return EMOTIONS[int(perceptions.emotions[0].argmax())]


def changed_outside(pixels: np.ndarray, before: np.ndarray, faces: list[Perceptions]) -> float:
    """Return the mean absolute difference of two pictures outside the heads, 0…1; NaN without a head."""
    outside = np.ones(pixels.shape[:2], dtype=bool)
    if not any(map(len, faces)):
        return float("nan")
    for perceptions in faces:
        outside &= ~head_mask(perceptions, pixels.shape[:2])
    if not outside.any():
        return float("nan")
    return float(np.abs(pixels.astype(float) - before)[outside].mean() / 255)


def head_mask(perceptions: Perceptions, size: tuple[int, int]) -> np.ndarray:
    """Return where the head of the first face is: an ellipse around its box, larger for the hair."""
    y, x = np.mgrid[: size[0], : size[1]]
    if len(perceptions) == 0:
        return np.zeros(size, dtype=bool)
    left, top, right, bottom = perceptions.boxes[0].tolist()
    width, height = right - left, bottom - top
    middle = (left + right) / 2, (top + bottom) / 2 - 0.15 * height
    inside: np.ndarray = ((x - middle[0]) / (0.8 * width)) ** 2 + ((y - middle[1]) / (0.85 * height)) ** 2 <= 1
    return inside


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("\nstopped; the same command continues from here")
    except (OSError, HTTPException, RuntimeError) as error:
        sys.exit(f"\n{error}\nstopped; the same command continues from here")
