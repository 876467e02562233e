"""`train`: a dataset → best_model, judged on held-out groups."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..arguments import add_training_arguments, settings_of
from ..fitting import METRICS_FILE, Fitted, fit
from ..npz import load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="training_data.npz")
    add_training_arguments(parser)


def run(options: argparse.Namespace) -> int:
    print_result(fit(load(options.data), options.out_dir, settings_of(options)))
    return 0


def print_result(fitted: Fitted) -> None:
    print(fitted.report)
    print(f"checkpoint: {fitted.path} (and .pth), {fitted.path.parent / METRICS_FILE}")
    print(f"targets were made by: {fitted.checkpoint.metadata.encoder}")
