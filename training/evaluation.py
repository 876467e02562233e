"""Judge a projection beside the simple rules that it has to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..projection.checkpoint import Checkpoint
from .judging import Interval, bootstrap, centred_cosine, distinct, recall_at_1
from .ridge import best_ridge
from .split import Split
from .trainer import TrainingData

METRICS = ("centred_cosine", "recall_at_1")


@dataclass(frozen=True)
class Report:
    """Per method, each metric with its interval; and how far the projection is ahead of each other method."""

    scores: dict[str, dict[str, Interval]]
    lead: dict[str, dict[str, Interval]]
    prompts: int  # distinct targets that recall chooses from
    rows: int  # held-out rows judged
    by_group: bool

    def as_dict(self) -> dict[str, Any]:
        """For metrics.json and the checkpoint's metadata."""
        as_lists = {
            key: {
                method: {metric: [i.value, i.low, i.high] for metric, i in metrics.items()}
                for method, metrics in table.items()
            }
            for key, table in (("scores", self.scores), ("projection_minus", self.lead))
        }
        return {
            "held_out_rows": self.rows,
            "split_by_group": self.by_group,
            "prompts": self.prompts,
            **as_lists,
        }

    def __str__(self) -> str:
        lines = [f"{'':28}{'mean-centred cosine':>24}{f'recall@1 of {self.prompts} prompts':>28}"]
        leads = {f"lead on {method}": metrics for method, metrics in self.lead.items()}
        for name, metrics in {**self.scores, **leads}.items():
            lines.append(f"{name:28}{metrics['centred_cosine']!s:>24}{metrics['recall_at_1']!s:>28}")
        kind = "of people or clips that training never saw"
        if not self.by_group:
            kind = "BUT too few groups to hold any out: similar faces were in training, so this flatters"
        return "\n".join([*lines, f"(95 % bootstrap intervals over {self.rows} rows {kind})"])


def evaluate(checkpoint: Checkpoint, data: TrainingData, rows: Split) -> Report:
    """Judge on the split's test rows; the rival methods learn from its training rows.

    The rivals: the mean target, the nearest neighbour by shape, and ridge regression (its penalty chosen on
    the validation rows), both on the projection's own features.
    """
    truth = data.targets[rows.test]
    centre = data.targets[rows.train].mean(dim=0)
    candidates, member = distinct(data.targets)
    test_groups = [rows.groups[row] for row in rows.test.tolist()]
    values = {
        name: {
            "centred_cosine": centred_cosine(predicted, truth, centre),
            "recall_at_1": recall_at_1(predicted, candidates, member[rows.test], centre),
        }
        for name, predicted in _predictions(checkpoint, data, rows).items()
    }
    own = values["projection"]
    return Report(
        scores={
            name: {metric: bootstrap(metrics[metric], test_groups) for metric in METRICS}
            for name, metrics in values.items()
        },
        lead={
            name: {metric: bootstrap(own[metric] - metrics[metric], test_groups) for metric in METRICS}
            for name, metrics in values.items()
            if name != "projection"
        },
        prompts=len(candidates),
        rows=len(rows.test),
        by_group=rows.by_group,
    )


def _predictions(checkpoint: Checkpoint, data: TrainingData, rows: Split) -> dict[str, Tensor]:
    """What each method says of the test rows, (T, 768) each."""
    features, targets = checkpoint.network.features, data.targets[rows.train]
    with torch.inference_mode():
        x, held_x, test_x = (
            features(data.vectors[part], data.image_sizes[part]) for part in (rows.train, rows.validation, rows.test)
        )
    weight, bias = best_ridge(x, targets, held_x, data.targets[rows.validation])
    # Whitening would drown the expression in noise; distances are in the shapes' own units.
    spread = 1 / features.shape_basis.norm(dim=0)
    distances = torch.cdist(test_x[:, : len(spread)] * spread, x[:, : len(spread)] * spread)
    return {
        "projection": checkpoint.project(data.vectors[rows.test], data.image_sizes[rows.test]),
        "ridge": test_x @ weight.T + bias,
        "nearest neighbour": targets[distances.argmin(dim=1)],
        "mean": targets.mean(dim=0).expand(len(rows.test), -1),
    }
