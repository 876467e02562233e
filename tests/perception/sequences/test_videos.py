from __future__ import annotations

from io import BytesIO
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from perception_clip.perception.sequences.videos import Frame, Video, VideoError, VideoInMemory, write_video


def make_video(path: Path, frames: list[np.ndarray], rate: int = 10, rotation: int = 0) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.bit_rate = 4_000_000
        if rotation:
            stream.set_display_rotation(rotation)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def grays(count: int) -> list[np.ndarray]:
    return [np.full((48, 64, 3), 10 * number, dtype=np.uint8) for number in range(count)]


def test_every_nth_frame(tmp_path: Path) -> None:
    video = Video(make_video(tmp_path / "a.mp4", grays(20)))
    frames = list(video.frames(every=6))
    assert [frame.number for frame in frames] == [0, 6, 12, 18]
    assert [frame.time for frame in frames] == pytest.approx([0, 0.6, 1.2, 1.8])
    for frame in frames:
        assert frame.picture.shape == (48, 64, 3) and frame.picture.dtype == torch.uint8
        assert frame.picture.float().mean().item() == pytest.approx(10 * frame.number, abs=3)
    assert (video.rate, video.frame_count, video.problem) == (10, 20, "")
    assert [frame.number for frame in video.frames(seconds=0.5)] == [0, 5, 10, 15]
    assert len(list(video.frames())) == len(list(video.frames())) == 20  # it can be read again


def test_two_per_second_at_a_variable_frame_rate(tmp_path: Path) -> None:
    times = [
        *(number / 30 for number in range(60)),
        *(2 + number for number in range(8)),
    ]  # two seconds fast, eight slow
    frames = (Frame(number, time, torch.zeros(48, 64, 3, dtype=torch.uint8)) for number, time in enumerate(times))
    write_video(tmp_path / "a.mp4", frames, rate=30)
    chosen = [frame.time for frame in Video(tmp_path / "a.mp4").frames(seconds=0.5)]
    assert chosen == pytest.approx([0, 0.5, 1, 1.5, *range(2, 10)], abs=0.01)


def test_frames_are_turned_upright(tmp_path: Path) -> None:
    if not hasattr(av.VideoStream, "set_display_rotation"):
        pytest.skip("this version of PyAV cannot write a rotated video")
    frame = np.zeros((48, 64, 3), dtype=np.uint8)
    frame[:24] = 255  # white above black; turned by a quarter counter-clockwise, white is left
    picture = next(Video(make_video(tmp_path / "a.mp4", [frame] * 3, rotation=90)).frames()).picture
    assert picture.shape == (64, 48, 3)
    assert picture[:, :20].float().mean() > 240 and picture[:, -20:].float().mean() < 15


def test_real_video(shared_data: Path) -> None:
    video = Video(shared_data / "video" / "expressive_face.mp4")
    frames = list(video.frames(seconds=0.5))
    assert [frame.number for frame in frames] == list(range(0, 472, 12))
    assert frames[0].picture.shape == (360, 640, 3)
    assert frames[-1].time == pytest.approx(468 / 23.976, abs=0.01)


def test_a_broken_middle_loses_only_what_is_broken(shared_data: Path) -> None:
    content = bytearray((shared_data / "video" / "expressive_face.mp4").read_bytes())
    whole = [frame.picture for frame in Video(BytesIO(bytes(content))).frames()]
    content[800_000:830_000] = np.random.default_rng(0).integers(0, 256, 30_000, dtype=np.uint8).tobytes()
    video = Video(BytesIO(bytes(content)))
    frames = list(video.frames())
    assert 440 < len(frames) < 472
    assert video.problem.startswith(f"only {len(frames)} of 472 frames could be read; the rest is damaged or missing")
    assert [frame.number for frame in frames] == list(range(len(frames)))
    assert all(torch.equal(frame.picture, picture) for frame, picture in zip(frames[:100], whole[:100], strict=True))
    assert torch.equal(frames[-1].picture, whole[-1])


def test_a_video_that_ends_early(shared_data: Path) -> None:
    content = (shared_data / "video" / "expressive_face.mp4").read_bytes()
    video = Video(BytesIO(content[:900_000]))
    frames = list(video.frames())
    assert 200 < len(frames) < 300
    assert video.problem.startswith(f"only {len(frames)} of 472 frames could be read")


