"""`filter`: select samples of a dataset → another dataset."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...common.errors import InputError
from ...common.words import counted
from ..dataset.copying import copy_samples
from ..dataset.opening import OUT_HELP, open_dataset, open_output
from ..dataset.samples import SPLITS
from ..inspection.filtering import Conditions, judge


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="my.db or training_data.npz; it is not modified")
    parser.add_argument("--out", type=Path, required=True, help=OUT_HELP)
    parser.add_argument(
        "--min-score",
        type=float,
        metavar="S",
        help="drop faces with a detection score below this, 0 to 1, or without a score",
    )
    for axis, what in (("yaw", "turned to either side"), ("pitch", "tilted up or down"), ("roll", "tilted sideways")):
        parser.add_argument(f"--max-{axis}", type=float, metavar="DEGREES", help=f"drop heads {what} by more than this")
    texts = parser.add_argument_group("texts", "each can be repeated; a sample then needs only one of the values")
    texts.add_argument("--prompt", action="append", default=[], metavar="TEXT", help="keep samples with this prompt")
    texts.add_argument(
        "--prompt-contains", action="append", default=[], metavar="TEXT", help="keep prompts that contain this text"
    )
    texts.add_argument(
        "--label", action="append", default=[], metavar="TEXT", help='keep this label; "" for samples without one'
    )
    texts.add_argument(
        "--group", action="append", default=[], metavar="TEXT", help='keep this group; "" for samples without one'
    )
    texts.add_argument(
        "--split",
        action="append",
        default=[],
        choices=("", *SPLITS),
        help='keep this split, as stated by the source; "" for samples without one',
    )
    parser.add_argument("--drop-outliers", action="store_true", help="drop faces that look invalid (see `info`)")
    parser.add_argument(
        "--drop-duplicates", action="store_true", help="keep only one of nearly identical faces (see `info`)"
    )
    parser.add_argument("--invert", action="store_true", help="keep the samples that would be dropped, drop the others")


def run(options: argparse.Namespace) -> int:
    conditions = conditions_of(options)
    if conditions in (Conditions(), Conditions(invert=True)):
        raise InputError("no condition was passed; add one, such as --min-score 0.8 (--help lists them)")
    with open_output(options.out, [options.file]) as target, open_dataset(options.file) as source:
        judged = judge(source, conditions)
        new = copy_samples(source, target, keep=judged.kept)
    for reason, count in judged.failed.items():
        if count:
            print(f"{'kept' if conditions.invert else 'dropped'}: {count:,} ({reason})")
    if judged.unknown_sizes:
        print(
            f"the size of {counted(judged.unknown_sizes, 'picture')} is unknown; head poses were measured as if the "
            "pictures were square"
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
