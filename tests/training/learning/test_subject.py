"""The subject's vector is fitted to a finished network, of which nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import torch

from perception_clip.projection.checkpoint import Checkpoint, Metadata
from perception_clip.training.evaluation.evaluation import evaluate
from perception_clip.training.evaluation.text import table
from perception_clip.training.learning.data import TrainingData, training_data
from perception_clip.training.learning.settings import Settings
from perception_clip.training.learning.split import Split
from perception_clip.training.learning.subject import fit_subject
from perception_clip.training.learning.trainer import train


def with_subject(data: TrainingData, width: int = 768) -> TrainingData:
    """The data with a subject's vector for each prompt that is as far from the targets as a random rotation."""
    generator = torch.Generator().manual_seed(1)
    rotation = torch.linalg.qr(torch.randn(768, 768, generator=generator)).Q
    return replace(data, subject=(data.targets @ rotation)[:, :width] * 2 + 1)


def test_it_is_as_good_as_the_end_of_the_text_and_changes_nothing_there(
    data: TrainingData, rows: Split, template: torch.Tensor
) -> None:
    known = with_subject(data)
    settings = Settings(epochs=12, size="small")
    network = train(known, rows, template, settings).network
    plain = train(data, rows, template, settings).network
    fit_subject(network, known, rows)
    both = network(data.vectors, data.image_sizes)
    assert both.shape == (len(data), 768 + 768) and network.architecture.subject == 768
    assert torch.equal(both[:, :768], plain(data.vectors, data.image_sizes))

    checkpoint = Checkpoint(network, Metadata(), torch.zeros(1536), None)
    evaluation = evaluate(checkpoint, known, rows)
    subject, end = evaluation.subject, evaluation.scores["projection"]["centered_cosine"]
    assert subject is not None and subject.low <= subject.value <= subject.high
    assert subject.value > end.value - 0.02 > 0.6
    assert evaluation.as_dict()["subject"]["centered_cosine"] == subject
    assert f"Subject's vector: mean-centered cosine{subject!s}" in table(evaluation)
    assert evaluate(Checkpoint(plain, Metadata(), torch.zeros(768), None), known, rows).subject is None
    assert evaluate(checkpoint, data, rows).subject is None

    fit_subject(network, data, rows)  # what no data stands behind would be out of date
    assert network.subject is None and network.architecture == plain.architecture
    assert torch.equal(network(data.vectors, data.image_sizes), both[:, :768])


def test_rows_with_the_same_target_share_the_first_ones_subject(data: TrainingData, rows: Split) -> None:
    assert data.prompts and len(data.first_row) < 20
    shuffled = with_subject(data)
    assert shuffled.subject is not None
    others = torch.ones(len(data), dtype=torch.bool)
    others[data.first_row] = False
    shuffled.subject[others] = torch.nan  # never read
    joined = training_data(data.vectors, data.image_sizes, data.targets, subject=shuffled.subject)
    network = train(data, rows, torch.randn(478, 3), Settings(epochs=1, size="small")).network
    fit_subject(network, joined, rows)
    assert network(data.vectors[:9], data.image_sizes[:9]).isfinite().all()
