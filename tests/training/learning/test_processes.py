"""Two processes under torchrun train as one does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from perception_clip.training.cli import main
from perception_clip.training.dataset.npz import Dataset, save
from perception_clip.training.learning.data import TrainingData
from perception_clip.training.learning.processes import ALONE, Processes, joined
from perception_clip.training.learning.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "training")


def test_alone_nothing_is_shared() -> None:
    with joined(Settings()) as (processes, settings):
        assert processes is ALONE and settings == Settings()
    tensor = torch.arange(5)
    ALONE.add([tensor])
    ALONE.agree([tensor])
    assert torch.equal(tensor, torch.arange(5)) and torch.equal(ALONE.share(tensor), tensor)
    assert ALONE.first and ALONE.any(True) and not ALONE.any(False) and ALONE.shared("value") == "value"


@pytest.mark.parametrize("rows", [1, 2, 7, 32])
def test_each_row_is_one_process_s(rows: int) -> None:
    shares = [Processes(rank, 3).share(torch.arange(rows)) for rank in range(3)]
    assert torch.equal(torch.cat(shares).sort().values, torch.arange(rows))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.slow
@pytest.mark.skipif(not torch.distributed.is_available(), reason="this torch has no torch.distributed")
def test_two_processes_agree_with_one(data: TrainingData, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "training_data.npz"
    save(Dataset(data.vectors.numpy(), data.targets.numpy(), data.image_sizes.numpy()), path)
    arguments = ["train", "--data", str(path), "--size", "small", "--epochs", "6", "--out-dir"]
    found = subprocess.run(
        [*TORCHRUN, *arguments, str(tmp_path / "two")],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=120,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    assert main([*arguments, str(tmp_path / "one")]) == 0
    alone = capsys.readouterr().out
    for line in ("checkpoint:", "projection  ", "report:"):
        assert found.stdout.count(line) == alone.count(line) >= 1

    one, two = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("one", "two"))
    losses = [epoch["loss"] for epoch in one["history"]]
    assert [epoch["loss"] for epoch in two["history"]] == pytest.approx(losses, rel=1e-3)
    assert two["history"][0]["loss"] == pytest.approx(losses[0], rel=1e-5)
    assert two["verdict"] and two["held_out_rows"] == one["held_out_rows"] == 60
    for metric, (value, low, high) in one["scores"]["projection"].items():
        assert low <= two["scores"]["projection"][metric][0] <= high
        assert two["scores"]["projection"][metric][0] == pytest.approx(value, abs=0.02)
    files = ["best_model.pth", "best_model.safetensors", "metrics.json"]
    assert [name for name in sorted(path.name for path in (tmp_path / "two").iterdir()) if name in files] == files
    assert not list((tmp_path / "two").glob(".*"))
    weights = [load_file(tmp_path / name / "best_model.safetensors")["network.leave.weight"] for name in ("one", "two")]
    assert weights[0].norm() > 1 and torch.allclose(*weights, atol=1e-3)
