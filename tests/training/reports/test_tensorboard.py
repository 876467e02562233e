from __future__ import annotations

import sys
from pathlib import Path

import pytest

from perception_clip.training.learning.run import Epoch
from perception_clip.training.reports import tensorboard


def epoch(number: int) -> Epoch:
    found = {"centered_cosine": number / 10, "recall_at_1": number / 20}
    return Epoch(number, 1 / number, found, best=True, learning_rate=1e-3, seconds=number)


def test_what_tensorboard_reads(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with tensorboard.tensorboard_log(tmp_path) as log:
        for number in (1, 2, 3):
            log(epoch(number))
    (folder,) = (tmp_path / "tensorboard").iterdir()
    events = accumulator.EventAccumulator(str(folder)).Reload()
    assert sorted(events.Tags()["scalars"]) == [
        *("learning_rate", "loss/train", "validation/centered_cosine", "validation/recall_at_1"),
    ]
    logged = [(event.step, round(event.value, 4)) for event in events.Scalars("validation/centered_cosine")]
    assert logged == [(1, 0.1), (2, 0.2), (3, 0.3)]


@pytest.mark.parametrize("wanted", [True, False])
def test_without_tensorboard_or_if_unwanted_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: bool
) -> None:
    if wanted:
        monkeypatch.delitem(sys.modules, "torch.utils.tensorboard", raising=False)
        monkeypatch.setitem(sys.modules, "tensorboard", None)  # importing it raises
    with tensorboard.tensorboard_log(tmp_path, wanted=wanted) as log:
        log(epoch(1))
    assert list(tmp_path.iterdir()) == []
