from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.perception.videos import Frame, Video, write_video
from perception_clip.training.capture import (
    BLURRED,
    LOOKS_DOWN,
    LOOKS_UP,
    NO_FACE,
    TOO_SMALL,
    TURNED,
    Limits,
    Look,
    Recorder,
    record,
    sharpness,
)
from perception_clip.training.capture_opencv import Camera, paced
from perception_clip.training.capture_session import (
    NEXT,
    PAUSE,
    QUIT,
    REPEAT,
    CaptureError,
    Session,
    Timing,
    read_prompts,
    summary,
)
from perception_clip.training.capture_view import BAND, STAGE, View, fitted, lacking, mirror, prompt_font
from perception_clip.training.cli import main
from perception_clip.training.encoders import load_encoder
from perception_clip.training.store import Store

TIMING = Timing(countdown=0.5, seconds=1.5, per_second=2)
PROMPTS = ["smiling", "a person looking sad"]


@pytest.fixture(scope="module")
def pipeline() -> PerceptionPipeline:
    return PerceptionPipeline()


@pytest.fixture(scope="module")
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
    path.write_bytes(write_video(frames(), 8).getvalue())
    return path


@pytest.fixture
def recorder(tmp_path: Path, pipeline: PerceptionPipeline) -> Iterator[Recorder]:
    with Store(tmp_path / "a.db") as store:
        yield Recorder(
            store, pipeline, load_encoder("random"), PROMPTS, limits=Limits(), group="session 1", source="camera 0"
        )


# --- the session -------------------------------------------------------------------------------------------------


def test_each_prompt_has_a_countdown_and_its_seconds() -> None:
    session = Session(PROMPTS, TIMING)
    due, seen = [], []
    for step in range(40):
        session.advance(100 + step / 8)  # a clock may start anywhere
        if session.done:
            break
        seen.append((session.turn, session.recording))
        if session.due:
            due.append((session.turn, step))
            session.note("")
    assert seen == [(0, False)] * 4 + [(0, True)] * 12 + [(1, False)] * 4 + [(1, True)] * 12
    assert due == [(0, 4), (0, 8), (0, 12), (1, 20), (1, 24), (1, 28)]
    assert session.complete and session.good == session.new == 6


def test_a_refused_frame_leaves_its_place_to_the_next() -> None:
    session = Session(PROMPTS[:1], Timing(countdown=0, seconds=1, per_second=1))
    for step, problem in enumerate([BLURRED, BLURRED, ""]):
        session.advance(step / 8)
        assert session.due
        session.note(problem)
    session.advance(0.5)
    assert not session.due and session.progress == 0.5
    assert summary(session) == ["1. smiling: 1 good frame; 2 refused: 2 × blurred"]


def test_a_count_of_good_frames_ends_a_prompt() -> None:
    session = Session(PROMPTS, Timing(countdown=0, count=2, per_second=8))
    for step in range(100):  # far beyond the seconds
        session.advance(step)
        session.note(NO_FACE)
    assert session.turn == 0 and session.progress == 0
    session.note("")
    assert session.progress == 0.5
    session.note("", known=True)
    assert session.turn == 1 and not session.done
    assert (session.good, session.new, session.refused) == (2, 1, {NO_FACE: 100})


def test_keys() -> None:
    session = Session(PROMPTS, TIMING)
    session.advance(0)
    session.advance(0.25)
    assert session.countdown == 0.25
    session.obey(PAUSE)
    session.advance(50)
    assert session.countdown == 0.25 and not session.due
    session.obey(PAUSE)
    session.advance(50.25)
    assert session.due
    session.note("")
    session.obey(REPEAT)
    assert session.turn == 0 and not session.recording and session.countdown == 0.5 and session.good == 1
    session.obey("x")
    session.obey(NEXT)
    assert session.turn == 1 and not session.done
    session.obey(QUIT)
    assert session.done and not session.complete


@pytest.mark.parametrize("wrong", [{"countdown": -1}, {"seconds": 0}, {"per_second": 0}, {"count": 0}])
def test_impossible_timings(wrong: dict[str, float]) -> None:
    with pytest.raises(CaptureError, match="must be above 0"):
        Timing(**wrong)  # type: ignore[arg-type]


