from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from perception_clip.projection.checkpoint import load
from perception_clip.training.encoders import load_encoder
from perception_clip.training.fitting import Settings, fit
from perception_clip.training.npz import Dataset, content_hash
from perception_clip.training.starter import sample_dataset


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return sample_dataset(load_encoder("random"), samples=3500)


def test_checkpoint_and_metrics(tmp_path: Path, dataset: Dataset) -> None:
    fitted = fit(dataset, tmp_path / "new", Settings(epochs=5, learning_rate=2e-4), made_by="a test")
    names = sorted(path.name for path in (tmp_path / "new").iterdir())
    assert names == ["best_model.pth", "best_model.safetensors", "metrics.json"]
    metadata = load(fitted.path).metadata
    assert metadata.made_by == "a test" and metadata.uses_image_sizes
    assert metadata.encoder == dataset.meta["encoder"] and metadata.emotion_model == dataset.meta["emotion_model"]
    assert metadata.dataset == {"sha256": content_hash(dataset), "samples": 3500, "seed": 0}
    assert json.loads((tmp_path / "new" / "metrics.json").read_text()) == metadata.metrics
    assert metadata.metrics["held_out_rows"] == 350 and metadata.metrics["split_by_group"]
    for metric in ("centred_cosine", "recall_at_1"):
        lead = metadata.metrics["projection_minus"]
        assert lead["mean"][metric][1] > 0.05  # even the interval's lower end
        assert lead["nearest neighbour"][metric][1] > 0
        assert lead["ridge"][metric][2] > 0  # not worse: the interval does not lie below 0


def test_two_arrays_by_anyone_are_enough(tmp_path: Path, dataset: Dataset) -> None:
    bare = Dataset(dataset.perceptions[:60], dataset.clip_embeddings[:60])
    checkpoint = load(fit(bare, tmp_path, Settings(epochs=2)).path)
    assert checkpoint.metadata.encoder == "unknown" and checkpoint.fingerprint is None
    assert not checkpoint.metadata.uses_image_sizes
    assert checkpoint.metadata.metrics["held_out_rows"] == 6


def test_one_person_flatters_and_the_report_says_so(tmp_path: Path, dataset: Dataset) -> None:
    few = Dataset(dataset.perceptions[:40], dataset.clip_embeddings[:40], groups=np.array(["anna"] * 40))
    fitted = fit(few, tmp_path, Settings(epochs=1))
    assert not fitted.report.by_group and "this flatters" in str(fitted.report)


def test_too_few_samples_leave_nothing_behind(tmp_path: Path, dataset: Dataset) -> None:
    two = replace(
        dataset, perceptions=dataset.perceptions[:2], clip_embeddings=dataset.clip_embeddings[:2],
        image_sizes=None, prompts=None, groups=None, sources=None,
    )  # fmt: skip
    with pytest.raises(ValueError, match="the dataset has 2 samples"):
        fit(two, tmp_path, Settings(epochs=1))
    assert list(tmp_path.iterdir()) == []
