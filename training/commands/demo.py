"""`demo`: run the whole pipeline on two photos, without any download.

It perceives faces, samples a dataset, trains, projects, and creates a CONDITIONING.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ...common.errors import InputError
from ...common.files import atomic_path
from ...common.words import counted
from ...perception.drawing.overlay import draw_batch
from ...perception.pictures import read_picture
from ...perception.pipeline import PerceptionPipeline
from ...perception.vector import EMOTIONS, Perception, Perceptions
from ...projection.checkpoint import Checkpoint, load
from ...projection.conditioning import inject
from ...projection.face_vectors import FaceVectors
from ..dataset.npz import Dataset, save
from ..dataset.npz import load as load_dataset
from ..encoders.base import TokenEncoder
from ..evaluation.text import table
from ..fitting import fit
from ..learning.data import centered_cosine, of_dataset
from ..learning.settings import STARTER, Settings
from ..starter import origin, sample_dataset
from .options import (
    add_samples_argument,
    add_sd15_encoder_arguments,
    add_training_arguments,
    encoder_of,
    settings_of,
)
from .terminal import progress_bar

PROMPT = "a portrait photo of a person"
NEAREST = 3  # prompts named for each face
PHOTOS = Path(__file__).parents[1] / "photos"


@dataclass(frozen=True)
class Photo:
    name: str
    picture: Tensor  # (H, W, 3) uint8


def sample_photos() -> list[Photo]:
    """Return NASA's portrait of Eileen Collins and the US Navy's of Grace Hopper, both in the public domain."""
    return [Photo(path.stem, read_picture(path)) for path in sorted(PHOTOS.glob("*.jpg"))]


def run_demo(photos: list[Photo], encoder: TokenEncoder, out_dir: Path, samples: int, settings: Settings) -> None:
    """Run every step, print its result and how long it took, and leave the files in `out_dir`."""
    names = [photo.name for photo in photos]
    if len(set(names)) < len(names):
        raise InputError(f"two photos have the same name ({', '.join(names)}); rename one")
    out_dir.mkdir(parents=True, exist_ok=True)
    print(f"text encoder: {encoder.identity}\n")

    with _step("1  photos → perceptions"):
        perceptions = PerceptionPipeline()([photo.picture for photo in photos])
        overlays = draw_batch([photo.picture for photo in photos], perceptions)
        for name, overlay, faces in zip(names, overlays, perceptions.by_frame(), strict=True):
            path = out_dir / f"{name}_overlay.png"
            _write_png(overlay, path)
            print(f"   {name}: {_summary(faces)} → {path}")

    with _step(f"2  {counted(samples, 'face')} sampled from the expression model, with prompts → NPZ"):
        data = out_dir / "training_data.npz"
        save(sample_dataset(encoder, samples, settings.seed), data)
        dataset = load_dataset(data)
        print(f"   {counted(len(dataset), 'sample')} → {data}")

    with _step("3  training"):
        made_by = origin("demo", samples, dataset.meta["landmarker"])
        with progress_bar(settings.epochs) as show:
            fitted = fit(dataset, out_dir, settings, made_by=made_by, resumable=False, progress=show)
        if fitted.evaluation is not None:
            print(table(fitted.evaluation))
        print(fitted.verdict)
        print(f"   → {fitted.path} and .pth")

    with _step("4  photos → CLIP vectors → CONDITIONING"):
        checkpoint = load(fitted.path)
        vectors = checkpoint.project(perceptions.vectors, perceptions.image_sizes).end
        _print_nearest(vectors, perceptions, names, dataset)
        path = out_dir / "conditioning.safetensors"
        for name, shape in _save_conditionings(vectors, perceptions, names, checkpoint, encoder, path).items():
            print(f"   {name}: {shape}")
        print(f"   → {path}")

    print(f"\nAll files are in {out_dir.resolve()}")


@contextmanager
def _step(title: str) -> Iterator[None]:
    print(title)
    started = time.perf_counter()
    yield
    print(f"   {time.perf_counter() - started:.1f} s\n")


def _summary(faces: list[Perception]) -> str:
    """Return the number of faces and their emotions, such as "1 face, happy 97%"."""
    likeliest = [face.emotions.max(dim=0) for face in faces]
    emotions = [f"{EMOTIONS[best.indices]} {best.values:.0%}" for best in likeliest]
    return ", ".join([counted(len(faces), "face"), *emotions])


def _write_png(picture: Tensor, path: Path) -> None:
    from PIL import Image

    with atomic_path(path) as temporary:
        Image.fromarray(picture.numpy()).save(temporary)


def _print_nearest(vectors: Tensor, perceptions: Perceptions, names: list[str], dataset: Dataset) -> None:
    """Print the training prompts nearest to each projected face, by mean-centered cosine."""
    data = of_dataset(dataset)
    candidates, center = data.targets[data.first_row], data.targets.mean(dim=0)
    for vector, face in zip(vectors, perceptions, strict=True):
        similarity = centered_cosine(vector.expand_as(candidates), candidates, center)
        best = similarity.topk(min(NEAREST, len(candidates)))
        print(f"   {names[face.frame]} is nearest to:")
        for value, number in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            print(f"      {value:.2f}  {data.prompts[number]}")


def _save_conditionings(
    vectors: Tensor,
    perceptions: Perceptions,
    names: list[str],
    checkpoint: Checkpoint,
    encoder: TokenEncoder,
    path: Path,
) -> dict[str, tuple[int, ...]]:
    """Save the prompt's tokens as each face steers and appends to them, and return the shapes by name."""
    from safetensors.torch import save_file

    prompt, neutral = encoder.token_states(PROMPT), FaceVectors(checkpoint.neutral[None, : checkpoint.width])
    tensors = {"prompt": prompt}
    for number, (vector, face) in enumerate(zip(vectors, perceptions, strict=True)):
        for mode in ("steer", "append"):
            ((tokens, _),) = inject([[prompt, {}]], FaceVectors(vector[None]), neutral, mode=mode)
            tensors[f"{names[face.frame]}.{number}.{mode}"] = tokens.contiguous()
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"prompt": PROMPT, "encoder": encoder.identity})
    return {name: tuple(tokens.shape) for name, tokens in tensors.items()}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "photos", type=Path, nargs="*", metavar="PHOTO", help="your photos (default: two public-domain photos)"
    )
    add_sd15_encoder_arguments(parser, default="random")
    add_samples_argument(parser)
    add_training_arguments(parser, STARTER)
    # Never the nodes' own folder: a checkpoint of the placeholder encoder must not become their best_model.
    parser.set_defaults(out_dir=Path("demo_output"))


def run(options: argparse.Namespace) -> int:
    started = time.perf_counter()
    photos = [Photo(path.stem, read_picture(path)) for path in options.photos] or sample_photos()
    encoder = encoder_of(options)
    run_demo(photos, encoder, options.out_dir, options.samples, settings_of(options))
    if options.text_encoder == "random":
        print(
            "The demo used a placeholder text encoder with random weights, so its vectors mean nothing to Stable\n"
            "Diffusion. Faces, landmarks, emotions, training and projection are real. To train a usable checkpoint,\n"
            "run: python -m training starter --text-encoder <your Stable Diffusion 1.5 .safetensors>"
        )
    print(f"Done in {time.perf_counter() - started:.0f} s.")
    return 0


COMMANDS = {"demo": (add_arguments, run)}
