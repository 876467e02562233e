from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from perception_clip.common.errors import InputError
from perception_clip.projection.checkpoint import Checkpoint, load
from perception_clip.projection.spaces import SDXL
from perception_clip.training import fitting
from perception_clip.training.dataset.npz import Dataset, content_hash
from perception_clip.training.encoders.base import KnownPrompts, fingerprint
from perception_clip.training.encoders.loading import load_encoder
from perception_clip.training.fitting import fit, split_of
from perception_clip.training.learning.run import Epoch
from perception_clip.training.learning.settings import Settings
from perception_clip.training.starter import sample_dataset

PICTURES = ["confusion", "emotions", "learning_curves", "map", "prompts", "regions", "scores", "worst"]


@pytest.fixture(scope="module")
def dataset(starter_encoder: KnownPrompts) -> Dataset:
    return sample_dataset(starter_encoder, samples=1500)


def cut(dataset: Dataset, rows: int, **changed: object) -> Dataset:
    """The first rows, with nothing but the two arrays that every dataset has."""
    return replace(Dataset(dataset.perceptions[:rows], dataset.clip_embeddings[:rows]), **changed)


def test_all_that_a_run_leaves(tmp_path: Path, dataset: Dataset) -> None:
    seen: list[Epoch] = []
    fitted = fit(dataset, tmp_path / "new", Settings(epochs=20, size="small"), made_by="a test", progress=seen.append)
    names = {path.name for path in (tmp_path / "new").iterdir() if path.is_file()}
    assert names == {"best_model.pth", "best_model.safetensors", "metrics.json", "report.html"}
    assert sorted(path.stem for path in (tmp_path / "new" / "report").iterdir()) == PICTURES
    assert fitted.history == seen and len(seen) == 20
    metadata = load(fitted.path).metadata
    assert metadata.made_by == "a test" and metadata.uses_image_sizes
    assert metadata.encoder == dataset.meta["encoder"] and metadata.emotion_model == dataset.meta["emotion_model"]
    assert metadata.dataset == {"sha256": content_hash(dataset), "samples": 1500, "seed": 0, "val_split": 0.2}
    metrics = json.loads((tmp_path / "new" / "metrics.json").read_text())
    assert [epoch["number"] for epoch in metrics.pop("history")] == list(range(1, 21))
    assert metrics == metadata.metrics
    assert metrics["held_out_rows"] == 150 and metrics["split_by_group"]
    lead = metrics["projection_minus"]
    for metric in ("centered_cosine", "recall_at_1"):
        assert lead["mean"][metric][1] > 0.05  # even the interval's lower end
        assert lead["nearest neighbor"][metric][1] >= 0
        assert lead["ridge"][metric][2] > 0  # not worse: the interval does not lie below 0
    assert fitted.verdict is not None and metrics["verdict"] == fitted.verdict.sentences
    value, low, high = metrics["subject"]["centered_cosine"]
    assert 0.1 < low < value < high < 1
    assert f"mean-centered cosine {value:.3f} [" in (tmp_path / "new" / "report.html").read_text(encoding="utf-8")


def test_a_checkpoint_knows_its_most_frequent_prompts(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "KEPT_PROMPTS", 9)
    checkpoint = load(fit(dataset, tmp_path, Settings(epochs=1, size="small"), report=False).path)
    assert dataset.prompts is not None and checkpoint.prompt_vectors is not None
    texts = dataset.prompts[split_of(dataset, seed=0).train.numpy()].tolist()
    counts = [texts.count(prompt) for prompt in checkpoint.metadata.prompts]
    others = [texts.count(prompt) for prompt in set(texts) - set(checkpoint.metadata.prompts)]
    assert len(counts) == 9 and min(counts) >= max(others)
    for prompt, vector in zip(checkpoint.metadata.prompts, checkpoint.prompt_vectors.numpy(), strict=True):
        assert np.array_equal(vector, dataset.clip_embeddings[dataset.prompts.tolist().index(prompt)])


