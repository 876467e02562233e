"""`build`: a folder per label, or a CSV, → a dataset."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..arguments import add_device_argument, add_encoder_arguments, positive
from ..build import build
from ..clip_tokenizer import CLIP_L
from ..encoders import load_encoder
from ..npz import export
from ..perceiving import add_perception_arguments, pipeline_of
from ..sources import find_items
from ..store import Store

SUFFIXES = (".db", ".npz")
LISTED = 10  # skipped files named in the summary


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        type=Path,
        metavar="SOURCE",
        help="a folder with one subfolder of pictures or videos per label, or a CSV with the columns path, prompt and "
        "perhaps group",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        help="my.db, which grows when you build into it again; or my.npz, which is exported from a my.db beside it",
    )
    add_encoder_arguments(parser, default=CLIP_L)
    add_perception_arguments(parser)
    add_device_argument(parser)
    parser.add_argument(
        "--every", type=positive, metavar="N", help="take every N-th frame of videos (default: about two per second)"
    )
    parser.add_argument("--batch", type=positive, default=16, help="pictures per step (default: %(default)s)")


def run(options: argparse.Namespace) -> int:
    if options.out.suffix not in SUFFIXES:
        raise ValueError(f"--out {options.out} must end in {' or '.join(SUFFIXES)}")
    listing = find_items(options.source)
    encoder = load_encoder(options.text_encoder, device=options.device, tokenizer=options.tokenizer)
    pipeline = pipeline_of(options)
    database = options.out.with_suffix(".db")
    with Store(database) as store:
        summary = build(listing.items, store, pipeline, encoder, batch=options.batch, every=options.every)
        skipped = [*listing.skipped, *summary.skipped]
        for which, why in skipped[:LISTED]:
            print(f"skipped {which}: {why}")
        if len(skipped) > LISTED:
            print(f"… and {len(skipped) - LISTED} more")
        print(
            f"{summary.faces} faces in {summary.pictures} pictures; {summary.samples} samples are new, "
            f"{summary.known} were there before, {len(skipped)} files or frames skipped"
        )
        print(f"{len(store)} samples in {database}, prompts encoded by: {encoder.identity}")
        if options.out.suffix == ".npz":
            print(f"{export(store, options.out)} samples exported to {options.out}")
    return 0
