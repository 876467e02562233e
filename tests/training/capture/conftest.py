from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from perception_clip.perception.sequences.videos import Frame, write_video


@pytest.fixture(scope="session")
def film(tmp_path_factory: pytest.TempPathFactory, grace_hopper: np.ndarray) -> Path:
    """Four seconds of 8 frames each: a photo that moves a little, out of focus from 2.5 s to 3.5 s."""

    def frames() -> Iterator[Frame]:
        photo = Image.fromarray(grace_hopper)
        for number in range(32):
            picture = photo.crop((number, 0, 480 + number, 480))
            if 20 <= number < 28:
                picture = picture.filter(ImageFilter.GaussianBlur(5))
            yield Frame(number, number / 8, torch.from_numpy(np.array(picture)))

    path = tmp_path_factory.mktemp("capture") / "film.mp4"
    write_video(path, frames(), 8)
    return path