def test_the_sdxl_space(tmp_path: Path, dataset: Dataset) -> None:
    """Each part is learned, whatever its scale; a dataset without the space's targets is refused."""
    with pytest.raises(ValueError, match="no targets for Stable Diffusion XL.*build --space sdxl"):
        fit(dataset, tmp_path, Settings(epochs=1, space="sdxl"))
    encoder = load_encoder("random", space="sdxl")
    assert dataset.prompts is not None and dataset.image_sizes is not None
    texts, row = np.unique(dataset.prompts[:1000], return_inverse=True)
    added_targets = {name: vectors.numpy()[row] for name, vectors in encoder.added_targets(texts.tolist()).items()}
    added_targets["sdxl_pooled"] *= 100
    meta = {**dataset.meta, "fingerprint": fingerprint(encoder).tolist()}
    wide = cut(dataset, 1000, image_sizes=dataset.image_sizes[:1000], added_targets=added_targets, meta=meta)
    made = load(fit(wide, tmp_path, Settings(epochs=16, size="small", space="sdxl"), report=False).path)
    assert made.metadata.space == "sdxl" and made.width == 3328
    assert made.fingerprint is not None and torch.equal(made.fingerprint, fingerprint(encoder))
    narrow = load(fit(wide, tmp_path, Settings(epochs=1, size="small"), report=False).path)
    assert narrow.fingerprint is not None and torch.equal(narrow.fingerprint, fingerprint(encoder)[:768])
    assert made.has_subject and made.neutral.shape == (3328 + 2048,)
    test = split_of(wide, seed=0).test.numpy()
    predicted = made.project(torch.from_numpy(wide.perceptions[test]), torch.from_numpy(wide.image_sizes[test])).joined
    truth = torch.from_numpy(
        np.concatenate([added_targets["sdxl_embeddings"], added_targets["sdxl_pooled"]], axis=1)[test]
    )
    truth = torch.cat([truth, torch.from_numpy(added_targets["sdxl_subject"][test])], dim=1)
    parts = (some.split((*SDXL.parts, *SDXL.token_parts), dim=-1) for some in (predicted, truth, truth.mean(dim=0)))
    for own, goal, mean in zip(*parts, strict=True):
        assert float(torch.cosine_similarity(own - mean, goal - mean).mean()) > 0.25


def test_both_vectors_come_back_from_the_file(tmp_path: Path, dataset: Dataset) -> None:
    """With or without the subject, the end of the text is the same; whoever continues without it, loses it."""
    settings = Settings(epochs=3, size="small")
    fitted = fit(dataset, tmp_path / "with", settings, report=False)
    without = fit(replace(dataset, added_targets={}), tmp_path / "without", settings, report=False).checkpoint
    vectors, sizes = torch.from_numpy(dataset.perceptions[:50]), torch.from_numpy(np.array(dataset.image_sizes)[:50])
    for path in (fitted.path, fitted.path.with_suffix(".pth")):
        projected, expected = (one.project(vectors, sizes) for one in (load(path), fitted.checkpoint))
        assert torch.equal(projected.joined, expected.joined) and projected.joined.shape == (50, 1536)
    assert torch.equal(projected.end, without.project(vectors, sizes).end)
    assert fitted.checkpoint.has_subject and not without.has_subject and without.neutral.shape == (768,)
    assert torch.equal(fitted.checkpoint.neutral[:768], without.neutral)
    assert projected.subject is not None
    distinct = torch.from_numpy(dataset.added_targets["subject_embeddings"])
    near, own = distinct.mean(dim=0), projected.subject.mean(dim=0)
    assert (near - own).norm() < 0.2 * near.norm()  # in the units of the prompts' vectors

    for init, data, has in ((fitted.checkpoint, replace(dataset, added_targets={}), False), (without, dataset, True)):
        continued = fit(data, tmp_path, Settings(epochs=1, size="small"), init=init, report=False).checkpoint
        assert continued.has_subject == has


def test_two_arrays_by_anyone_are_enough(tmp_path: Path, dataset: Dataset) -> None:
    checkpoint = load(fit(cut(dataset, 60), tmp_path, Settings(epochs=2), report=False).path)
    assert checkpoint.metadata.encoder == "unknown" and checkpoint.fingerprint is None
    assert not checkpoint.metadata.uses_image_sizes
    assert checkpoint.metadata.metrics["held_out_rows"] == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best_model.pth", "best_model.safetensors"]
    assert not checkpoint.has_subject


