"""The second vector of a projection: the state of the noun that a prompt is about; see projection/face_vectors.py."""

from __future__ import annotations

import torch
from torch import Tensor

from ...common import threads
from ...projection.network import ProjectionNetwork
from .data import CHUNK, TrainingData, sample
from .ridge import best_ridge
from .split import Split

MOST = 50_000  # training rows that it is fitted to
VALIDATED = 20_000  # maximum number of validation rows that choose the penalty


@threads.single
@torch.no_grad()
def fit_subject(network: ProjectionNetwork, data: TrainingData, rows: Split) -> None:
    """Let a trained network on the CPU also predict the subject's vectors; without any in the data, none.

    They are read from its last hidden state by ridge regression in closed form, so nothing changes in what the network
    predicts for the end of the text. Both vectors depend on the same prompts, so the hidden state that predicts one
    also serves the other: training both together was no better and slower (benchmarks/ablation.md).
    """
    if data.subject is None:
        network.remove_subject()
        return
    inputs, targets = [], []
    for part in (sample(rows.train, MOST), sample(rows.validation, VALIDATED)):
        inputs.append(_hidden(network, data, part))
        targets.append(data.subject[data.first_row[data.target_index[part]]])
    network.set_subject(*best_ridge(inputs[0], targets[0], inputs[1], targets[1]))


def _hidden(network: ProjectionNetwork, data: TrainingData, rows: Tensor) -> Tensor:
    """Return the last hidden states (n, width) of the rows (n,)."""
    parts = [network.hidden(network.features(data.vectors[part], data.image_sizes[part])) for part in rows.split(CHUNK)]
    return torch.cat(parts)
