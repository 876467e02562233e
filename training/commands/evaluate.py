"""`evaluate`: evaluate a checkpoint on the held-out rows of its dataset."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from ...common.errors import InputError
from ...projection.checkpoint import BEST, DEFAULT_FOLDER, Checkpoint
from ...projection.checkpoint import load as load_checkpoint
from ..dataset.npz import content_hash
from ..dataset.opening import open_for_training
from ..evaluation.evaluation import evaluate
from ..evaluation.text import table
from ..evaluation.verdict import all_metrics, verdict
from ..fitting import held_out, write_json
from ..learning.data import of_dataset
from ..learning.split import HELD_OUT
from ..starter import is_sampled


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="training_data.npz or a growing dataset (.db)")
    parser.add_argument(
        "--checkpoint", type=Path, default=DEFAULT_FOLDER / f"{BEST}.safetensors", help="default: best_model"
    )
    parser.add_argument(
        "--compare", type=Path, metavar="CHECKPOINT", help="a second checkpoint to evaluate on the same rows"
    )
    parser.add_argument("--out", type=Path, help="also write the metrics to this JSON file")
    parser.add_argument("--drop-bad-rows", action="store_true", help="skip rows with NaN or other invalid values")


def run(options: argparse.Namespace) -> int:
    paths = [options.checkpoint, *([] if options.compare is None else [options.compare])]
    checkpoints = {str(path): load_checkpoint(path) for path in paths}
    dataset = open_for_training(options.data, drop_bad_rows=options.drop_bad_rows)
    data = of_dataset(dataset, _space_of(checkpoints))
    seed, val_split = _split_of(checkpoints, content_hash(dataset))
    rows = held_out(dataset, seed, val_split, data.member)
    (_, checkpoint), *others = checkpoints.items()
    evaluation = evaluate(checkpoint, data, rows, dict(others))
    judgement = verdict(evaluation, sampled=is_sampled(dataset))
    print(table(evaluation))
    print(f"\n{judgement}")
    if options.out is not None:
        write_json(options.out, all_metrics(evaluation, judgement))
    return 0


def _space_of(checkpoints: Mapping[str, Checkpoint]) -> str:
    """Return the text space that all checkpoints share. Raises InputError if they differ."""
    spaces = {name: checkpoint.metadata.space for name, checkpoint in checkpoints.items()}
    if len(set(spaces.values())) > 1:
        raise InputError(
            f"checkpoints of different text spaces cannot be compared: {', '.join(map(' uses '.join, spaces.items()))}"
        )
    return next(iter(spaces.values()))


def _split_of(checkpoints: Mapping[str, Checkpoint], digest: str) -> tuple[int, float]:
    """Return the seed and held-out share of the first checkpoint trained on this dataset, else of the first one.

    Prints a note for each checkpoint whose result may be too good because it was trained on some of these rows.
    """
    own = [name for name, checkpoint in checkpoints.items() if checkpoint.metadata.dataset.get("sha256") == digest]
    splits = {name: _training_split(checkpoint) for name, checkpoint in checkpoints.items()}
    chosen = splits[own[0] if own else next(iter(splits))]
    for name, split in splits.items():
        if name not in own:
            print(
                f"Note: {name} was trained on another dataset. It is evaluated on held-out groups of this one, and "
                "the baselines are fitted to the rest; if it was trained on the same faces, its result is too good."
            )
        elif split != chosen:
            print(
                f"Note: {name} was trained on another split of this dataset that includes some of these rows, so its "
                "result is too good."
            )
    return chosen


def _training_split(checkpoint: Checkpoint) -> tuple[int, float]:
    trained_on = checkpoint.metadata.dataset
    return int(trained_on.get("seed", 0)), float(trained_on.get("val_split", HELD_OUT))