def test_neutral_is_where_neutral_faces_project_to(tmp_path: Path, dataset: Dataset) -> None:
    checkpoint = fit(dataset, tmp_path, Settings(epochs=1, size="small"), report=False).checkpoint
    vectors, sizes = torch.from_numpy(dataset.perceptions), torch.from_numpy(np.array(dataset.image_sizes))
    train = split_of(dataset, seed=0).train
    chosen = train[vectors[train, 1440] >= 0.5]
    assert 20 < len(chosen) < 1000
    expected = checkpoint.project(vectors[chosen], sizes[chosen]).joined.mean(dim=0)
    assert torch.allclose(checkpoint.neutral, expected, atol=1e-3)


def test_starting_from_a_checkpoint_shows_what_was_added(tmp_path: Path, dataset: Dataset) -> None:
    settings = Settings(epochs=1, size="small")
    first = fit(cut(dataset, 300), tmp_path / "first", settings, report=False).checkpoint
    fitted = fit(cut(dataset, 600), tmp_path, settings, init=first, report=False)
    assert fitted.evaluation is not None
    assert list(fitted.evaluation.scores)[:2] == ["projection", "before"]


def test_a_stopped_run_leaves_the_best_so_far(tmp_path: Path, dataset: Dataset) -> None:
    seen: list[Epoch] = []
    settings = Settings(epochs=5, size="small")
    fitted = fit(dataset, tmp_path, settings, progress=seen.append, stop=lambda: len(seen) == 2)
    assert fitted.evaluation is None and fitted.report is None and len(fitted.history) == 2
    assert isinstance(load(fitted.path), Checkpoint) and (tmp_path / "training.state").is_file()
    with pytest.raises(ValueError, match="another learning_rate .0.002, now 0.5.; use the same .*, or restart"):
        fit(dataset, tmp_path, replace(settings, learning_rate=0.5), resume=True)
    done = fit(dataset, tmp_path, settings, resume=True, report=False)
    assert len(done.history) == 5 and not (tmp_path / "training.state").exists()


def test_bad_rows_are_in_no_part(dataset: Dataset) -> None:
    bad = np.array([3, 50, 51, 299])
    rows = split_of(cut(dataset, 300, bad_rows=bad, groups=np.array([f"p{row // 3}" for row in range(300)])), seed=0)
    everything = torch.cat([rows.train, rows.validation, rows.test]).sort().values
    assert everything.tolist() == np.setdiff1d(np.arange(300), bad).tolist()
    assert rows.groups[4] == "p1" and rows.groups[298] == "p99" and len(rows.groups) == 300


def test_what_cannot_be_learned_leaves_nothing_behind(tmp_path: Path, dataset: Dataset) -> None:
    with pytest.raises(ValueError, match="the dataset has only 2 samples; at least 3"):
        fit(cut(dataset, 2), tmp_path, Settings(epochs=1))
    same = np.repeat(dataset.clip_embeddings[:1], 30, axis=0)
    one = cut(dataset, 30, clip_embeddings=same, prompts=np.array(["a calm face"] * 30))
    with pytest.raises(ValueError, match="all 30 samples have the same target, that of 'a calm face'.* two prompts"):
        fit(one, tmp_path, Settings(epochs=1))
    hinted = np.concatenate([same[:28], dataset.clip_embeddings[1:3]])
    hints = np.array(["train"] * 28 + ["validation", "test"])
    with pytest.raises(ValueError, match="all training samples have the same target"):
        fit(replace(one, clip_embeddings=hinted, splits=hints), tmp_path, Settings(epochs=1))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may write anywhere")
def test_read_only_folder(tmp_path: Path, dataset: Dataset) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot be written to"):
        fit(dataset, tmp_path, Settings(epochs=1))


def test_a_folder_that_is_a_file_fails_before_the_work(tmp_path: Path, dataset: Dataset) -> None:
    (tmp_path / "taken").touch()
    with pytest.raises(InputError, match="taken: cannot be written to .*choose another folder"):
        fit(dataset, tmp_path / "taken", Settings(epochs=10**6))
