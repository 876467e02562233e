"""Videos perceived and drawn on: each frame with its own faces, others refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from perception_clip.perception.drawing.overlay import Overlay, draw_batch
from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.perception.sequences.run import FacesOfFrames, draw_frames, perceive_video
from perception_clip.perception.sequences.videos import Frame, Video, VideoInMemory, write_video
from perception_clip.perception.vector import Perceptions


@pytest.fixture(scope="module")
def video(astronaut: np.ndarray) -> VideoInMemory:
    """Her face in the first and the third of three pictures."""
    pictures = torch.from_numpy(np.stack([astronaut, np.full_like(astronaut, 127), astronaut])).float() / 255
    return VideoInMemory(pictures, 24.0)


@pytest.fixture(scope="module")
def perceptions(video: VideoInMemory) -> Perceptions:
    return perceive_video(video, PerceptionPipeline())


def test_frames_are_watched_while_they_are_perceived(video: VideoInMemory, perceptions: Perceptions) -> None:
    seen: list[Frame] = []
    again = perceive_video(video, PerceptionPipeline(), watch=seen.append)
    assert torch.equal(again.vectors, perceptions.vectors)
    assert [frame.number for frame in seen] == [0, 1, 2]


def test_each_frame_has_its_own_faces(video: VideoInMemory, perceptions: Perceptions) -> None:
    done: list[int] = []
    drawn = list(draw_frames(video, perceptions, Overlay(tracks=True), done.append))
    expected = draw_batch(video.pictures, perceptions, tracks=True)
    assert all(torch.equal(frame.picture, picture) for frame, picture in zip(drawn, expected, strict=True))
    assert done == [1, 2, 3] and [frame.time for frame in drawn] == [number / 24 for number in range(3)]
    shuffled = FacesOfFrames(perceptions.select([1, 0]))
    assert [[face.frame for face in shuffled[frame]] for frame in range(3)] == [[0], [], [2]]


@pytest.mark.parametrize(
    ("pictures", "message"),
    [
        (1, "perception is of 3 pictures, but there is 1 to draw on"),
        (4, "perception is of 3 pictures, but there are 4 to draw on"),
    ],
)
def test_another_number_of_pictures_is_refused(
    video: VideoInMemory, perceptions: Perceptions, pictures: int, message: str
) -> None:
    other = VideoInMemory(video.pictures[[0] * pictures], 24.0)
    with pytest.raises(ValueError, match=message):
        next(draw_frames(other, perceptions, Overlay()))


@pytest.mark.parametrize(("rows", "there"), [([0, 1], "there are 2"), ([0, 1, 2, 2, 2], "there are 4 or more")])
def test_a_file_of_another_length_is_refused(
    tmp_path: Path, video: VideoInMemory, perceptions: Perceptions, rows: list[int], there: str
) -> None:
    write_video(tmp_path / "other.mp4", VideoInMemory(video.pictures[rows], 24.0).frames(), 24.0)
    with pytest.raises(ValueError, match=f"perception is of 3 pictures, but {there} to draw on"):
        list(draw_frames(Video(tmp_path / "other.mp4"), perceptions, Overlay()))


def test_pictures_of_another_size_are_refused_for_faces_that_were_seen(
    video: VideoInMemory, perceptions: Perceptions
) -> None:
    smaller = VideoInMemory(video.pictures[:, :500], 24.0)
    with pytest.raises(ValueError, match="picture 0 is 512 × 500 pixels, but its face was .* of 512 × 512"):
        next(draw_frames(smaller, perceptions, Overlay()))
    filled_in = replace(perceptions, scores=torch.zeros(2))
    assert len(list(draw_frames(smaller, filled_in, Overlay()))) == 3
