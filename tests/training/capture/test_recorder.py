from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.perception.sequences.videos import Frame, Video, write_video
from perception_clip.training.capture.recorder import (
    BLURRED,
    LOOKS_DOWN,
    LOOKS_UP,
    NO_FACE,
    TOO_SMALL,
    TURNED,
    FrameCheck,
    Limits,
    Recorder,
    record,
    sharpness,
)
from perception_clip.training.capture.session import PAUSE, QUIT, CaptureError, Session, Timing
from perception_clip.training.dataset.store import Store
from perception_clip.training.encoders.loading import load_encoder

from ..command_line import fails, ok

TIMING = Timing(countdown=0.5, seconds=1.5, per_second=2)
PROMPTS = ["smiling", "a person looking sad"]


@pytest.fixture(scope="module")
def pipeline() -> PerceptionPipeline:
    return PerceptionPipeline()


@pytest.fixture
def recorder(tmp_path: Path, pipeline: PerceptionPipeline) -> Iterator[Recorder]:
    with Store(tmp_path / "a.db") as store:
        yield Recorder(
            store, pipeline, load_encoder("random"), PROMPTS, limits=Limits(), group="session 1", source="camera 0"
        )


# --- good frames -------------------------------------------------------------------------------------------------


def test_sharpness_tells_blur_and_not_light(recorder: Recorder, grace_hopper: np.ndarray) -> None:
    picture = torch.from_numpy(grace_hopper.copy())
    box = recorder.check(picture).faces[0].box
    dark = torch.from_numpy(grace_hopper // 5)
    assert sharpness(picture, box) > 0.3
    assert sharpness(dark, box) == pytest.approx(sharpness(picture, box), rel=0.2)
    assert sharpness(blurred(grace_hopper, 5), box) < 0.02
    assert sharpness(picture, (600, 0, 700, 100)) == 0
    assert sharpness(torch.zeros(50, 50, 3, dtype=torch.uint8), (-5, -5, 60, 60)) == 0


def test_why_a_frame_is_not_good(recorder: Recorder, grace_hopper: np.ndarray, astronaut: np.ndarray) -> None:
    def problem(picture: np.ndarray | Tensor, **limits: float) -> str:
        recorder.limits = Limits(**limits)
        return recorder.check(torch.tensor(picture) if isinstance(picture, np.ndarray) else picture).problem

    assert problem(grace_hopper) == problem(astronaut) == ""
    assert problem(np.full((300, 300, 3), 128, dtype=np.uint8)) == NO_FACE
    assert problem(blurred(grace_hopper, 5)) == BLURRED
    assert problem(np.array(Image.fromarray(grace_hopper).resize((200, 234)))) == TOO_SMALL
    assert problem(grace_hopper, min_face=250) == TOO_SMALL
    assert problem(grace_hopper, max_yaw=0) == TURNED
    assert problem(grace_hopper, max_pitch=0) in (LOOKS_UP, LOOKS_DOWN)


def test_photos(shared_data: Path, recorder: Recorder) -> None:
    """The limits keep the photos that they were chosen on, and refuse them when they are out of focus."""
    photos = [np.array(Image.open(path).convert("RGB")) for path in sorted((shared_data / "faces").glob("obama*.jpg"))]
    looks = [recorder.check(torch.from_numpy(photo)) for photo in photos]
    assert [each.problem for each in looks].count("") == len(photos) - 1  # one is 66 pixels high
    for photo, check in zip(photos, looks, strict=True):
        if not check.problem:
            _, top, _, bottom = check.faces[0].box
            again = recorder.check(blurred(photo, 0.02 * (bottom - top)))
            assert again.problem == BLURRED


def blurred(picture: np.ndarray, radius: float) -> Tensor:
    return torch.from_numpy(np.array(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius))))


# --- recording ---------------------------------------------------------------------------------------------------


def test_good_frames_become_samples(film: Path, recorder: Recorder, pipeline: PerceptionPipeline) -> None:
    session = Session(PROMPTS, TIMING)
    record(Video(film).frames(), session, recorder)
    (samples,) = recorder.store.iterate()
    assert samples.sources == [f"camera 0#frame={number}" for number in (4, 8, 12, 28)]
    assert samples.prompts == ["smiling"] * 3 + ["a person looking sad"]
    assert set(samples.groups) == {"session 1"}
    assert session.tallies[0].refused == {} and session.tallies[1].refused == {BLURRED: 8}
    torch.testing.assert_close(torch.tensor(samples.embeddings[2:]), load_encoder("random").encode(PROMPTS))
    fourth = next(frame for frame in Video(film).frames() if frame.number == 4)
    expected = pipeline([fourth.picture])  # as it came, not mirrored
    np.testing.assert_allclose(samples.perceptions[0], expected.vectors[0].numpy(), atol=1e-5)
    assert samples.image_sizes.tolist() == [[480, 480]] * 4
    np.testing.assert_allclose(samples.scores[0], expected.scores[0].item(), atol=1e-5)


