"""`build`: pictures and videos with labels or prompts → a dataset."""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from ...common.errors import InputError
from ...common.files import atomic_path
from ...common.words import counted, listed
from ...perception.pipeline import PerceptionPipeline
from ..building.build import BATCH, WORKERS, BuildSummary, Progress, build
from ..building.item_reader import BuildOptions
from ..building.ray_shards import SHARD_SIZE, Job, build_shards
from ..dataset.copying import copy_samples, reencode
from ..dataset.npz import export
from ..dataset.opening import check_suffix, open_dataset
from ..dataset.store import Store
from ..encoders.base import KnownPrompts
from ..prompts.templates import Templates
from ..sources import DATASET, FORMATS, detect, find_items
from ..sources.items import Choices, SourceItem, SourceListing, merge_rows
from ..sources.numbering import NUMBERINGS, read_label_map
from .options import (
    add_device_argument,
    add_encoder_arguments,
    add_perception_arguments,
    encoder_of,
    finding,
    natural,
    pipeline_of,
    positive,
    source_path,
)
from .source_text import describe

NAMED_SKIPS = 10  # the most skipped files that the summary names
SKIPPED_FILE = "skipped.csv"
ENGINES = ("plain", "ray")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source",
        type=source_path,
        metavar="SOURCE",
        help="a folder with one subfolder per label, pictures with caption files, a CSV, JSONL or Parquet file, a data "
        "set such as RAVDESS or FER2013 (see docs/training.md), a video, a folder of frames, or a dataset written by "
        "the ComfyUI node",
    )
    parser.add_argument(
        "--out",
        type=Path,
        help="my.db, which grows each time you build into it; or my.npz, which is exported from a my.db next to it",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="only show how SOURCE is read: format, labels, groups, splits, examples"
    )
    parser.add_argument("--format", choices=FORMATS, help="format of SOURCE (default: detected from its files)")
    labels = parser.add_argument_group("labels")
    labels.add_argument(
        "--label-map",
        metavar="FILE|OLD=NEW,…",
        help="rename labels: pairs such as 1=happy,2=sad; a file with one pair per line; or the name of a data "
        f"set, to use its numbering: {', '.join(NUMBERINGS)}",
    )
    labels.add_argument(
        "--label-level",
        type=positive,
        metavar="N",
        help="folders of this level are the labels; 1 is directly in SOURCE (default: the level that names emotions)",
    )
    labels.add_argument(
        "--group-level",
        type=natural,
        metavar="N",
        help="folders of this level are the groups, such as people; 0: every file is its own group",
    )
    prompts = parser.add_argument_group("prompts")
    prompts.add_argument(
        "--prompt",
        action="append",
        default=[],
        metavar="TEXT",
        help="prompt for pictures that have none of their own; can be repeated",
    )
    prompts.add_argument(
        "--label", default="", help="label for pictures without one, such as happy; prompts are generated from it"
    )
    prompts.add_argument(
        "--templates",
        type=Path,
        metavar="FILE",
        help="your own prompt templates (default: training/prompts/templates.json)",
    )
    prompts.add_argument(
        "--prompts-per-picture",
        type=positive,
        default=1,
        metavar="N",
        help="number of prompts generated from a label; each becomes a sample (default: %(default)s)",
    )
    add_encoder_arguments(parser)
    add_perception_arguments(parser)
    add_device_argument(parser)
    parser.add_argument(
        "--max-megapixels",
        type=positive,
        metavar="N",
        help="read pictures of up to N million pixels (default: 179, against files that are made to fill the memory)",
    )
    frames = parser.add_argument_group("videos and folders of frames")
    frames.add_argument(
        "--every",
        type=positive,
        metavar="N",
        help="use every N-th frame; 1 uses all (default: two per second of a video, all frames of a folder)",
    )
    frames.add_argument(
        "--changes",
        action="store_true",
        help="keep only frames in which the expression has changed; examines all frames, or those of --every",
    )
    running = parser.add_argument_group("running")
    running.add_argument("--batch", type=positive, default=BATCH, help="pictures per batch (default: %(default)s)")
    running.add_argument(
        "--workers",
        type=positive,
        default=WORKERS,
        help="threads that read files ahead; with --engine ray, worker processes (default: %(default)s)",
    )
    running.add_argument(
        "--skipped",
        type=Path,
        metavar="FILE",
        help=f"CSV file that lists skipped files with the reason (default: {SKIPPED_FILE} in the folder of --out)",
    )
    running.add_argument(
        "--engine",
        choices=ENGINES,
        default=ENGINES[0],
        help="ray distributes the work over --workers processes or a cluster; it needs the extra `scale` (default: "
        "%(default)s)",
    )
    running.add_argument("--address", help="address of a Ray cluster, with --engine ray (default: this machine)")


