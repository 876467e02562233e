"""The commands that work on datasets: `info`, `merge`, `filter`, `relabel`, `export` and `import`."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from ...common.errors import InputError
from ...common.files import check_writable
from ...common.words import counted
from ..dataset.copying import copy_samples
from ..dataset.npz import export, import_npz
from ..dataset.opening import OUT_HELP, merge, open_dataset, open_output, refuse_torch
from ..dataset.parquet import export_parquet
from ..dataset.relabeling import Relabeling, pair_up, read_map, relabel, relabel_anew
from ..dataset.samples import SPLITS
from ..dataset.store import Store
from ..inspection.checks import inspect_scan
from ..inspection.filtering import Conditions, select_samples
from ..inspection.scan import scan_dataset
from ..inspection.text import describe
from ..prompts.templates import Templates
from .options import (
    add_device_argument,
    add_encoder_arguments,
    closed_interval,
    encoder_of,
    from_options,
    not_negative,
    positive,
)

SHIPPED = "shipped"  # the pack's own templates
WRITERS: dict[str, Callable[[Store, Path], int]] = {".npz": export, ".parquet": export_parquet}  # by suffix


def add_info_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="my.db or training_data.npz")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON, with all counts")
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="also write plots to this folder; needs matplotlib (extra `train`)"
    )


def run_info(options: argparse.Namespace) -> int:
    if options.report is not None:
        from ..reports.dataset_report import require_matplotlib, write_report

        require_matplotlib()
    with open_dataset(options.file) as rows, tqdm(total=len(rows), desc="reading", unit="sample", leave=False) as bar:
        if options.report is not None and len(rows):  # without samples, there is no report
            check_writable(options.report, "--report")
        scan = scan_dataset(rows, bar.update)
    inspection = inspect_scan(scan, options.file)
    print(json.dumps(inspection.as_dict(), indent=2, ensure_ascii=False) if options.json else describe(inspection))
    if options.report is not None:
        index = write_report(inspection, scan, options.report)
        if not options.json:
            print(f"plots: {index}")
    return 0


def add_merge_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="my.db and training_data.npz files")
    parser.add_argument("--out", type=Path, required=True, help=OUT_HELP)


def run_merge(options: argparse.Namespace) -> int:
    with open_output(options.out, options.files) as target:
        for part in merge(options.files, target):
            print(f"{part.path}: {part.new:,} of {counted(part.samples, 'sample')} new")
        count = len(target)
    print(f"{counted(count, 'sample')} in {options.out}")
    return 0


def add_filter_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="my.db or training_data.npz; it is not modified")
    parser.add_argument("--out", type=Path, required=True, help=OUT_HELP)
    parser.add_argument(
        "--min-score",
        type=closed_interval,
        metavar="S",
        help="drop faces with a detection score below this, 0 to 1, or without a score",
    )
    for axis, what in (("yaw", "turned to either side"), ("pitch", "tilted up or down"), ("roll", "tilted sideways")):
        help_text = f"drop heads {what} by more than this"
        parser.add_argument(f"--max-{axis}", type=not_negative, metavar="DEGREES", help=help_text)
    texts = parser.add_argument_group("texts", "each can be repeated; a sample then needs only one of the values")
    for flag, dest, what in (
        ("--prompt", "prompts", "keep samples with this prompt"),
        ("--prompt-contains", "prompt_parts", "keep prompts that contain this text"),
        ("--label", "labels", 'keep this label; "" for samples without one'),
        ("--group", "groups", 'keep this group; "" for samples without one'),
    ):
        texts.add_argument(flag, dest=dest, action="append", default=[], metavar="TEXT", help=what)
    texts.add_argument(
        "--split",
        dest="splits",
        action="append",
        default=[],
        choices=("", *SPLITS),
        help='keep this split, as stated by the source; "" for samples without one',
    )
    parser.add_argument("--drop-outliers", action="store_true", help="drop faces that look invalid (see `info`)")
    parser.add_argument(
        "--drop-near-duplicates", action="store_true", help="keep only one of nearly identical faces (see `info`)"
    )
    parser.add_argument("--invert", action="store_true", help="keep the samples that would be dropped, drop the others")


def run_filter(options: argparse.Namespace) -> int:
    conditions = from_options(Conditions, options)
    if conditions in (Conditions(), Conditions(invert=True)):
        raise InputError("no condition was passed; add one, such as --min-score 0.8 (--help lists them)")
    with open_output(options.out, [options.file]) as target, open_dataset(options.file) as source:
        selection = select_samples(source, conditions)
        new = copy_samples(source, target, keep=selection.kept)
    for reason, count in selection.failed.items():
        if count:
            print(f"{'kept' if conditions.invert else 'dropped'}: {count:,} ({reason})")
    if selection.unknown_sizes:
        print(
            f"the size of {counted(selection.unknown_sizes, 'picture')} is unknown; head poses were measured as if the "
            "pictures were square"
        )
    print(
        f"{selection.kept.sum():,} of {counted(len(selection.kept), 'sample')} kept, "
        f"{new:,} of them new in {options.out}"
    )
    return 0


def add_relabel_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="my.db or training_data.npz; it is not modified")
    parser.add_argument("--out", type=Path, required=True, help=OUT_HELP)
    parser.add_argument("--map", type=Path, metavar="CSV", help="a CSV with the columns old and new: prompts")
    parser.add_argument(
        "--from-label", action="append", default=[], metavar="LABEL", help="all samples with this label …"
    )
    parser.add_argument(
        "--to-prompt", action="append", default=[], metavar="TEXT", help="… get this prompt; both can be repeated"
    )
    parser.add_argument(
        "--templates",
        nargs="?",
        const=SHIPPED,
        metavar="FILE",
        help="generate prompts from the labels, with your templates or, without FILE, with the pack's",
    )
    parser.add_argument(
        "--prompts-per-sample",
        type=positive,
        default=1,
        metavar="N",
        help="number of prompts generated from a label; each becomes a sample (default: %(default)s)",
    )
    add_encoder_arguments(parser, of_dataset=True)
    parser.add_argument(
        "--re-encode", action="store_true", help="re-encode all prompts, with the dataset's text encoder or another one"
    )
    add_device_argument(parser)
    parser.epilog = (
        "Prompts that are new to the dataset need --text-encoder with the encoder of the dataset's other prompts. With "
        "--re-encode, any encoder of the space works."
    )


def run_relabel(options: argparse.Namespace) -> int:
    changes = (options.map, options.from_label, options.to_prompt, options.templates)
    if not any(changes) and not options.re_encode:
        raise InputError("nothing to change; add --map, --from-label and --to-prompt, --templates or --re-encode")
    if options.prompts_per_sample > 1 and not options.templates:
        raise InputError("--prompts-per-sample only works with --templates; add --templates")
    templates = None
    if options.templates:
        templates = Templates.load(None if options.templates == SHIPPED else Path(options.templates))
    relabeling = Relabeling(
        prompts=read_map(options.map) if options.map else None,
        labels=pair_up(options.from_label, options.to_prompt),
        templates=templates,
        count=options.prompts_per_sample,
    )
    with open_output(options.out, [options.file]) as target, open_dataset(options.file) as source:
        if source.provenance is None:
            raise InputError(f"{options.file}: the dataset has no samples")
        options.space = options.space or source.provenance.space
        if options.re_encode:
            new = relabel_anew(source, target, relabeling, encoder_of(options))
        else:
            new = relabel(source, target, relabeling, encoder_of(options) if options.text_encoder else None)
        total = len(source)
    if relabeling.unused:
        print(f"not used, because the dataset does not have them: {', '.join(map(repr, relabeling.unused))}")
    if relabeling.unlabeled:
        print(f"{counted(relabeling.unlabeled, 'sample')} without a label: no prompts were generated from templates")
    print(f"{relabeling.changed:,} of {counted(total, 'sample')} with changed prompts; {new:,} new in {options.out}")
    return 0


def add_export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "dataset", type=Path, metavar="DATASET", help="my.db, written by `build` or by the ComfyUI node"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("training_data.npz"),
        help="the file to write, .npz or .parquet; .parquet needs pyarrow (default: %(default)s)",
    )


def run_export(options: argparse.Namespace) -> int:
    if options.out.suffix.lower() not in WRITERS:
        raise InputError(f"--out {options.out} must end in {' or '.join(WRITERS)}")
    with Store(options.dataset, create=False) as store:
        print(f"{counted(WRITERS[options.out.suffix.lower()](store, options.out), 'sample')} exported to {options.out}")
    return 0


def add_import_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="an NPZ with perception_embeddings and clip_embeddings")
    parser.add_argument("--out", type=Path, required=True, help="my.db; created if it does not exist")


def run_import(options: argparse.Namespace) -> int:
    if options.out.suffix.lower() != ".db":
        raise InputError(f"--out {options.out} must end in .db")
    refuse_torch(options.file)
    with Store(options.out) as store:
        new = import_npz(options.file, store)
        print(f"{counted(new, 'new sample')}; {len(store):,} in {options.out}")
    return 0


COMMANDS = {
    "info": (add_info_arguments, run_info),
    "merge": (add_merge_arguments, run_merge),
    "filter": (add_filter_arguments, run_filter),
    "relabel": (add_relabel_arguments, run_relabel),
    "export": (add_export_arguments, run_export),
    "import": (add_import_arguments, run_import),
}
