"""`filter`: some samples of a dataset → another dataset."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...common.errors import InputError
from ...common.words import counted
from ..dataset.copying import copy_samples
from ..dataset.opening import OUT_HELP, open_output, open_rows
from ..dataset.samples import SPLITS
from ..inspection.filtering import Conditions, judge


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="my.db or training_data.npz; it stays as it is")
    parser.add_argument("--out", type=Path, required=True, help=OUT_HELP)
    parser.add_argument("--min-score", type=float, metavar="S", help="the detector's score, 0 to 1; unknown is too low")
    for axis, what in (("yaw", "turned aside"), ("pitch", "turned up or down"), ("roll", "tilted")):
        parser.add_argument(
            f"--max-{axis}", type=float, metavar="DEGREES", help=f"leave out heads that are {what} further than this"
        )
    texts = parser.add_argument_group("texts", "each may be given several times, and then any of them will do")
    texts.add_argument("--prompt", action="append", default=[], metavar="TEXT", help="exactly this prompt")
    texts.add_argument(
        "--prompt-contains", action="append", default=[], metavar="TEXT", help="prompts with these words"
    )
    texts.add_argument("--label", action="append", default=[], metavar="TEXT", help='"" for samples without one')
    texts.add_argument("--group", action="append", default=[], metavar="TEXT", help='"" for samples without one')
    texts.add_argument("--split", action="append", default=[], choices=("", *SPLITS), help="as the source has split it")
    parser.add_argument("--drop-outliers", action="store_true", help="leave out what looks like no face (see `info`)")
    parser.add_argument(
        "--drop-duplicates", action="store_true", help="of faces that are nearly the same, keep one (see `info`)"
    )
    parser.add_argument("--invert", action="store_true", help="keep what would be left out, and leave out the rest")


def run(options: argparse.Namespace) -> int:
    conditions = conditions_of(options)
    if conditions in (Conditions(), Conditions(invert=True)):
        raise InputError("say which samples to keep, such as --min-score 0.8; --help lists the conditions")
    with open_output(options.out, [options.file]) as target, open_rows(options.file) as source:
        judged = judge(source, conditions)
        new = copy_samples(source, target, keep=judged.kept)
    for reason, count in judged.failed.items():
        if count:
            print(f"{'kept' if conditions.invert else 'left out'}: {count:,} ({reason})")
    if judged.unknown_sizes:
        print(
            f"the sizes of {counted(judged.unknown_sizes, 'picture')} are unknown: poses were measured as if they "
            "were square"
        )
    print(f"{judged.kept.sum():,} of {counted(len(judged.kept), 'sample')} kept, {new:,} of them new in {options.out}")
    return 0


def conditions_of(options: argparse.Namespace) -> Conditions:
    return Conditions(
        min_score=options.min_score,
        max_angles=(options.max_yaw, options.max_pitch, options.max_roll),
        prompts=tuple(options.prompt),
        prompt_parts=tuple(options.prompt_contains),
        labels=tuple(options.label),
        groups=tuple(options.group),
        splits=tuple(options.split),
        drop_outliers=options.drop_outliers,
        drop_duplicates=options.drop_duplicates,
        invert=options.invert,
    )
