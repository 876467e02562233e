"""A build that is killed at any moment loses nothing, and is simply run again."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .killing import kill_builds


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_builds_killed_at_random_moments(tmp_path: Path, astronaut: np.ndarray) -> None:
    for number in range(24):
        path = tmp_path / "faces" / ("happy" if number % 2 else "sad") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(astronaut[: 500 - number]).resize((256, 256)).save(path)
    outcome = kill_builds(tmp_path / "faces", tmp_path / "a.db", kills=4, longest=0.6)
    assert outcome.killed == 4
    assert (outcome.lost, outcome.doubled) == (0, 0)