def test_videos_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("this is no video " * 50)
    with pytest.raises(VideoError, match=r"text\.mp4: the video cannot be read"):
        Video(tmp_path / "text.mp4")
    with pytest.raises(VideoError, match=r"missing\.mp4: the video cannot be read"):
        Video(tmp_path / "missing.mp4")
    with pytest.raises(VideoError, match="the video: the video cannot be read"):
        Video(BytesIO())
    video = Video(make_video(tmp_path / "a.mp4", grays(2)))
    with pytest.raises(VideoError, match="use 1 or more"):
        next(video.frames(every=0))
    with av.open(str(tmp_path / "sound.mkv"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), dtype=np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(VideoError, match="has no video in it"):
        Video(tmp_path / "sound.mkv")


def test_a_video_without_a_readable_frame(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", grays(20))
    content = bytearray(path.read_bytes())
    start = content.find(b"mdat") + 4
    content[start : content.find(b"moov") - 4] = bytes(content.find(b"moov") - 4 - start)
    with pytest.raises(VideoError, match="no frame of the video can be read"):
        list(Video(BytesIO(bytes(content))).frames())


def test_written_videos_keep_pictures_and_uneven_times(tmp_path: Path, astronaut: np.ndarray) -> None:
    moments = [0.0, 0.1, 0.15, 0.5, 0.6]
    frames = [
        Frame(number, time, torch.tensor(astronaut[number : number + 257, : 300 + number]))
        for number, time in enumerate(moments)
    ]
    write_video(tmp_path / "written.mp4", iter(frames), rate=10.0)
    video = Video(tmp_path / "written.mp4")
    again = list(video.frames())
    assert video.problem == "" and [frame.time for frame in again] == pytest.approx(moments, abs=1e-3)
    for frame, original in zip(again, frames, strict=True):
        assert frame.picture.shape == (256, 300, 3)  # the first frame's size, without its odd row
        expected = original.picture[:256].permute(2, 0, 1)[None].float()
        expected = torch.nn.functional.interpolate(expected, (256, 300), mode="bilinear")[0].permute(1, 2, 0)
        assert (frame.picture.float() - expected).abs().mean() < 7
    with pytest.raises(VideoError, match="no frames"):
        write_video(tmp_path / "empty.mp4", iter([]), rate=10.0)


def test_a_part_of_a_video(tmp_path: Path) -> None:
    path = make_video(tmp_path / "a.mp4", grays(20))
    video = Video(path, start=0.5, duration=1.0)
    frames = list(video.frames())
    assert [round(float(frame.picture.float().mean()) / 10) for frame in frames] == list(range(5, 15))
    assert [frame.number for frame in frames] == list(range(10))
    assert frames[0].time == pytest.approx(0) and video.frame_count == 10 and video.problem == ""
    rest = Video(path, start=1.5)
    assert len(list(rest.frames())) == rest.frame_count == 5


def test_frames_that_an_edit_list_skips_are_not_damaged(tmp_path: Path) -> None:
    """As in videos that were cut without encoding them anew: the frames before the cut are there, but not shown."""
    whole, cut = make_video(tmp_path / "whole.mp4", grays(20)), tmp_path / "cut.mp4"
    with av.open(str(whole)) as source, av.open(str(cut), "w", options={"avoid_negative_ts": "disabled"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                shift = round(0.7 / packet.time_base)
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
                target.mux(packet)
    with av.open(str(cut)) as container:
        assert container.streams.video[0].frames == 20
    video = Video(cut)
    frames = list(video.frames())
    assert [round(float(frame.picture.float().mean()) / 10) for frame in frames] == list(range(7, 20))
    assert [frame.time for frame in frames] == pytest.approx([number / 10 for number in range(13)])
    assert (video.frame_count, video.problem) == (13, "")


def test_pictures_in_memory_are_a_video(astronaut: np.ndarray) -> None:
    batch = torch.from_numpy(astronaut)[None].float().div(255).repeat(3, 1, 1, 1)
    video = VideoInMemory(batch, rate=8.0)
    assert video.frame_count == 3 and video.problem == ""
    frames = list(video.frames())
    assert [frame.time for frame in frames] == [0, 0.125, 0.25]
    assert torch.equal(frames[2].picture, torch.from_numpy(astronaut))
