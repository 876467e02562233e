"""`train`: a dataset → best_model, judged on held-out groups."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...projection.checkpoint import DEFAULT_FOLDER
from ..fitting import METRICS_FILE, Fitted, Settings, fit
from ..npz import load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="training_data.npz")
    add_training_arguments(parser)


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of every command that trains."""
    defaults = Settings()
    parser.add_argument(
        "--out-dir",
        type=Path,
        default=DEFAULT_FOLDER,
        help="where best_model goes (default: projection/checkpoints)",
    )
    parser.add_argument("--epochs", type=positive, default=defaults.epochs, help="default: %(default)s")
    parser.add_argument("--batch-size", type=positive, default=defaults.batch_size, help="default: %(default)s")
    parser.add_argument("--lr", type=float, default=defaults.learning_rate, help="learning rate (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=defaults.seed, help="default: %(default)s")
    parser.add_argument("--device", default=defaults.device, help="cpu, cuda, mps… (default: %(default)s)")


def positive(text: str) -> int:
    """An argparse type: a whole number of at least 1."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not at least 1")
    return value


def settings_of(options: argparse.Namespace) -> Settings:
    return Settings(
        epochs=options.epochs,
        batch_size=options.batch_size,
        learning_rate=options.lr,
        seed=options.seed,
        device=options.device,
    )


def run(options: argparse.Namespace) -> int:
    print_result(fit(load(options.data), options.out_dir, settings_of(options)))
    return 0


def print_result(fitted: Fitted) -> None:
    print(fitted.report)
    print(f"checkpoint: {fitted.path} (and .pth), {fitted.path.parent / METRICS_FILE}")
    print(f"targets were made by: {fitted.checkpoint.metadata.encoder}")
