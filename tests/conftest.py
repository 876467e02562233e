"""Real photos for every test: two from PyPI packages, and the shared set where it is at hand."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import numpy as np
import pytest
from PIL import Image

# The same examples in every run, however busy the machine is.
hypothesis.settings.register_profile("steady", deadline=None, derandomize=True)
hypothesis.settings.load_profile("steady")

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"


@pytest.fixture(scope="session")
def astronaut() -> np.ndarray:
    """scikit-image's photo of Eileen Collins, (512, 512, 3) uint8."""
    from skimage import data

    return data.astronaut()


@pytest.fixture(scope="session")
def grace_hopper() -> np.ndarray:
    """matplotlib's photo of Grace Hopper, (600, 512, 3) uint8."""
    from matplotlib import cbook

    with cbook.get_sample_data("grace_hopper.jpg") as file, Image.open(file) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of further photos, reference landmarks and vectors that is not part of the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip("../shared/data is not at hand")
    return SHARED_DATA
