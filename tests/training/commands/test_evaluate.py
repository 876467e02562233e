"""`evaluate`, on checkpoints that were really trained, if briefly."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.vector import EMOTIONS, pack
from perception_clip.projection.checkpoint import load
from perception_clip.projection.checkpoint import save as save_checkpoint
from perception_clip.training.dataset.npz import Dataset, save
from perception_clip.training.fitting import fit
from perception_clip.training.learning.settings import Settings

from ..command_line import fails, ok

ROWS = 280


def faces(seed: int) -> Dataset:
    """Sampled people, two rows each, whose prompt is their emotion."""
    generator = torch.Generator().manual_seed(seed)
    model, emotions = ExpressionModel.load(), torch.arange(ROWS) // 2 % len(EMOTIONS)
    landmarks, sizes = model.sample(emotions, torch.ones(ROWS), generator)
    targets = torch.randn(len(EMOTIONS), 768, generator=generator) + 2
    return Dataset(
        perceptions=pack(landmarks, model.probabilities(landmarks, sizes)).numpy(),
        clip_embeddings=targets[emotions].numpy(),
        image_sizes=sizes.numpy(),
        prompts=np.array([f"a {EMOTIONS[number]} face" for number in emotions.tolist()]),
        groups=np.array([f"person {row // 2}" for row in range(ROWS)]),
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data.npz and other.npz; the checkpoints a and b (of another split) of the first, c of the second."""
    folder = tmp_path_factory.mktemp("evaluate")
    data, other = faces(0), faces(1)
    save(data, folder / "data.npz")
    save(other, folder / "other.npz")
    fit(data, folder, Settings(epochs=1, size="small", val_split=0.4), name="a", report=False, resumable=False)
    fit(data, folder, Settings(epochs=1, size="small", seed=1), name="b", report=False, resumable=False)
    fit(other, folder, Settings(epochs=1, size="small"), name="c", report=False, resumable=False)
    return folder


def printed(folder: Path, *arguments: object) -> str:
    return " ".join(ok("evaluate", "--data", folder / "data.npz", *arguments).split())


def test_the_same_numbers_as_at_the_end_of_training(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "metrics.json"
    text = printed(folder, "--checkpoint", folder / "a.pth", "--out", out)
    metrics = json.loads(out.read_text())
    assert metrics == load(folder / "a.safetensors").metadata.metrics
    assert metrics["held_out_rows"] == 56  # half of two fifths
    assert "Note" not in text and "over 56 rows from 28 groups not used in training" in text
    assert metrics["verdict"][0] in text


def test_two_on_the_same_rows(folder: Path, tmp_path: Path) -> None:
    a, b, out = folder / "a.safetensors", folder / "b.safetensors", tmp_path / "metrics.json"
    text = printed(folder, "--checkpoint", str(a), "--compare", str(b), "--out", str(out))
    assert f"note: {b} was trained on another split of this dataset" in text and f"note: {a}" not in text
    metrics = json.loads(out.read_text())
    assert list(metrics["scores"])[:3] == ["projection", str(b), "ridge"]
    value, low, high = metrics["projection_minus"][str(b)]["centered_cosine"]
    own, other = (metrics["scores"][name]["centered_cosine"][0] for name in ("projection", str(b)))
    assert value == pytest.approx(own - other) and low <= value <= high
    assert metrics["scores"]["ridge"] == load(a).metadata.metrics["scores"]["ridge"]


def test_with_itself_there_is_no_lead(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "metrics.json"
    a, twin = str(folder / "a.safetensors"), str(folder / "a.pth")
    assert "Note" not in printed(folder, "--checkpoint", a, "--compare", twin, "--out", str(out))
    lead = json.loads(out.read_text())["projection_minus"][twin]
    assert all(numbers == [0, 0, 0] for numbers in lead.values())


def test_another_dataset_is_said(folder: Path) -> None:
    c, a = str(folder / "c.safetensors"), str(folder / "a.safetensors")
    text = printed(folder, "--checkpoint", c, "--compare", a)
    assert f"note: {c} was trained on another dataset" in text and f"note: {a}" not in text
    assert "over 56 rows" in text  # those that `a` did not see


def test_another_emotion_model_is_noted(folder: Path, tmp_path: Path) -> None:
    held = load(folder / "a.safetensors")
    metadata = replace(held.metadata, landmarker="mesh", emotion_model="picture/1:0")
    save_checkpoint(replace(held, metadata=metadata), tmp_path, "picture")
    data = replace(faces(0), meta={"landmarker": "mesh", "emotion_model": "shape/2:1"})
    save(data, tmp_path / "data.npz")
    text = printed(tmp_path, "--checkpoint", str(tmp_path / "picture.pth"))
    expected = "the emotion model picture/1:0, but this dataset comes from shape/2:1."
    assert expected in text and "the landmarker" not in text


def test_another_space(folder: Path, tmp_path: Path) -> None:
    from perception_clip.projection.network import ProjectionNetwork
    from perception_clip.projection.spaces import SDXL

    held = load(folder / "a.safetensors")
    made = replace(
        held,
        network=ProjectionNetwork(replace(held.network.architecture, output=SDXL.width)),
        metadata=replace(held.metadata, space=SDXL.name, prompts=[]),
        neutral=torch.zeros(SDXL.width),
        prompt_vectors=None,
    )
    save_checkpoint(made, tmp_path, "wide")
    data, paths = ("--data", folder / "data.npz"), (folder / "a.pth", tmp_path / "wide.pth")
    error = fails("evaluate", *data, "--checkpoint", paths[0], "--compare", paths[1])
    assert "a.pth uses sd15" in error and "wide.pth uses sdxl" in error and "cannot be compared" in error
    assert "no targets for Stable Diffusion XL" in fails("evaluate", *data, "--checkpoint", paths[1])


def test_bad_rows(folder: Path, tmp_path: Path) -> None:
    data = faces(0)
    data.clip_embeddings[:3] = np.nan
    data.perceptions[10:14] = np.nan
    save(data, tmp_path / "bad.npz")
    arguments = ("evaluate", "--data", tmp_path / "bad.npz", "--checkpoint", folder / "a.pth")
    assert "NaN" in fails(*arguments)
    out = tmp_path / "metrics.json"
    ok(*arguments, "--drop-bad-rows", "--out", out)
    metrics = json.loads(out.read_text())
    assert metrics["prompts"] == len(EMOTIONS) and np.isfinite(metrics["scores"]["ridge"]["centered_cosine"]).all()