def run(options: argparse.Namespace) -> int:
    started = time.perf_counter()
    if options.out is None and not options.dry_run:
        raise InputError("--out is missing; add --out my_faces.db, or --dry-run to only see how the source is read")
    if options.out is not None:
        check_suffix(options.out)
    if options.address and options.engine != "ray":
        raise InputError("--address only works with --engine ray; add --engine ray or remove --address")
    kind = options.format or detect(options.source, described=bool(options.prompt or options.label.strip()))
    if options.dry_run:
        if kind == DATASET:
            with open_dataset(options.source) as dataset:
                print(f"read as {kind}: {counted(len(dataset), 'sample')}, which are copied as they are")
        else:
            read_source(options, kind)
        return 0
    database = options.out.with_suffix(".db")
    if kind == DATASET:
        copy_dataset(options, database)
    else:
        build_dataset(options, kind, database)
    with Store(database) as store:
        print(f"{counted(len(store), 'sample')} in {database}; {time.perf_counter() - started:.0f} s")
        if options.out.suffix.lower() == ".npz":
            print(f"{counted(export(store, options.out), 'sample')} exported to {options.out}")
    return 0


def read_source(options: argparse.Namespace, kind: str) -> tuple[SourceListing, BuildOptions]:
    """List `options.source`, print how it was understood, and return the listing and the options of the build."""
    # Each Ray worker has its own working directory.
    source = options.source.absolute() if options.engine == "ray" else options.source
    choices = Choices(
        label_level=options.label_level,
        group_level=options.group_level,
        label_map=read_label_map(options.label_map) if options.label_map else {},
    )
    listing = find_items(source, kind, prompts=options.prompt, label=options.label, choices=choices)
    if (options.every or options.changes) and not any(item.media.is_sequence for item in listing.items):
        flag = "--every" if options.every else "--changes"
        listing.notes.append(f"{flag} is not used: there are no videos and no folders of frames")
    build_options = BuildOptions(
        templates=Templates.load(options.templates),
        prompts_per_picture=options.prompts_per_picture,
        every=options.every,
        only_changes=options.changes,
        finding=finding(options),
    )
    for line in describe(listing, kind, build_options.templates, build_options.prompts, options.prompt, choices):
        print(line)
    return listing, build_options


def build_dataset(options: argparse.Namespace, kind: str, database: Path) -> None:
    """Perceive the items listed in `options.source` and append them to the dataset `database`."""
    listing, build_options = read_source(options, kind)
    items = merge_rows(listing.items)
    encoder = encoder_of(options)
    pipeline = make_pipeline(options)
    summary = BuildSummary()
    skipped_file = options.skipped or options.out.with_name(SKIPPED_FILE)
    with writing_skipped(skipped_file, listing, summary), Store(database) as store:
        if shared := shared_groups(items, store):
            print(
                f"note: {database.name} already has other files of {counted(len(shared), 'group')} "
                f"({listed(shared, NAMED_SKIPS)}): they count as the same person or clip. If they are not, rename the "
                "group"
            )
        with bar(len(items)) as progress:
            if options.engine == "ray":
                prompts = [prompt for item in items for prompt in build_options.prompts(item)]
                job = Job(
                    items=items,
                    options=build_options,
                    encoded=KnownPrompts.encoded(encoder, prompts),
                    make_pipeline=partial(make_pipeline, options),
                    landmarker=pipeline.landmarker.identity,
                    emotion_model=pipeline.emotion_model.identity,
                    order=pipeline.selection.order,
                    folder=database.with_suffix(".shards").resolve(),
                    batch=options.batch,
                    shard_size=SHARD_SIZE,
                )
                build_shards(
                    job, store, workers=options.workers, address=options.address, progress=progress, summary=summary
                )
            else:
                build(
                    items,
                    store,
                    pipeline,
                    encoder,
                    build_options,
                    batch=options.batch,
                    workers=options.workers,
                    progress=progress,
                    summary=summary,
                )
    print_summary(summary, [*listing.skipped, *summary.skipped], skipped_file)
    summary.check(len(items))
    print(f"prompts encoded by: {encoder.identity}")
    if options.engine == "ray":
        print(f"the shards are in {database.with_suffix('.shards')}; you can delete them")


