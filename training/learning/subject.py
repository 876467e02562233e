"""The second vector of a projection: the state of the noun that a prompt is about; see projection/face_vectors.py."""

from __future__ import annotations

import torch

from ...common import threads
from ...projection.network import ProjectionNetwork
from .data import TrainingData, sample
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
    parts = sample(rows.train, MOST), sample(rows.validation, VALIDATED)
    inputs = [data.in_chunks(lambda *face: network.hidden(network.features(*face)), part) for part in parts]
    targets = [data.subject[data.first_row[data.target_index[part]]] for part in parts]
    network.set_subject(*best_ridge(inputs[0], targets[0], inputs[1], targets[1]))
