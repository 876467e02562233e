"""`starter`: train a first checkpoint without data, on synthetic faces and the user's own text encoder."""

from __future__ import annotations

import argparse
from dataclasses import replace

from ..encoders.loading import load_encoder
from ..fitting import fit
from ..learning.settings import STARTER_EPOCHS, STARTER_SAMPLES
from ..starter import origin, sample_dataset
from .options import add_encoder_arguments, add_resume_argument, add_training_arguments, positive, settings_of
from .terminal import print_result, progress_bar, stop_on_signals


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_encoder_arguments(parser, required=True)
    parser.add_argument(
        "--samples",
        type=positive,
        default=STARTER_SAMPLES,
        help="number of synthetic faces to sample (default: %(default)s)",
    )
    add_training_arguments(parser)
    add_resume_argument(parser)
    parser.set_defaults(epochs=STARTER_EPOCHS)


def run(options: argparse.Namespace) -> int:
    encoder = load_encoder(options.text_encoder, options.device, options.tokenizer, options.space)
    dataset = sample_dataset(encoder, options.samples, options.seed)
    made_by = origin("starter", options.samples, dataset.meta["landmarker"])
    with stop_on_signals() as stop, progress_bar(options.epochs) as show:
        fitted = fit(
            dataset,
            options.out_dir,
            replace(settings_of(options), space=options.space),
            made_by=made_by,
            resume=options.resume,
            progress=show,
            stop=stop,
        )
    return print_result(fitted)
