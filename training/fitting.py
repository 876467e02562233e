"""From a dataset to a judged checkpoint on disk: what `train`, `starter` and `demo` share."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from ..perception.expression import ExpressionModel
from ..perception.files import atomic_path
from ..projection.checkpoint import SQUARE, Checkpoint, Metadata, save
from .evaluation import Report, evaluate
from .npz import Dataset, content_hash
from .split import Split, split_rows
from .trainer import Epoch, TrainingData, train

METRICS_FILE = "metrics.json"
ORIGINS = ("space", "encoder", "landmarker", "emotion_model")  # what a checkpoint takes over from its dataset's meta


@dataclass(frozen=True)
class Settings:
    """The knobs of a training run."""

    epochs: int = 100
    batch_size: int = 32
    learning_rate: float = 1e-4
    seed: int = 0
    device: str = "cpu"


@dataclass(frozen=True)
class Fitted:
    """What a training run left behind."""

    checkpoint: Checkpoint
    path: Path  # of best_model.safetensors
    report: Report


def as_tensors(dataset: Dataset) -> TrainingData:
    """The dataset's arrays as tensors; pictures of unknown size count as square."""
    sizes = dataset.image_sizes
    if sizes is None:
        sizes = np.broadcast_to(np.array(SQUARE, dtype=np.int32), (len(dataset), 2))
    return TrainingData(
        vectors=torch.from_numpy(np.ascontiguousarray(dataset.perceptions)),
        image_sizes=torch.from_numpy(np.ascontiguousarray(sizes)),
        targets=torch.from_numpy(np.ascontiguousarray(dataset.clip_embeddings)),
    )


def held_out(dataset: Dataset, seed: int) -> Split:
    """The split that training with `seed` makes of this dataset."""
    groups, splits = (None if texts is None else texts.tolist() for texts in (dataset.groups, dataset.splits))
    return split_rows(groups, len(dataset), seed, splits=splits)


def fit(dataset: Dataset, out_dir: Path, settings: Settings, made_by: str = "train") -> Fitted:
    """Train on `dataset`, judge on held-out groups, and write the checkpoint and metrics.json to `out_dir`.

    Shows a progress bar. Raises ValueError for a dataset that is too small, or if training diverges.
    """
    out_dir.mkdir(parents=True, exist_ok=True)  # a read-only folder should fail before the work, not after
    data, rows = as_tensors(dataset), held_out(dataset, settings.seed)
    fingerprint = dataset.meta.get("fingerprint")
    metadata = Metadata(
        **{key: dataset.meta[key] for key in ORIGINS if key in dataset.meta},
        made_by=made_by,
        uses_image_sizes=dataset.image_sizes is not None,
        dataset={"sha256": content_hash(dataset), "samples": len(data.vectors), "seed": settings.seed},
    )
    with tqdm(total=settings.epochs, desc="training", unit="epoch") as bar:
        checkpoint = train(
            data,
            rows,
            template=ExpressionModel.load().template,
            metadata=metadata,
            fingerprint=None if fingerprint is None else torch.tensor(fingerprint, dtype=torch.float32),
            epochs=settings.epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            seed=settings.seed,
            device=settings.device,
            progress=_show(bar),
        )
    report = evaluate(checkpoint, data, rows)
    checkpoint = replace(checkpoint, metadata=replace(metadata, metrics=report.as_dict()))
    path = save(checkpoint, out_dir)
    write_json(out_dir / METRICS_FILE, checkpoint.metadata.metrics)
    return Fitted(checkpoint, path, report)


def write_json(path: Path, content: object) -> None:
    """Write `content` as readable JSON, whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _show(bar: tqdm[Any]) -> Callable[[Epoch], None]:
    def show(epoch: Epoch) -> None:
        bar.set_postfix(loss=f"{epoch.loss:.3f}", validation=f"{epoch.validation:.3f}", best=f"{epoch.best:.3f}")
        bar.update()

    return show
