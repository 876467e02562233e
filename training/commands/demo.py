"""`demo`: the whole path, from photos to a CONDITIONING, without any download."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from ...perception.pictures import read_picture
from ..encoders.base import load_encoder
from ..learning.settings import STARTER_EPOCHS, STARTER_SAMPLES
from .demo_run import Photo, run_demo, sample_photos
from .options import add_sd15_encoder_arguments, add_training_arguments, positive, settings_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("photos", type=Path, nargs="*", help="photos of yours (default: two public-domain photos)")
    add_sd15_encoder_arguments(parser, default="random")
    parser.add_argument(
        "--samples", type=positive, default=STARTER_SAMPLES, help="faces to sample (default: %(default)s)"
    )
    add_training_arguments(parser)
    # Never the nodes' own folder: a checkpoint of the stand-in encoder must not become their best_model.
    parser.set_defaults(out_dir=Path("demo_output"), epochs=STARTER_EPOCHS)


def run(options: argparse.Namespace) -> int:
    started = time.perf_counter()
    photos = [Photo(path.stem, read_picture(path)) for path in options.photos] or sample_photos()
    encoder = load_encoder(options.text_encoder, device=options.device, tokenizer=options.tokenizer)
    run_demo(photos, encoder, options.out_dir, options.samples, settings_of(options))
    if options.text_encoder == "random":
        print(
            "A stand-in, and only this: the text encoder has random weights, so its vectors mean nothing to Stable\n"
            "Diffusion. Faces, landmarks, emotions, training and projection are the real ones. For a checkpoint to\n"
            "use: python -m training starter --text-encoder <your Stable Diffusion 1.5 .safetensors>"
        )
    print(f"Done in {time.perf_counter() - started:.0f} s.")
    return 0
