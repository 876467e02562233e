"""`import`: any NPZ → a dataset that can grow."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...common.errors import InputError
from ...common.words import counted
from ..dataset.npz import import_npz
from ..dataset.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="an NPZ with perception_embeddings and clip_embeddings")
    parser.add_argument("--out", type=Path, required=True, help="my.db; created if it does not exist")


def run(options: argparse.Namespace) -> int:
    if options.out.suffix != ".db":
        raise InputError(f"--out {options.out} must end in .db")
    with Store(options.out) as store:
        new = import_npz(options.file, store)
        print(f"{counted(new, 'new sample')}; {len(store):,} in {options.out}")
    return 0
