"""A weight file that is missing, damaged or another one is named, with the remedy."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from perception_clip.perception import weight_files
from perception_clip.perception.landmarks.blazeface import BlazeFace
from perception_clip.perception.landmarks.bundled import BundledLandmarker


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("blazeface.safetensors", "face_mesh.safetensors"):
        shutil.copy(weight_files.FOLDER / name, tmp_path)
    return tmp_path


def test_missing_file(folder: Path) -> None:
    (folder / "face_mesh.safetensors").unlink()
    with pytest.raises(weight_files.WeightFileError, match=r"face_mesh\.safetensors cannot be read .*reinstall"):
        BundledLandmarker(weights=folder)


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1\n", None])
def test_damaged_file(folder: Path, content: bytes | None) -> None:
    path = folder / "blazeface.safetensors"
    path.write_bytes(path.read_bytes()[:-1000] if content is None else content)
    with pytest.raises(weight_files.WeightFileError, match=r"blazeface\.safetensors is damaged .*reinstall"):
        BundledLandmarker(weights=folder)


def test_file_of_another_network(folder: Path) -> None:
    shutil.copy(folder / "face_mesh.safetensors", folder / "blazeface.safetensors")
    with pytest.raises(weight_files.WeightFileError, match=r"blazeface\.safetensors does not fit BlazeFace.*reinstall"):
        BundledLandmarker(weights=folder)


def test_a_filled_network_is_ready_for_inference() -> None:
    network, digest = weight_files.filled(BlazeFace, weight_files.FOLDER / "blazeface.safetensors")
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    readme = (weight_files.FOLDER / "README.md").read_text(encoding="utf-8")
    assert digest in readme, "the weights are not those that weights/README.md describes"


def test_importing_the_landmarkers_loads_no_weights() -> None:
    code = (
        "import sys, perception_clip.perception.landmarks.bundled, perception_clip.perception.landmarks.mediapipe\n"
        "assert not [m for m in ('safetensors', 'transformers', 'PIL', 'mediapipe', 'cv2') if m in sys.modules]"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
