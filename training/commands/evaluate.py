"""`evaluate`: judge a checkpoint on the rows of its dataset that training never saw."""

from __future__ import annotations

import argparse
from pathlib import Path

from ...projection.checkpoint import BEST, DEFAULT_FOLDER
from ...projection.checkpoint import load as load_checkpoint
from ..evaluation import evaluate
from ..fitting import as_tensors, held_out, write_json
from ..npz import content_hash, load


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, help="training_data.npz")
    parser.add_argument(
        "--checkpoint", type=Path, default=DEFAULT_FOLDER / f"{BEST}.safetensors", help="default: best_model"
    )
    parser.add_argument("--out", type=Path, help="also write the metrics to this JSON file")


def run(options: argparse.Namespace) -> int:
    checkpoint, dataset = load_checkpoint(options.checkpoint), load(options.data)
    trained_on = checkpoint.metadata.dataset
    if dataset.clip_embeddings.shape[1] != checkpoint.width:
        raise ValueError(
            f"{options.checkpoint} projects into {checkpoint.width} dimensions, but the targets in "
            f"{options.data} have {dataset.clip_embeddings.shape[1]}; use the dataset of the same space"
        )
    if trained_on.get("sha256") != content_hash(dataset):
        print(
            "Note: the checkpoint was trained on another dataset. It is judged on a tenth of this one's "
            "groups; its rivals learn from the rest."
        )
    rows = held_out(dataset, int(trained_on.get("seed", 0)))
    report = evaluate(checkpoint, as_tensors(dataset), rows)
    print(report)
    if options.out is not None:
        write_json(options.out, report.as_dict())
    return 0
