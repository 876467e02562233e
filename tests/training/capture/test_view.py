from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from perception_clip.common.fonts import lacking
from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.training.capture.recorder import NO_FACE, FrameCheck
from perception_clip.training.capture.session import PAUSE, CaptureError, Session, Timing
from perception_clip.training.capture.view import BAND, STAGE, View, fitted, mirror, prompt_font

PROMPTS = ["smiling", "a person looking sad"]
TIMING = Timing(countdown=0.5, seconds=1.5, per_second=2)
HEIGHT = STAGE[1] + BAND
BADGE = (slice(16, 128), slice(16, 128))
GOOD, RECORDING, REFUSED, WAITING = (126, 211, 120), (240, 84, 84), (255, 160, 75), (255, 193, 79)


@pytest.fixture(scope="module")
def check(grace_hopper: np.ndarray) -> FrameCheck:
    return FrameCheck(PerceptionPipeline()([torch.tensor(grace_hopper)]), "")


def share(picture: torch.Tensor, color: tuple[int, int, int]) -> float:
    """How much of a picture (H, W, 3) has exactly this color."""
    return float((picture == torch.tensor(color)).all(dim=-1).float().mean())


def test_the_view(check: FrameCheck, grace_hopper: np.ndarray) -> None:
    picture = torch.tensor(grace_hopper)
    session = Session(PROMPTS, TIMING)
    session.advance(0)
    counting = View(mirrored=False).draw(picture, check, session)
    assert counting.shape == (STAGE[1] + BAND, STAGE[0], 3) and counting.dtype == torch.uint8
    bar = STAGE[1] + 110, slice(30, STAGE[0] - 30)
    assert counting[bar].unique(dim=0).shape == (1, 3)  # empty
    session.advance(1.25)
    recording = View(mirrored=False).draw(picture, check, session)
    assert (recording[bar] == torch.tensor([240, 84, 84])).all(dim=1).float().mean() == pytest.approx(0.5, abs=0.01)
    mirrored = View(mirrored=True).draw(picture, check, session)
    left = (STAGE[0] - 460) // 2  # the photo is 461 wide there
    corner = slice(440, 520), slice(left + 10, left + 60)
    opposite = slice(440, 520), slice(left + 401, left + 451)
    difference = mirrored[corner].float() - recording[opposite].flip(1).float()
    unmirrored = mirrored[corner].float() - recording[corner].float()
    assert difference.abs().mean() < 0.5 * unmirrored.abs().mean()
    assert (mirrored[corner].float() - recording[corner].float()).abs().mean() > 20


def test_a_mirrored_face(check: FrameCheck) -> None:
    face = check.faces[0]
    other = mirror(face)
    torch.testing.assert_close(other.landmarks[:, 0], 1 - face.landmarks[:, 0])
    torch.testing.assert_close(other.landmarks[:, 1:], face.landmarks[:, 1:])
    torch.testing.assert_close(other.emotions, face.emotions)
    assert other.box[0] == pytest.approx(512 - face.box[2]) and other.box[1] == face.box[1]


def test_long_prompts_fit() -> None:
    width = 900
    for prompt in ("smiling", "a person who " * 8, "a person who " * 40, "x" * 500):
        lines, font = fitted(prompt.strip(), width)
        assert 1 <= len(lines) <= 2 and all(font.getlength(line) <= width for line in lines)
    assert lines[-1].endswith("…")


def test_letters_that_a_font_lacks() -> None:
    from matplotlib import get_data_path

    dejavu = str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")
    assert not lacking(prompt_font("smile", 44), "smile")
    assert not lacking(prompt_font("visage étonné, Лицо", 44, dejavu), "visage étonné, Лицо")
    assert lacking(prompt_font("驚いた", 44, dejavu), "驚いた") == set("驚いた")
    with pytest.raises(CaptureError, match="the font cannot be read"):
        View(mirrored=False, font=__file__)


def test_each_state_can_be_told_apart(check: FrameCheck, grace_hopper: np.ndarray) -> None:
    picture, view, session = torch.tensor(grace_hopper), View(mirrored=False), Session(PROMPTS[:1], TIMING)

    def colors() -> tuple[bool, bool, bool]:
        badge = view.draw(picture, check, session)[BADGE]
        return share(badge, WAITING) > 0.01, share(badge, RECORDING) > 0.01, share(badge, GOOD) > 0.01

    session.advance(0)
    assert colors() == (True, False, False)
    session.advance(0.5)
    assert colors() == (False, True, False)
    session.obey(PAUSE)
    assert colors() == (False, False, False)
    session.obey(PAUSE)
    session.advance(2.0)
    assert session.complete and colors() == (False, False, True)


def test_why_a_frame_is_refused_is_said(check: FrameCheck, grace_hopper: np.ndarray) -> None:
    session = Session(PROMPTS, TIMING)
    session.advance(0)
    nothing = FrameCheck(PerceptionPipeline()([torch.zeros(64, 64, 3, dtype=torch.uint8)]), NO_FACE)
    corner = slice(STAGE[1] + 120, HEIGHT), slice(600, STAGE[0])
    for which, color, other in ((check, GOOD, REFUSED), (nothing, REFUSED, GOOD)):
        words = View(mirrored=True).draw(torch.tensor(grace_hopper), which, session)[corner]
        assert share(words, color) > 0.002 and share(words, other) == 0


@pytest.mark.parametrize(("height", "width"), [(240, 320), (1080, 1920), (720, 480), (1, 1)])
def test_pictures_of_any_size(height: int, width: int) -> None:
    gray = torch.full((height, width, 3), 90, dtype=torch.uint8)
    session = Session(PROMPTS, TIMING)
    session.advance(0)
    shown = View(mirrored=True).draw(gray, FrameCheck(PerceptionPipeline()([gray]), NO_FACE), session)
    assert shown.shape == (HEIGHT, STAGE[0], 3)
    scale = min(STAGE[0] / width, STAGE[1] / height)
    covered = round(width * scale) * round(height * scale) / (STAGE[0] * STAGE[1])
    assert share(shown[: STAGE[1]], (90, 90, 90)) == pytest.approx(covered, abs=0.05)  # less the countdown
