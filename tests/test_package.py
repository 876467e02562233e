"""The pack works from a folder of any name, imports nothing heavy, and installs with pip."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "numpy", "transformers", "cv2", "mediapipe", "PIL", "av")

IMPORT_PROBE = f"""
import sys, json
import perception_clip
loaded = [name for name in sys.modules if name in {HEAVY!r} or name.startswith("perception_clip.nodes")]
print(json.dumps([loaded, perception_clip.__file__]))
"""


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pack in a folder with an awkward name."""
    folder = tmp_path_factory.mktemp("plugins") / "perception.clip-pack 1.0 (é)"
    skipped = shutil.ignore_patterns(".*", "demo_output", "build", "*.egg-info", "__pycache__", "best_model.*")
    shutil.copytree(ROOT, folder, ignore=skipped)
    return folder


def test_every_folder_with_modules_is_installed() -> None:
    tomllib = pytest.importorskip("tomllib", reason="tomllib came with Python 3.11")
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"]
    packages = ("common", "nodes", "perception", "projection", "training")
    folders = {path.parent for package in packages for path in (ROOT / package).rglob("*.py")}
    assert sorted(declared) == sorted(
        ["perception_clip", *(".".join(("perception_clip", *path.relative_to(ROOT).parts)) for path in folders)]
    )


def test_import_is_light(tmp_path: Path) -> None:
    heavy, _ = json.loads(run(sys.executable, "-c", IMPORT_PROBE, cwd=tmp_path))
    assert heavy == []


@pytest.mark.slow
def test_command_line_from_a_folder_of_any_name(copy: Path) -> None:
    printed = run(
        *(sys.executable, "-m", "training", "starter", "--text-encoder", "random"),
        *("--samples", "60", "--epochs", "2", "--batch_size=16"),
        cwd=copy,
    )
    written = sorted(path.name for path in (copy / "projection" / "checkpoints").iterdir())
    assert written == [
        *("README.md", "best_model.pth", "best_model.safetensors", "metrics.json", "report", "report.html"),
        "tensorboard",
    ]
    assert str(copy / "projection" / "checkpoints" / "best_model.safetensors") in printed


@pytest.mark.slow
def test_plain_install(copy: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, copy, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.name.startswith("perception_clip-")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "perception_clip/perception/weights/face_mesh.safetensors" in names
    assert "perception_clip/training/commands/train.py" in names
    assert "perception_clip/training/reports/training_report.html.j2" in names
    assert not [name for name in names if "tests/" in name or "tools/" in name]

    site = tmp_path / "site"
    run(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", site, wheel, cwd=tmp_path)
    probe = json.loads(run(sys.executable, "-c", IMPORT_PROBE, cwd=tmp_path, PYTHONPATH=str(site)))
    assert Path(probe[1]).is_relative_to(site)
    script = "from perception_clip.perception.pipeline import PerceptionPipeline as P; print(P().landmarker.identity)"
    assert "bundled" in run(sys.executable, "-c", script, cwd=tmp_path, PYTHONPATH=str(site))
    assert "starter" in run(site / "bin" / "perception-clip", "--help", cwd=tmp_path, PYTHONPATH=str(site))


@pytest.mark.slow
def test_editable_install(copy: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    run(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--editable", copy),
        cwd=tmp_path,
    )
    heavy, file = json.loads(run(python, "-c", IMPORT_PROBE, cwd=tmp_path))
    assert heavy == [] and Path(file) == copy / "__init__.py"
    assert "starter" in run(python.parent / "perception-clip", "--help", cwd=tmp_path)
