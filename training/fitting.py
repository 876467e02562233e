"""Train and evaluate a checkpoint from a dataset, for `train`, `starter`, `demo` and the nodes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..common.errors import InputError
from ..common.files import atomic_path, check_writable
from ..common.words import counted
from ..perception.emotions.expression import ExpressionModel
from ..perception.vector import NEUTRAL
from ..projection.checkpoint import BEST, Checkpoint, Metadata, save
from ..projection.network import ProjectionNetwork
from ..projection.spaces import SPACES
from .dataset.npz import Dataset, content_hash
from .evaluation.baselines import emotions
from .evaluation.evaluation import Evaluation, evaluate
from .evaluation.verdict import BEFORE, Verdict, all_metrics, verdict
from .learning.data import TrainingData, of_dataset, sample
from .learning.run import Epoch, best_epoch
from .learning.settings import Settings
from .learning.split import HELD_OUT, Split, split_rows
from .learning.state import STATE_FILE, StateFile
from .learning.subject import fit_subject
from .learning.trainer import train
from .prompts.starter import meanings
from .reports.tensorboard import tensorboard_log
from .reports.training_report import write_training_report
from .starter import is_sampled

METRICS_FILE = "metrics.json"
ORIGINS = ("encoder", "landmarker", "emotion_model")  # what a checkpoint copies from the meta of its dataset

NEUTRAL_FACES = 0.5  # faces with at least this neutral probability form the neutral vector
KEPT_PROMPTS = 512  # number of prompts in a checkpoint, for naming what a face projects to
NEUTRAL_ROWS = 20_000  # maximum number of training rows searched for neutral faces


@dataclass(frozen=True)
class Fitted:
    """The results of a training run."""

    checkpoint: Checkpoint
    path: Path  # of the .safetensors
    history: list[Epoch]
    evaluation: Evaluation | None  # None: stopped and not evaluated
    verdict: Verdict | None
    report: Path | None  # report.html
    notes: list[str] = field(default_factory=list)  # about the split

    @property
    def best_epoch(self) -> int:
        """Return the epoch of the checkpoint; 0 if none was better than the initial weights."""
        kept = best_epoch(self.history)
        return 0 if kept is None else kept.number


def split_of(
    dataset: Dataset,
    seed: int,
    val_split: float = HELD_OUT,
    prompts: Tensor | None = None,
    *,
    ignore_splits: bool = False,
) -> Split:
    """Return the split used by training with `seed`, over the valid rows; `prompts` is TrainingData.target_index."""
    valid = np.setdiff1d(np.arange(len(dataset)), dataset.bad_rows)
    groups, splits = (None if texts is None else texts[valid].tolist() for texts in (dataset.groups, dataset.splits))
    indices = of_dataset(dataset).target_index if prompts is None else prompts
    hints = None if ignore_splits else splits
    split = split_rows(groups, len(valid), seed, splits=hints, prompts=indices[valid].tolist(), share=val_split)
    names = np.full(len(dataset), "", dtype=object)
    names[valid] = split.groups
    rows = torch.from_numpy(valid)
    parts = (rows[split.train], rows[split.validation], rows[split.test])
    return Split(*parts, groups=names.tolist(), by_group=split.by_group, notes=split.notes)


def fit(
    dataset: Dataset,
    out_dir: Path,
    settings: Settings,
    *,
    name: str = BEST,
    made_by: str = "train",
    init: Checkpoint | None = None,
    resumable: bool = True,
    resume: bool = False,
    report: bool = True,
    progress: Callable[[Epoch], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Fitted:
    """Train on `dataset`, evaluate on held-out groups, and write the checkpoint `name` and its report.

    `out_dir` receives `name`.safetensors and .pth and, with `report`, metrics.json, report.html with its pictures and,
    if TensorBoard is installed, its curves. During training it also contains a state if `resumable`. See `train` for
    `resume`, `progress` and `stop`; a stopped run writes the best checkpoint so far, without evaluation.

    Raises ValueError for a dataset that cannot be used for training, if training diverges or, before training, for a
    folder that is not writable.
    """
    check_writable(out_dir, "--out-dir")
    data, rows = prepared(dataset, settings, init)
    trained_on = {
        "sha256": content_hash(dataset),
        "samples": len(data),
        "seed": settings.seed,
        "val_split": settings.val_split,
        **({"ignore_splits": True} if settings.ignore_splits else {}),
    }
    identity = {**trained_on, **_flat(settings), "init": _digest(init)}
    state = StateFile(out_dir / STATE_FILE, identity) if resumable else None
    with tensorboard_log(out_dir, report) as log:

        def after_epoch(epoch: Epoch) -> None:
            log(epoch)
            if progress is not None:
                progress(epoch)

        trained = train(
            data,
            rows,
            ExpressionModel.load().template,
            settings,
            init=None if init is None else init.network,
            state=state,
            resume=resume,
            progress=after_epoch,
            stop=stop,
        )
    fit_subject(trained.network, data, rows)
    fingerprint, frequent = dataset.meta.get("fingerprint"), _frequent(data, rows)
    width = sum(SPACES[settings.space].fingerprint)  # that of an sdxl dataset starts with that of sd15
    checkpoint = Checkpoint(
        network=trained.network,
        metadata=Metadata(
            **{key: dataset.meta[key] for key in ORIGINS if key in dataset.meta},
            space=settings.space,
            made_by=made_by,
            uses_image_sizes=dataset.image_sizes is not None,
            dataset=trained_on,
            prompts=[data.prompts[index] for index in frequent.tolist()],
        ),
        neutral=_neutral(trained.network, data, rows),
        fingerprint=None if fingerprint is None else torch.tensor(fingerprint[:width], dtype=torch.float32),
        prompt_vectors=data.unique_targets(frequent),
    )
    if not trained.finished:
        return Fitted(checkpoint, save(checkpoint, out_dir, name), trained.history, None, None, None, rows.notes)

    sampled = is_sampled(dataset)
    before = {} if init is None else {BEFORE: init}
    evaluation = evaluate(checkpoint, data, rows, before, meanings() if sampled else None)
    if stop is not None:
        stop()  # it may raise: a run cancelled during evaluation writes nothing
    result = verdict(evaluation, sampled=sampled)
    metrics = all_metrics(evaluation, result)
    checkpoint = replace(checkpoint, metadata=replace(checkpoint.metadata, metrics=metrics))
    path, page = save(checkpoint, out_dir, name), None
    if report:
        history = [asdict(epoch) for epoch in trained.history]
        write_json(out_dir / METRICS_FILE, {**metrics, "history": history})
        page = write_training_report(
            out_dir,
            checkpoint,
            data,
            evaluation,
            result,
            trained.history,
            title=f"{name}: how good it is",
            facts={**_flat(settings), "samples": len(data), "made by": made_by},
            sources=None if dataset.sources is None else dataset.sources.tolist(),
        )
    if state is not None:
        state.remove()
    return Fitted(checkpoint, path, trained.history, evaluation, result, page, rows.notes)


def prepared(dataset: Dataset, settings: Settings, init: Checkpoint | None = None) -> tuple[TrainingData, Split]:
    """Return the training data of a dataset and its split. Raises ValueError if it cannot be used for training."""
    data = of_dataset(dataset, settings.space)
    rows = split_of(dataset, settings.seed, settings.val_split, data.target_index, ignore_splits=settings.ignore_splits)
    _check_prompts(data, rows)
    if init is not None and init.width != data.targets.shape[1]:
        raise InputError(
            f"the initial checkpoint projects into {init.width} dimensions, but the targets of this dataset have "
            f"{data.targets.shape[1]}; use another initial checkpoint or none"
        )
    return data, rows


def write_json(path: Path, content: object) -> None:
    """Write `content` as readable JSON, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _check_prompts(data: TrainingData, rows: Split) -> None:
    """Raise ValueError if there is only one target."""
    present = data.target_index[rows.train].unique().tolist()
    if len(present) > 1:
        return
    prompt = repr(data.prompts[present[0]])
    if len(data.first_row) == 1:
        raise InputError(
            f"all {counted(len(data), 'sample')} have the same target, that of {prompt}, so there is nothing to learn; "
            "label the faces with at least two prompts"
        )
    raise InputError(
        f"all training samples have the same target, that of {prompt}, and the others are held out; add samples with "
        "other prompts from other people, or choose another --seed"
    )