def test_prompts(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("\ufeff# mine\n\n  smiling \n   # and\nun visage étonné\n", encoding="utf-8")
    assert read_prompts(path) == ["smiling", "un visage étonné"]
    path.write_text("# nothing\n\n")
    with pytest.raises(CaptureError, match=r"prompts\.txt: there is no prompt in it"):
        read_prompts(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CaptureError, match="it is not UTF-8 text"):
        read_prompts(path)
    with pytest.raises(CaptureError, match="No such file"):
        read_prompts(tmp_path / "absent.txt")


# --- good frames -------------------------------------------------------------------------------------------------


def test_sharpness_tells_blur_and_not_light(recorder: Recorder, grace_hopper: np.ndarray) -> None:
    picture = torch.from_numpy(grace_hopper.copy())
    box = recorder.look(picture).faces[0].box
    dark = torch.from_numpy(grace_hopper // 5)
    assert sharpness(picture, box) > 0.3
    assert sharpness(dark, box) == pytest.approx(sharpness(picture, box), rel=0.2)
    assert sharpness(blurred(grace_hopper, 5), box) < 0.02
    assert sharpness(picture, (600, 0, 700, 100)) == 0
    assert sharpness(torch.zeros(50, 50, 3, dtype=torch.uint8), (-5, -5, 60, 60)) == 0


def test_why_a_frame_is_not_good(recorder: Recorder, grace_hopper: np.ndarray, astronaut: np.ndarray) -> None:
    def problem(picture: np.ndarray | Tensor, **limits: float) -> str:
        recorder.limits = Limits(**limits)
        return recorder.look(torch.as_tensor(picture).clone()).problem

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
    looks = [recorder.look(torch.from_numpy(photo)) for photo in photos]
    assert [look.problem for look in looks].count("") == len(photos) - 1  # one is 66 pixels high
    for photo, look in zip(photos, looks, strict=True):
        if not look.problem:
            _, top, _, bottom = look.faces[0].box
            again = recorder.look(blurred(photo, 0.02 * (bottom - top)))
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
            frame: Frame, look: Look, session: Session, *, keys: Iterator[str] = keys, seen: list[int] = seen
        ) -> str:
            assert len(look.faces) == 1
            seen.append(frame.number)
            return next(keys)

        session = Session(PROMPTS, TIMING)
        record(Video(film).frames(), session, recorder, show, live=live)
        assert seen == shown and session.ended


def test_a_camera_that_stops(film: Path, tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    camera = Camera(str(film))  # OpenCV reads a file as it reads a camera
    numbers = []
    with pytest.raises(CaptureError, match=r"film\.mp4 gives no pictures any more \(after 32\): was it unplugged"):
        for frame in camera.frames():
            numbers.append(frame.number)
            assert frame.picture.shape == (480, 480, 3) and frame.picture.dtype == torch.uint8
            if frame.number == 0:
                first = next(Video(film).frames()).picture
                assert (first.float() - frame.picture.float()).abs().mean() < 3  # RGB, not BGR
    camera.close()
    assert numbers == list(range(32))
    with pytest.raises(CaptureError, match=r"cannot be opened: see that it is plugged in"):
        Camera(str(tmp_path / "absent.mp4"))


def test_a_video_in_a_window_plays_at_its_speed() -> None:
    from time import perf_counter

    picture = torch.zeros(1, 1, 3, dtype=torch.uint8)
    began = perf_counter()
    assert len(list(paced(Frame(number, number / 50, picture) for number in range(11)))) == 11
    assert 0.2 <= perf_counter() - began < 1


# --- the window's picture ----------------------------------------------------------------------------------------


def test_the_view(recorder: Recorder, grace_hopper: np.ndarray) -> None:
    picture = torch.from_numpy(grace_hopper.copy())
    look = recorder.look(picture)
    session = Session(PROMPTS, TIMING)
    session.advance(0)
    counting = View(mirrored=False).draw(picture, look, session)
    assert counting.shape == (STAGE[1] + BAND, STAGE[0], 3) and counting.dtype == torch.uint8
    bar = STAGE[1] + 110, slice(30, STAGE[0] - 30)
    assert counting[bar].unique(dim=0).shape == (1, 3)  # empty
    session.advance(1.25)
    recording = View(mirrored=False).draw(picture, look, session)
    assert (recording[bar] == torch.tensor([240, 84, 84])).all(dim=1).float().mean() == pytest.approx(0.5, abs=0.01)
    mirrored = View(mirrored=True).draw(picture, look, session)
    left = (STAGE[0] - 460) // 2  # the photo is 461 wide there
    corner = slice(440, 520), slice(left + 10, left + 60)
    opposite = slice(440, 520), slice(left + 401, left + 451)
    difference = mirrored[corner].float() - recording[opposite].flip(1).float()
    unmirrored = mirrored[corner].float() - recording[corner].float()
    assert difference.abs().mean() < 0.5 * unmirrored.abs().mean()
    assert (mirrored[corner].float() - recording[corner].float()).abs().mean() > 20


def test_a_mirrored_face(recorder: Recorder, grace_hopper: np.ndarray) -> None:
    face = recorder.look(torch.from_numpy(grace_hopper.copy())).faces[0]
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
    assert lacking(prompt_font("smile", 44), "smile") == 0
    assert lacking(prompt_font("visage étonné, Лицо", 44, dejavu), "visage étonné, Лицо") == 0
    assert lacking(prompt_font("驚いた", 44, dejavu), "驚いた") == 3
    with pytest.raises(CaptureError, match="the font cannot be read"):
        View(mirrored=False, font=__file__)


# --- the command -------------------------------------------------------------------------------------------------


@pytest.fixture
def capture(tmp_path: Path) -> Callable[..., int]:
    (tmp_path / "prompts.txt").write_text("\n".join(PROMPTS))

    def run(*arguments: str) -> int:
        fixed = ["--prompts", str(tmp_path / "prompts.txt"), "--out", str(tmp_path / "a.db"), "--text-encoder=random"]
        return main(["capture", *fixed, "--no-window", "--countdown=0.5", "--seconds=1.5", *arguments])

    return run


def test_the_command_twice(
    film: Path, tmp_path: Path, capture: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    for new in (4, 0):
        assert capture("--video", str(film), "--group", "anna") == 0
        printed = capsys.readouterr().out
        assert "2. a person looking sad: 1 good frame" in printed and "8 refused: 8 × blurred" in printed
        assert f"{new} new samples" in printed and "ended during" not in printed
    with Store(tmp_path / "a.db") as store:
        (samples,) = store.iterate()
    assert samples.sources == [f"film.mp4#frame={number}" for number in (4, 8, 12, 28)]
    assert len(set(samples.groups)) == 1
    assert re.fullmatch(r"anna session \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", samples.groups[0])


def test_a_video_that_is_too_short(film: Path, capture: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert capture("--video", str(film), "--countdown=3") == 0
    assert "film.mp4 ended during prompt 1 of 2" in capsys.readouterr().out


def test_what_cannot_be_recorded(
    film: Path, tmp_path: Path, capture: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    grey = (Frame(number, number / 8, torch.full((64, 64, 3), 90, dtype=torch.uint8)) for number in range(32))
    (tmp_path / "grey.mp4").write_bytes(write_video(grey, 8).getvalue())
    for arguments, message in (
        (["--video", str(tmp_path / "grey.mp4")], "none of the 24 frames that were due is good (no face was found)"),
        (["--video", str(film), "--min-face", "900"], "(mostly: face too small)"),
        (["--video", str(tmp_path / "absent.mp4")], "absent.mp4: the video cannot be read"),
        (["--video", str(film), "--out", "a.npz"], "--out a.npz must end in .db"),
        (["--video", str(film), "--count", "0"], "0 is not at least 1"),
        (["--camera", "987"], "camera 987 cannot be opened"),
    ):
        if "--count" in arguments:
            with pytest.raises(SystemExit):
                capture(*arguments)
        else:
            assert capture(*arguments) == 1
        assert message in capsys.readouterr().err


def test_a_real_video(
    shared_data: Path, tmp_path: Path, capture: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    video = shared_data / "video" / "expressive_face.mp4"
    assert capture("--video", str(video), "--per-second", "4") == 0
    assert "12 new samples" in capsys.readouterr().out
    assert capture("--video", str(video), "--per-second", "4") == 0
    assert "0 new samples" in capsys.readouterr().out
    assert capture("--video", str(shared_data / "video" / "no_face.mp4")) == 1
    assert "no face was found" in capsys.readouterr().err
