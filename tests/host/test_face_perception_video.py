"""Face Perception Video in a real ComfyUI."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from perception_clip.perception.sequences.videos import Frame, Video, write_video

from .server import Graph, Host, entry

RATE = 12.0


def put_video(host: Host, name: str, pictures: Sequence[np.ndarray]) -> str:
    frames = (Frame(i, i / RATE, torch.tensor(picture)) for i, picture in enumerate(pictures))
    write_video(host.base / "input" / name, frames, RATE)
    return name


@pytest.fixture(scope="module")
def clip(host: Host, astronaut: np.ndarray) -> str:
    """Ten frames: her face moves to the right by 8 pixels each; the fifth and sixth show none."""
    pictures = [astronaut[20:320, 100 - 8 * i : 420 - 8 * i] for i in range(10)]
    pictures[4] = pictures[5] = np.full_like(pictures[0], 127)
    return put_video(host, "clip.mp4", pictures)


def perceive(file: str, **widgets: Any) -> Graph:
    inputs = {"max_faces": 10, "min_confidence": 0.5, "missing": "skip", "video": ["video", 0]} | widgets
    return {"video": entry("LoadVideo", file=file), "perception": entry("PerceptionClip_FacePerceptionVideo", **inputs)}


def numbers(graph: Graph, *outputs: int) -> Graph:
    shown = {f"out{i}": entry("PreviewAny", source=["perception", i]) for i in outputs}
    return graph | shown


def test_faces_are_followed_counted_and_shown(host: Host, clip: str) -> None:
    result = host.run(numbers(perceive(clip), 1, 2, 3))
    assert result.text("perception").splitlines()[0].startswith("8 faces in 10 pictures; the first looks happy")
    assert "no face in 2 pictures (counted from 0): 4, 5" in result.text("perception")
    assert [result.text(f"out{i}") for i in (1, 2)] == ["8", "10"] and float(result.text("out3")) == RATE
    assert len(result.output("perception")["images"]) == 10
    for index, frame in enumerate(Video(host.base / "input" / clip).frames()):
        changed = (frame.picture.numpy() != result.picture("perception", index)).any(axis=2)
        assert 0.003 < changed.mean() < 0.5


def test_a_longer_video_is_previewed_by_every_fourth_frame(host: Host, astronaut: np.ndarray) -> None:
    name = put_video(host, "forty.mp4", [astronaut[:256, :256]] * 40)
    assert len(host.run(perceive(name)).output("perception")["images"]) == 10


def test_frames_without_a_face_are_filled_in(host: Host, clip: str) -> None:
    result = host.run(numbers(perceive(clip, missing="previous"), 1))
    assert result.text("out1") == "10"
    assert "no face in 2 pictures (counted from 0): 4, 5\nfilled in: previous" in result.text("perception")


def test_every_widget_reaches_the_video(host: Host, clip: str) -> None:
    for widgets in (
        *({"detector": "standard"}, {"detector": "thorough"}, {"order": "left to right"}, {"min_confidence": 0.6}),
        *({"smoothing": 0.5}, {"face_index": 0}, {"max_faces": 1}),
    ):
        assert host.run(perceive(clip, **widgets)).text("perception").startswith("8 faces in 10 pictures")
    for widgets in ({"face_index": 1}, {"min_confidence": 1.0}):
        assert host.run(perceive(clip, **widgets)).text("perception").startswith("0 faces in 10 pictures")
    message = host.run(perceive(clip, missing="error")).message
    assert "no face in 2 of 10 pictures (counted from 0: 4, 5)" in message


def test_another_emotion_model_and_a_neutral_face(
    host: Host, clip: str, photos: dict[str, str], emotion_classifier: str
) -> None:
    result = host.run(perceive(clip, emotion_model=emotion_classifier))
    assert result.text("perception").startswith("8 faces in 10 pictures; the first looks disgust")
    graph = perceive(clip, neutral=["calm", 0]) | {
        "photo": entry("LoadImage", image=photos["astronaut"]),
        "calm": entry("PerceptionClip_FacePerception", image=["photo", 0]),
    }
    assert host.run(graph).text("perception").startswith("8 faces in 10 pictures")


def test_damaged_and_empty_videos(host: Host, clip: str) -> None:
    content = (host.base / "input" / clip).read_bytes()
    (host.base / "input" / "broken.mp4").write_bytes(content[: len(content) // 3])
    assert "cannot be read" in host.run(perceive("broken.mp4")).message
    (host.base / "input" / "text.mp4").write_text("no video")
    assert "cannot be read" in host.run(perceive("text.mp4")).message
    damaged = bytearray(content)
    damaged[len(content) // 2 : len(content) // 2 + 4000] = np.random.default_rng(0).bytes(4000)
    (host.base / "input" / "damaged.mp4").write_bytes(damaged)
    assert "frames could be read; the rest is damaged or missing" in host.run(perceive("damaged.mp4")).text(
        "perception"
    )


def test_a_real_clip(host: Host, shared_data: Path) -> None:
    (host.base / "input" / "real.mp4").write_bytes((shared_data / "video" / "expressive_face.mp4").read_bytes())
    result = host.run(perceive("real.mp4", missing="error", smoothing=0.3))
    assert result.text("perception").startswith("472 faces in 472 pictures")