def _flat(settings: Settings) -> dict[str, Any]:
    """Return the settings that determine the result, by name; a flag only if it is set."""
    return {name: value for name, value in asdict(settings).items() if name != "device" and value is not False}


def _digest(init: Checkpoint | None) -> str | None:
    """Return a digest that identifies the initial checkpoint, or None without one."""
    if init is None:
        return None
    digest = hashlib.sha256()
    for name, tensor in sorted(init.network.state_dict().items()):
        digest.update(name.encode() + tensor.cpu().numpy().tobytes())
    return digest.hexdigest()


def _frequent(data: TrainingData, rows: Split) -> Tensor:
    """Return the indices of the most frequent training prompts, `KEPT_PROMPTS` at most, ascending."""
    counts = data.target_index[rows.train].bincount(minlength=len(data.first_row))
    kept = counts.argsort(descending=True, stable=True)[: min(KEPT_PROMPTS, int((counts > 0).sum()))]
    return kept.sort().values


@torch.no_grad()
def _neutral(network: ProjectionNetwork, data: TrainingData, rows: Split) -> Tensor:
    """Return the mean projection (D,) of faces that are probably neutral, or of the most neutral if none are."""
    some = sample(rows.train, NEUTRAL_ROWS)
    probability = emotions(data, some)[:, NEUTRAL]
    chosen = some[probability >= min(NEUTRAL_FACES, float(probability.max()))]
    sums = data.in_chunks(lambda *face: network(*face).sum(dim=0, keepdim=True), chosen)
    return sums.sum(dim=0) / len(chosen)
