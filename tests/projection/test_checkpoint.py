from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from perception_clip.projection.checkpoint import METADATA_KEY, Checkpoint, CheckpointError, find, load, save

from ..perception.reference_faces import reference_faces


def rewrite(path: Path, tensors: dict[str, torch.Tensor] | None = None, **description: object) -> Path:
    """Save the checkpoint at `path` again, with other tensors or another description."""
    with safe_open(path, framework="pt") as file:
        old = json.loads(file.metadata()[METADATA_KEY])
    tensors = load_file(path) if tensors is None else tensors
    save_file(tensors, path, metadata={METADATA_KEY: json.dumps({**old, **description})})
    return path


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_round_trip(
    tmp_path: Path, checkpoint: Checkpoint, vectors: torch.Tensor, image_sizes: torch.Tensor, suffix: str
) -> None:
    path = save(checkpoint, tmp_path)
    loaded = load(path.with_suffix(suffix))
    assert loaded.metadata == checkpoint.metadata
    assert loaded.network.architecture == checkpoint.network.architecture
    assert torch.equal(loaded.neutral, checkpoint.neutral)
    assert loaded.fingerprint is not None and torch.equal(loaded.fingerprint, checkpoint.fingerprint)
    projected = loaded.project(vectors, image_sizes)
    assert torch.equal(projected.end, checkpoint.project(vectors, image_sizes).end)
    assert loaded.width == 768 and not loaded.has_subject and projected.subject is None
    assert sorted(file.name for file in tmp_path.iterdir()) == ["best_model.pth", "best_model.safetensors"]


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_both_vectors_are_the_same_after_loading(
    tmp_path: Path, with_subject: Checkpoint, vectors: torch.Tensor, image_sizes: torch.Tensor, suffix: str
) -> None:
    loaded = load(save(with_subject, tmp_path).with_suffix(suffix))
    projected, expected = (one.project(vectors, image_sizes) for one in (loaded, with_subject))
    assert loaded.has_subject and loaded.width == 768
    assert projected.subject is not None and expected.subject is not None
    assert torch.equal(projected.end, expected.end) and torch.equal(projected.subject, expected.subject)
    assert torch.equal(projected.joined, with_subject.network(vectors, image_sizes))
    neutral = loaded.neutral_of(reference_faces())
    assert neutral.subject is not None
    assert torch.equal(neutral.end[1], with_subject.neutral[:768])
    assert torch.equal(neutral.subject[1], with_subject.neutral[768:])


def test_torch_reads_the_pth_and_an_unknown_encoder_has_no_fingerprint(tmp_path: Path, checkpoint: Checkpoint) -> None:
    path = save(replace(checkpoint, fingerprint=None), tmp_path)
    content = torch.load(path.with_suffix(".pth"), weights_only=True)
    assert json.loads(content[METADATA_KEY])["encoder"] == "test encoder"
    assert torch.equal(content["tensors"]["neutral"], checkpoint.neutral)
    assert load(path).fingerprint is None


def test_trained_without_picture_sizes(
    checkpoint: Checkpoint, vectors: torch.Tensor, image_sizes: torch.Tensor
) -> None:
    square = replace(checkpoint, metadata=replace(checkpoint.metadata, uses_image_sizes=False))
    expected = checkpoint.project(vectors, torch.ones(40, 2)).end
    assert torch.equal(square.project(vectors, image_sizes).end, expected)
    assert not torch.allclose(checkpoint.project(vectors, image_sizes).end, expected)


def test_a_payload_is_refused_and_not_executed(pickle_payload: tuple[Path, Path]) -> None:
    path, victim = pickle_payload
    with pytest.raises(CheckpointError, match=r"best_model.pth: refused.*could run code") as refusal:
        load(path)
    assert "weights_only" not in str(refusal.value)  # torch's advice to switch the check off is not passed on
    assert not victim.exists()


