"""A weight file that is missing, damaged or another one is named, with the remedy."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from perception_clip.perception import weight_files
from perception_clip.perception.actions.basis import ActionBasis
from perception_clip.perception.actions.model import ActionModel
from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.emotions.face_expression import FaceExpressionModel
from perception_clip.perception.emotions.picture_estimate import PictureEstimate
from perception_clip.perception.landmarks.blazeface import BlazeFace
from perception_clip.perception.landmarks.bundled import BundledLandmarker

# What reads a file, given its path, and what it says of the weights of another model.
READERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "blazeface": (lambda path: BundledLandmarker(weights=path.parent), "does not fit BlazeFace"),
    "face_mesh": (lambda path: BundledLandmarker(weights=path.parent), "does not fit FaceMesh"),
    "actions": (ActionModel.load, "does not fit ActionNetwork"),
    "action_basis": (ActionBasis.load, "is not an action basis of this version"),
    "expression": (ExpressionModel.load, "is not an expression model of this version"),
    "face_expression": (
        lambda path: FaceExpressionModel(weights=path.parent),
        "does not fit FaceExpressionNet",
    ),
    "picture_estimate": (PictureEstimate.load, "is not a picture estimate of this version"),
}


@pytest.mark.parametrize("name", READERS)
def test_missing_damaged_and_foreign_files_are_named(name: str, tmp_path: Path) -> None:
    load, foreign = READERS[name]
    folder = shutil.copytree(weight_files.FOLDER, tmp_path / "weights")
    path = folder / f"{name}.safetensors"
    other = folder / ("expression.safetensors" if name == "face_mesh" else "face_mesh.safetensors")
    contents = {
        path.read_bytes()[:-1000]: "is damaged",
        b"": "is damaged",
        b"version https://git-lfs.github.com/spec/v1\n": "is damaged",
        other.read_bytes(): foreign,
    }
    for content, reason in contents.items():
        path.write_bytes(content)
        with pytest.raises(weight_files.WeightFileError, match=rf"{name}\.safetensors {reason}.*; reinstall"):
            load(path)
    path.unlink()
    with pytest.raises(weight_files.WeightFileError, match=rf"{name}\.safetensors cannot be read .*; reinstall"):
        load(path)


def test_an_expression_model_of_an_older_version_is_named(tmp_path: Path) -> None:
    tensors = load_file(weight_files.FOLDER / "expression.safetensors")
    for absent in (("means",), ("modes", "shares", "doubt")):
        path = tmp_path / "expression.safetensors"
        save_file({name: tensor for name, tensor in tensors.items() if name not in absent}, path)
        with pytest.raises(weight_files.WeightFileError, match="not an expression model of this version"):
            ExpressionModel.load(path)


def test_the_files_are_those_that_the_readme_describes() -> None:
    readme = (weight_files.FOLDER / "README.md").read_text(encoding="utf-8")
    digests = {path.stem: weight_files.read(path)[1] for path in weight_files.FOLDER.glob("*.safetensors")}
    assert READERS.keys() < digests.keys() and all(digest in readme for digest in digests.values())
    identities = {"actions": ActionModel.load().identity, "face_expression": FaceExpressionModel().identity}
    assert all(identity.endswith(f":{digests[name][:8]}") for name, identity in identities.items())


def test_a_filled_network_is_ready_for_inference() -> None:
    network, _ = weight_files.filled(BlazeFace, weight_files.FOLDER / "blazeface.safetensors")
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    assert {p.dtype for p in network.parameters()} == {torch.float32}


def test_importing_the_landmarkers_loads_no_weights() -> None:
    code = (
        "import sys, perception_clip.perception.landmarks.bundled, perception_clip.perception.landmarks.mediapipe\n"
        "assert not [m for m in ('safetensors', 'transformers', 'PIL', 'mediapipe', 'cv2') if m in sys.modules]"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
