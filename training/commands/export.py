"""`export`: a dataset → training_data.npz, or a Parquet file."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from ...common.errors import InputError
from ...common.words import counted
from ..dataset.npz import export
from ..dataset.parquet import export_parquet
from ..dataset.store import Store

WRITERS: dict[str, Callable[[Store, Path], int]] = {".npz": export, ".parquet": export_parquet}  # by suffix


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "dataset", type=Path, metavar="DATASET", help="my.db, written by `build` or by the ComfyUI node"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("training_data.npz"),
        help="the file to write, .npz or .parquet; .parquet needs pyarrow (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    if options.out.suffix not in WRITERS:
        raise InputError(f"--out {options.out} must end in {' or '.join(WRITERS)}")
    with Store(options.dataset, create=False) as store:
        print(f"{counted(WRITERS[options.out.suffix](store, options.out), 'sample')} exported to {options.out}")
    return 0
