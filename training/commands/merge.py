"""`merge`: several datasets → one."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...common.words import counted
from ..dataset.opening import OUT_HELP, merge, open_output


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="my.db and training_data.npz files")
    parser.add_argument("--out", type=Path, required=True, help=OUT_HELP)


def run(options: argparse.Namespace) -> int:
    with open_output(options.out, options.files) as target:
        for part in merge(options.files, target):
            print(f"{part.path}: {part.new:,} of {counted(part.samples, 'sample')} new")
        count = len(target)
    print(f"{counted(count, 'sample')} in {options.out}")
    return 0
