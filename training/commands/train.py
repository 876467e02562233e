"""The commands that train and evaluate: `train`, `starter` and `evaluate`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from ...common.errors import InputError
from ...common.words import counted
from ...projection.checkpoint import BEST, DEFAULT_FOLDER, Checkpoint
from ...projection.checkpoint import load as load_checkpoint
from ...projection.face_vectors import END_ONLY
from ...projection.insight import other_models
from ...projection.spaces import SD15, SPACES
from ..dataset.npz import Dataset, content_hash
from ..dataset.opening import open_for_training
from ..evaluation.evaluation import evaluate
from ..evaluation.text import table
from ..evaluation.verdict import all_metrics, verdict
from ..fitting import fit, split_of, write_json
from ..learning.data import of_dataset
from ..learning.settings import STARTER
from ..learning.split import HELD_OUT
from ..prompts.starter import meanings
from ..starter import is_sampled, origin, sample_dataset
from .options import (
    add_encoder_arguments,
    add_resume_argument,
    add_samples_argument,
    add_training_arguments,
    encoder_of,
    settings_of,
)
from .terminal import print_result, progress_bar, stop_on_signals


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="training_data.npz or a growing dataset (.db)")
    add_training_arguments(parser)
    add_resume_argument(parser)
    parser.add_argument(
        "--space",
        choices=tuple(SPACES),
        default=SD15.name,
        help="target text space: Stable Diffusion 1.5 (sd15) or XL (sdxl); sdxl needs a dataset built with --space "
        "sdxl (default: %(default)s)",
    )
    parser.add_argument(
        "--init",
        type=Path,
        metavar="CHECKPOINT",
        help="initialize from this checkpoint instead of from scratch",
    )
    parser.add_argument(
        "--drop-bad-rows", action="store_true", help="skip rows with NaN or other invalid values, and list them"
    )
    parser.add_argument(
        "--ignore-splits",
        action="store_true",
        help="split people and clips at random, whatever splits the dataset has (default: follow its splits)",
    )


def run_train(options: argparse.Namespace) -> int:
    init = None if options.init is None else load_checkpoint(options.init)
    dataset = open_for_training(options.data, drop_bad_rows=options.drop_bad_rows)
    if len(dataset.bad_rows):
        rows = ", ".join(map(str, dataset.bad_rows.tolist()))
        print(f"dropped {len(dataset.bad_rows)} of {counted(len(dataset), 'row')} with invalid values: {rows}")
    if not dataset.has_subject:
        print(f"{options.data} {END_ONLY}")
    return train(options, dataset, "train", init)


def train(options: argparse.Namespace, dataset: Dataset, made_by: str, init: Checkpoint | None = None) -> int:
    """Train until it is finished or stopped, print the result, and return the exit code."""
    with stop_on_signals() as stop, progress_bar(options.epochs) as show:
        fitted = fit(
            dataset,
            options.out_dir,
            settings_of(options),
            made_by=made_by,
            init=init,
            resume=options.resume,
            progress=show,
            stop=stop,
        )
    return print_result(fitted)


def add_starter_arguments(parser: argparse.ArgumentParser) -> None:
    add_encoder_arguments(parser, required=True)
    add_samples_argument(parser)
    add_training_arguments(parser, STARTER)
    add_resume_argument(parser)


def run_starter(options: argparse.Namespace) -> int:
    dataset = sample_dataset(encoder_of(options), options.samples, options.seed)
    return train(options, dataset, origin("starter", options.samples, dataset.meta["landmarker"]))


def add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="training_data.npz or a growing dataset (.db)")
    parser.add_argument(
        "--checkpoint",
        type=Path,
        default=DEFAULT_FOLDER / f"{BEST}.safetensors",
        help="the checkpoint to evaluate (default: best_model of the last training)",
    )
    parser.add_argument(
        "--compare", type=Path, metavar="CHECKPOINT", help="a second checkpoint to evaluate on the same rows"
    )
    parser.add_argument("--out", type=Path, help="also write the metrics to this JSON file")
    parser.add_argument("--drop-bad-rows", action="store_true", help="skip rows with NaN or other invalid values")


def run_evaluate(options: argparse.Namespace) -> int:
    paths = [options.checkpoint, *([] if options.compare is None else [options.compare])]
    checkpoints = {str(path): load_checkpoint(path) for path in paths}
    dataset = open_for_training(options.data, drop_bad_rows=options.drop_bad_rows)
    data = of_dataset(dataset, _space_of(checkpoints))
    for name, each in checkpoints.items():
        models = (str(dataset.meta.get(key, getattr(each.metadata, key))) for key in ("landmarker", "emotion_model"))
        for what, trained, seen in other_models(each.metadata, *models):
            print(f"note: {name} was trained with the {what} {trained}, but this dataset comes from {seen}.")
    seed, val_split, ignore_splits = _split_of(checkpoints, content_hash(dataset))
    rows = split_of(dataset, seed, val_split, data.target_index, ignore_splits=ignore_splits)
    for note in rows.notes:
        print(f"note: {note}")
    (_, checkpoint), *others = checkpoints.items()
    sampled = is_sampled(dataset)
    evaluation = evaluate(checkpoint, data, rows, dict(others), meanings() if sampled else None)
    judgment = verdict(evaluation, sampled=sampled)
    print(table(evaluation))
    print(f"\n{judgment}")
    if options.out is not None:
        write_json(options.out, all_metrics(evaluation, judgment))
    return 0


def _space_of(checkpoints: Mapping[str, Checkpoint]) -> str:
    """Return the text space that all checkpoints share. Raises InputError if they differ."""
    spaces = {name: checkpoint.metadata.space for name, checkpoint in checkpoints.items()}
    if len(set(spaces.values())) > 1:
        raise InputError(
            f"checkpoints of different text spaces cannot be compared: {', '.join(map(' uses '.join, spaces.items()))}"
        )
    return next(iter(spaces.values()))


def _split_of(checkpoints: Mapping[str, Checkpoint], digest: str) -> tuple[int, float, bool]:
    """Return seed, held-out share and whether splits are ignored: of the first checkpoint trained on this dataset.

    If none was, they are those of the first one.

    Prints a note for each checkpoint whose result may be too good because it was trained on some of these rows.
    """
    matching = [name for name, checkpoint in checkpoints.items() if checkpoint.metadata.dataset.get("sha256") == digest]
    splits = {name: _training_split(checkpoint) for name, checkpoint in checkpoints.items()}
    chosen = splits[matching[0] if matching else next(iter(splits))]
    for name, split in splits.items():
        if name not in matching:
            print(
                f"note: {name} was trained on another dataset. It is evaluated on held-out groups of this one, and "
                "the baselines are fitted to the rest; if it was trained on the same faces, its result is too good."
            )
        elif split != chosen:
            print(
                f"note: {name} was trained on another split of this dataset that includes some of these rows, so its "
                "result is too good."
            )
    return chosen


def _training_split(checkpoint: Checkpoint) -> tuple[int, float, bool]:
    trained_on = checkpoint.metadata.dataset
    return (
        int(trained_on.get("seed", 0)),
        float(trained_on.get("val_split", HELD_OUT)),
        bool(trained_on.get("ignore_splits", False)),
    )


COMMANDS = {
    "train": (add_train_arguments, run_train),
    "starter": (add_starter_arguments, run_starter),
    "evaluate": (add_evaluate_arguments, run_evaluate),
}