def test_every_sample_is_safe_at_once(film: Path, recorder: Recorder) -> None:
    stored: list[int] = []

    def unplugged() -> Iterator[Frame]:
        for frame in Video(film).frames():
            with Store(recorder.store.path) as other:
                stored.append(len(other))
            if frame.number == 9:
                raise CaptureError("gone")
            yield frame

    with pytest.raises(CaptureError, match="gone"):
        record(unplugged(), Session(PROMPTS, TIMING), recorder)
    assert stored == [0] * 5 + [1] * 4 + [2]


def test_a_paused_video_waits_and_a_paused_camera_goes_on(film: Path, recorder: Recorder) -> None:
    for live, shown in ((False, [0, 1, 1, 1, 2]), (True, [0, 1, 2, 3, 4])):
        keys = iter(["", PAUSE, "", PAUSE, QUIT])
        seen: list[int] = []

        def show(
            frame: Frame, check: FrameCheck, session: Session, *, keys: Iterator[str] = keys, seen: list[int] = seen
        ) -> str:
            assert len(check.faces) == 1
            seen.append(frame.number)
            return next(keys)

        session = Session(PROMPTS, TIMING)
        record(Video(film).frames(), session, recorder, show, live=live)
        assert seen == shown and session.ended


# --- the command -------------------------------------------------------------------------------------------------


@pytest.fixture
def command(tmp_path: Path) -> tuple[object, ...]:
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))
    files = ("--prompts", tmp_path / "prompts.txt", "--out", tmp_path / "a.db", "--text-encoder=random")
    return "capture", *files, "--no-window", "--countdown=0.5", "--seconds=1.5"


def test_the_command_twice(film: Path, tmp_path: Path, command: tuple[object, ...]) -> None:
    for new in (4, 0):
        printed = ok(*command, "--video", film, "--group", "anna")
        assert "2. a person looking sad: 1 good frame" in printed and "8 refused: 8 × blurred" in printed
        assert f"{new} new samples" in printed and "ended during" not in printed
    with Store(tmp_path / "a.db") as store:
        (samples,) = store.iterate()
    assert samples.sources == [f"film.mp4#frame={number}" for number in (4, 8, 12, 28)]
    assert len(set(samples.groups)) == 1
    assert re.fullmatch(r"anna session \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", samples.groups[0])


def test_a_video_without_a_window_needs_no_opencv(
    film: Path, command: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)  # as if it were not installed
    assert "4 new samples" in ok(*command, "--video", film)
    assert 'need OpenCV: pip install "perception-clip[train]"' in fails(*command, "--camera", 0)


def test_what_cannot_be_recorded(
    film: Path, tmp_path: Path, command: tuple[object, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    gray = (Frame(number, number / 8, torch.full((64, 64, 3), 90, dtype=torch.uint8)) for number in range(32))
    write_video(tmp_path / "gray.mp4", gray, 8)
    assert "film.mp4 ended during prompt 1 of 2" in ok(*command, "--video", film, "--countdown=3")
    for arguments, message in (
        ((tmp_path / "gray.mp4",), "24 frames checked, none is good (no face was found)"),
        ((film, "--min-face", 900), "(mostly: face too small)"),
        ((tmp_path / "absent.mp4",), "absent.mp4: the video cannot be read"),
        ((film, "--out", "a.npz"), "--out a.npz must end in .db"),
    ):
        assert message in fails(*command, "--video", *arguments)
    for flag, value in (("count", 0), ("countdown", -1), ("seconds", 0), ("seconds", "inf"), ("per-second", "nan")):
        with pytest.raises(SystemExit):
            ok(*command, f"--{flag}={value}")
        assert f"argument --{flag}: the value must be " in capsys.readouterr().err


def test_a_real_video(shared_data: Path, command: tuple[object, ...]) -> None:
    video = shared_data / "video" / "expressive_face.mp4"
    assert "12 new samples" in ok(*command, "--video", video, "--per-second", 4)
    assert "no face was found" in fails(*command, "--video", shared_data / "video" / "no_face.mp4")
