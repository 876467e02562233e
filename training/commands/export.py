"""`export`: a dataset → training_data.npz."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..npz import export
from ..store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="my.db, made by `build` or by ComfyUI's node")
    parser.add_argument(
        "--out", type=Path, default=Path("training_data.npz"), help="the file to write (default: %(default)s)"
    )


def run(options: argparse.Namespace) -> int:
    if options.out.suffix != ".npz":
        raise ValueError(f"--out {options.out} must end in .npz")
    with Store(options.dataset, create=False) as store:
        print(f"{export(store, options.out)} samples exported to {options.out}")
    return 0