def test_missing_and_foreign_files(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load(tmp_path / "best_model.safetensors")
    (tmp_path / "noise.safetensors").write_bytes(b"\x00" * 100)
    with pytest.raises(CheckpointError, match=r"noise.safetensors: this is not a readable safetensors"):
        load(tmp_path / "noise.safetensors")
    save_file({"a": torch.zeros(3)}, tmp_path / "lora.safetensors")
    with pytest.raises(CheckpointError, match="not trained by this pack"):
        load(tmp_path / "lora.safetensors")
    torch.save({"a": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match="not trained by this pack"):
        load(tmp_path / "other.pth")
    torch.save({"perception_embeddings": torch.zeros(3, 1441)}, tmp_path / "data.pth")
    with pytest.raises(CheckpointError, match="it is a dataset, not a checkpoint"):
        load(tmp_path / "data.pth")
    (tmp_path / "data.npz").touch()
    with pytest.raises(CheckpointError, match=r"data.npz: this is a dataset, not a checkpoint"):
        load(tmp_path / "data.npz")
    (tmp_path / "empty.pth").touch()
    with pytest.raises(CheckpointError, match=r"empty.pth: refused"):
        load(tmp_path / "empty.pth")


def test_damage_is_named(tmp_path: Path, checkpoint: Checkpoint) -> None:
    path = save(checkpoint, tmp_path)
    tensors = load_file(path)
    bias = "network.leave.bias"

    def attempt(message: str, changed: dict[str, torch.Tensor] | None = None, **description: object) -> None:
        rewrite(save(checkpoint, tmp_path), changed, **description)
        with pytest.raises(CheckpointError, match=message):
            load(path)

    attempt("version 6 is newer .* update the pack", format_version=6)
    attempt("version 4 is from an older version of this pack; retrain it", format_version=4)
    attempt("leave.bias", {key: value for key, value in tensors.items() if key != bias})
    attempt("size mismatch for leave.bias", {**tensors, bias: torch.zeros(5)})
    attempt("its neutral tensor is missing", {key: value for key, value in tensors.items() if key != "neutral"})
    attempt("NaN", {**tensors, bias: torch.full((768,), float("nan"))})
    attempt("depth must be 1 to 64", architecture={"components": 5, "depth": 10**9})
    attempt("damaged", architecture=None)
    attempt("surprise", surprise=1)
    attempt("fingerprint tensor is missing or has the wrong shape", {**tensors, "fingerprint": torch.zeros(5)})
    attempt("its prompt_vectors tensor is missing", prompts=["a face"])
    attempt(
        "its prompt_vectors tensor is missing", {**tensors, "prompt_vectors": torch.zeros(2, 768)}, prompts=["a face"]
    )
    attempt("the text space 'sdxl' with 768 dimensions is not supported; retrain it", space="sdxl")
    built = asdict(checkpoint.network.architecture)
    attempt("Missing key.*subject.weight", architecture={**built, "subject": 768})
    attempt("subject must be 0 to 65536", architecture={**built, "subject": -1})
    attempt("the text space 'sd3' with 768 dimensions is not supported", space="sd3")


def test_find(tmp_path: Path, checkpoint: Checkpoint) -> None:
    own, models, absent = tmp_path / "own", tmp_path / "models", tmp_path / "absent"
    save(checkpoint, own, "a face")
    save(checkpoint, own)
    save(checkpoint, models)
    save(checkpoint, models / "mine")
    (models / "mine" / "best_model.safetensors").unlink()
    others = ["b.PT", "c.ckpt", "d.bin", "e.PTH"]
    for name in (*others, "best_model.ckpt"):
        shutil.copy(models / "mine" / "best_model.pth", models / name)
    for name in ("notes.txt", "training.state"):
        (models / name).touch()
    (models / ".best_model-half.safetensors").touch()
    os.mkfifo(models / "pipe.pth")
    (models / "folder.pth").mkdir()
    (models / "loop").symlink_to(models)
    (models / "device.safetensors").symlink_to("/dev/zero")
    found = find([own, absent, models])
    assert list(found) == ["best_model.safetensors", "mine/best_model.pth", "a face.safetensors", *others]
    assert all(load(found[name]).metadata == checkpoint.metadata for name in others)
    assert found["best_model.safetensors"].parent == own
