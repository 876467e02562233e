"""`starter`: a first checkpoint without data, from sampled faces and the user's own text encoder."""

from __future__ import annotations

import argparse

from ..encoders import load_encoder
from ..fitting import fit
from ..starter import EPOCHS, SAMPLES, sample_dataset
from .train import add_training_arguments, positive, print_result, settings_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--text-encoder",
        required=True,
        help="a Stable Diffusion 1.5 .safetensors file, a Hugging Face id or folder, "
        "or 'random' (a stand-in for trying things out)",
    )
    parser.add_argument("--tokenizer", help="a folder with CLIP's vocab.json and merges.txt")
    parser.add_argument("--samples", type=positive, default=SAMPLES, help="faces to sample (default: %(default)s)")
    add_training_arguments(parser)
    parser.set_defaults(epochs=EPOCHS)


def run(options: argparse.Namespace) -> int:
    encoder = load_encoder(options.text_encoder, device=options.device, tokenizer=options.tokenizer)
    dataset = sample_dataset(encoder, options.samples, options.seed)
    made_by = f"starter: {options.samples} faces {dataset.meta['landmarker']}, no photos"
    print_result(fit(dataset, options.out_dir, settings_of(options), made_by))
    return 0
