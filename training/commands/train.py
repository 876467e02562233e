"""`train`: a dataset → best_model, evaluated on held-out groups, with a report."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from ...common.words import counted
from ...projection.checkpoint import load as load_checkpoint
from ...projection.spaces import SD15, SPACES
from ..dataset.opening import open_for_training
from ..fitting import fit
from .options import add_resume_argument, add_training_arguments, settings_of
from .terminal import print_result, progress_bar, stop_on_signals


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="training_data.npz or a growing dataset (.db)")
    add_training_arguments(parser)
    add_resume_argument(parser)
    parser.add_argument(
        "--space",
        choices=tuple(SPACES),
        default=SD15.name,
        help="target text space: Stable Diffusion 1.5 (sd15) or XL (sdxl); sdxl needs a dataset built with --space "
        "sdxl (default: %(default)s)",
    )
    parser.add_argument(
        "--init",
        type=Path,
        metavar="CHECKPOINT",
        help="initialize from this checkpoint instead of from scratch",
    )
    parser.add_argument(
        "--drop-bad-rows", action="store_true", help="skip rows with NaN or other invalid values, and list them"
    )


def run(options: argparse.Namespace) -> int:
    settings = replace(settings_of(options), space=options.space)
    init = None if options.init is None else load_checkpoint(options.init)
    with stop_on_signals() as stop:
        dataset = open_for_training(options.data, drop_bad_rows=options.drop_bad_rows)
        if len(dataset.bad_rows):
            rows = ", ".join(map(str, dataset.bad_rows.tolist()))
            print(f"dropped {len(dataset.bad_rows)} of {counted(len(dataset), 'row')} with invalid values: {rows}")
        with progress_bar(settings.epochs) as show:
            fitted = fit(
                dataset,
                options.out_dir,
                settings,
                init=init,
                resume=options.resume,
                progress=show,
                stop=stop,
            )
    return print_result(fitted)