def shared_groups(items: Sequence[SourceItem], store: Store) -> list[str]:
    """Return the groups of `items` that the dataset has, too, but only from other files."""
    stored: dict[str, set[str]] = {}
    with store.snapshot() as snapshot:
        groups, sources = (chain.from_iterable(snapshot.column(name)) for name in ("groups", "sources"))
        for group, source in zip(groups, sources, strict=True):
            stored.setdefault(group, set()).add(source.partition("#frame=")[0])
    new: dict[str, set[str]] = {}
    for item in items:
        new.setdefault(item.group, set()).add(item.source)
    return [group for group, files in new.items() if group in stored and files.isdisjoint(stored[group])]


def make_pipeline(options: argparse.Namespace) -> PerceptionPipeline:
    """Return the pipeline of the flags, after allowing the size of pictures in this process, such as a Ray worker."""
    if options.max_megapixels:
        from PIL import Image

        Image.MAX_IMAGE_PIXELS = options.max_megapixels * 1_000_000 // 2  # Pillow refuses twice as many
    return pipeline_of(options)


@contextmanager
def bar(total: int) -> Iterator[Progress]:
    """Show a progress bar over `total` items with the rate, faces found, skips and time left; yield its update."""
    layout = "{desc}: {percentage:3.0f}%|{bar}| {n:.0f}/{total} files, {elapsed}<{remaining}{postfix}"
    with tqdm(total=total, desc="perceiving", bar_format=layout, smoothing=0.1) as shown:
        started = time.perf_counter()

        def update(done: float, summary: BuildSummary) -> None:
            rate = summary.perceived / (time.perf_counter() - started)
            shown.set_postfix_str(
                f"{rate:.1f} pictures/s, {counted(summary.faces, 'face')}, {len(summary.skipped)} skipped",
                refresh=False,
            )
            shown.update(done - shown.n)

        yield update


@contextmanager
def writing_skipped(path: Path, listing: SourceListing, summary: BuildSummary) -> Iterator[None]:
    """Write a CSV of the skipped files and the reasons when the build ends, also when it ends with an error."""

    def write() -> None:
        with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("path", "reason"), *listing.skipped, *summary.skipped])

    try:
        yield
    except BaseException:
        with suppress(OSError):  # on a full disk, the error that ended the build is the better message
            write()
        raise
    write()


def print_summary(summary: BuildSummary, skipped: Sequence[tuple[str, str]], path: Path) -> None:
    for which, why in skipped[:NAMED_SKIPS]:
        print(f"skipped {which}: {why}")
    if len(skipped) > NAMED_SKIPS:
        print(f"… and {len(skipped) - NAMED_SKIPS} more")
    if skipped:
        print(f"skipped files are listed in {path}")
    kinds = {
        "new": summary.new,
        "already in the dataset": summary.known,
        "exact copies": summary.copies,
        "without a face": summary.faceless,
        "without a new expression": summary.unchanged,
        "unreadable": summary.unreadable,
    }
    parts = ", ".join(f"{number:,} {kind}" for kind, number in kinds.items() if number) or "none"
    print(f"{counted(summary.pictures, 'picture')}: {parts}; {counted(summary.samples, 'new sample')}")


def copy_dataset(options: argparse.Namespace, database: Path) -> None:
    """Copy the samples of another dataset; with --text-encoder, re-encode its prompts."""
    if database.exists() and options.source.exists() and database.samefile(options.source):
        raise InputError(f"{options.source} and --out are the same dataset; choose another name, or use `export`")
    with open_dataset(options.source) as source, Store(database) as target:
        if options.text_encoder is None:
            new = copy_samples(source, target)
        else:
            new = reencode(source, target, encoder_of(options))
        print(f"{new:,} of {counted(len(source), 'sample')} new")


COMMANDS = {"build": (add_arguments, run)}
