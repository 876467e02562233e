"""Draw Perception in a real ComfyUI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from perception_clip.perception.sequences.videos import Video

from .server import Graph, Host, entry
from .test_face_perception import perceive, photo, repeated, with_gap
from .test_face_perception_video import perceive as perceive_video
from .test_face_perception_video import put_video
from .websocket import listen


def drawing(graph: Graph, **inputs: Any) -> Graph:
    inputs = {"perception": ["perception", 0]} | inputs
    return graph | {"draw": entry("PerceptionClip_DrawPerception", **inputs)}


def drawn_image(graph: Graph, **inputs: Any) -> Graph:
    shown = {"show": entry("PreviewImage", images=["draw", 0])}
    return drawing(graph, **{"image": ["picture", 0], **inputs}) | shown


def drawn_video(graph: Graph, **inputs: Any) -> Graph:
    saving = {"video": ["draw", 1], "filename_prefix": "drawn", "format": "auto", "codec": "auto"}
    graph = drawing(graph, **{"video": ["video", 0], **inputs})
    return graph | {"save": entry("SaveVideo", **saving)}


@pytest.fixture(scope="module")
def clip(host: Host, astronaut: np.ndarray) -> str:
    """Six frames in which her face moves; the fourth shows none."""
    pictures = [astronaut[20:320, 100 - 8 * i : 420 - 8 * i] for i in range(6)]
    pictures[3] = np.full_like(pictures[0], 127)
    return put_video(host, "to_draw_on.mp4", pictures)


def left_over(host: Host) -> list[Path]:
    return list((host.base / "user" / "__perception_clip" / "videos").iterdir())


def test_pictures_are_drawn_on(host: Host, photos: dict[str, str], astronaut: np.ndarray) -> None:
    plain = host.run(drawn_image(perceive(photo(photos["astronaut"])), tracks=False))
    assert np.array_equal(plain.picture("show"), plain.picture("perception"))  # as the node itself shows it
    assert 0.005 < (plain.picture("show") != astronaut).any(axis=2).mean() < 0.5
    for changed in ({"dense_mesh": True}, {"tracks": True}):
        other = host.run(drawn_image(perceive(photo(photos["astronaut"])), **{"tracks": False} | changed))
        assert (other.picture("show") != plain.picture("show")).any(axis=2).sum() > 20


def test_all_pictures_of_a_batch_are_drawn_on(host: Host, photos: dict[str, str]) -> None:
    result = host.run(drawn_image(perceive(repeated(photos["astronaut"], 20))))
    assert len(result.output("show")["images"]) == 20
    assert np.array_equal(result.picture("show", 15), result.picture("perception", 15))
    gap = host.run(drawn_image(perceive(with_gap(photos))))
    wall = gap.picture("show", 1)
    assert 0 < (wall != wall[0, 0]).any(axis=2).mean() < 0.1  # no face: only a line of words


def test_a_video_is_drawn_on_and_leaves_no_file(host: Host, clip: str) -> None:
    result = host.run(drawn_video(perceive_video(clip)))
    [file] = result.output("save")["images"]
    drawn = Video(host.base / "output" / file["subfolder"] / file["filename"])
    source = Video(host.base / "input" / clip)
    for one, plain in zip(drawn.frames(), source.frames(), strict=True):
        changed = (one.picture.int() - plain.picture.int()).abs().amax(dim=2) > 40
        assert 0.001 < changed.float().mean() < 0.5
        assert one.time == pytest.approx(plain.time, abs=1e-3)
    [kept] = left_over(host)  # while ComfyUI keeps the node's result
    assert kept.stat().st_mode & 0o077 == 0
    host.free()
    host.run(perceive_video(clip))  # the queue drops the results before it runs
    assert left_over(host) == []


def test_a_video_made_of_pictures_is_drawn_on(host: Host, photos: dict[str, str]) -> None:
    graph = perceive_video("") | {
        "photo": entry("LoadImage", image=photos["astronaut"]),
        "video": entry("CreateVideo", images=["photo", 0], fps=5.0),
    }
    assert host.run(drawn_video(graph)).output("save")["images"]


def test_one_of_image_and_video_is_linked(host: Host, photos: dict[str, str], clip: str) -> None:
    graph = perceive(photo(photos["astronaut"]))
    alone = drawn_image(graph)
    del alone["draw"]["inputs"]["image"]
    assert "neither image nor video is connected" in host.run(alone).message
    both = drawn_image(graph | {"video": perceive_video(clip)["video"]}, video=["video", 0])
    assert "image and video are both connected" in host.run(both).message


def test_the_other_output_says_which_to_use(host: Host, photos: dict[str, str], clip: str) -> None:
    """ComfyUI tells the browser, and not its history."""
    saving = {"video": ["draw", 1], "filename_prefix": "drawn", "format": "auto", "codec": "auto"}
    graph = drawing(perceive(photo(photos["astronaut"])), image=["picture", 0])
    said = told(host, graph | {"save": entry("SaveVideo", **saving)})
    assert "Draw Perception has no video because its image input is connected. Use its image output" in said
    graph = drawing(perceive_video(clip), video=["video", 0])
    said = told(host, graph | {"show": entry("PreviewImage", images=["draw", 0])})
    assert "Draw Perception has no image because its video input is connected. Use its video output" in said


def told(host: Host, graph: Graph) -> str:
    """The error that the browser is told of."""
    with listen(host.port, "a-drawer", silence=30) as payloads:
        host.wait(host.queue(graph, client="a-drawer"))
        return next(payload.decode() for payload in payloads if b'"execution_error"' in payload)


def test_other_pictures_than_those_perceived_are_refused(host: Host, photos: dict[str, str], clip: str) -> None:
    graph = perceive(repeated(photos["astronaut"], 3))
    message = host.run(drawn_image(graph, image=["small", 0])).message
    assert "perception is of 3 pictures, but there is 1 to draw on" in message
    graph = perceive(photo(photos["astronaut"])) | {"small": repeated("", 1)["small"]}
    graph["small"]["inputs"]["image"] = ["picture", 0]
    message = host.run(drawn_image(graph, image=["small", 0])).message
    assert "picture 0 is 128 × 128 pixels, but its face was found in a picture of 512 × 512" in message
    before = len(left_over(host))
    graph = perceive_video(clip) | {"other": entry("LoadImage", image=photos["astronaut"])}
    graph["perception"] = entry("PerceptionClip_FacePerception", image=["other", 0])
    assert "picture 0 is 320 × 300 pixels" in host.run(drawn_video(graph)).message
    assert len(left_over(host)) <= before  # nothing half-written
