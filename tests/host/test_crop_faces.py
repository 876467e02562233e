"""Crop Faces and Paste Faces in a real ComfyUI."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from .server import Graph, Host, entry
from .test_face_perception import perceive, photo, with_gap
from .test_perception_info import OUTPUTS

CROPPED = {"image": ["picture", 0], "perception": ["perception", 0], "crop_size": 256, "margin": 0.4, "upright": True}
PASTED = {
    "image": ["picture", 0],
    "crops": ["crop", 1],
    "new_faces": ["work", 0],
    "part": "face oval",
    "grow": 0.05,
    "feather": 0.15,
}


def there_and_back(graph: Graph, **pasting: Any) -> Graph:
    """The faces of a graph's picture, cropped, inverted and pasted back."""
    return graph | {
        "crop": entry("PerceptionClip_CropFaces", **CROPPED),
        "work": entry("ImageInvert", image=["crop", 0]),
        "paste": entry("PerceptionClip_PasteFaces", **PASTED | pasting),
        "show": entry("PreviewImage", images=["paste", 0]),
    }


def test_a_worked_on_face_is_pasted_back_in_place(host: Host, photos: dict[str, str], astronaut: np.ndarray) -> None:
    graph = there_and_back(perceive(photo(photos["astronaut"])))
    result = host.run(graph)
    assert result.text("crop").startswith("1 crop of 256 × 256, cut from 19")
    assert result.text("paste") == "1 face pasted into 1 picture"
    pasted = result.picture("show").astype(int)
    changed = (pasted != astronaut).any(axis=2)
    assert 0.02 < changed.mean() < 0.06
    nose = np.s_[100:110, 220:230]
    assert np.abs(pasted[nose] - (255 - astronaut[nose].astype(int))).mean() < 8
    unchanged = there_and_back(perceive(photo(photos["astronaut"])), new_faces=["crop", 0])
    assert np.array_equal(host.run(unchanged).picture("show"), astronaut)


def test_the_face_seen_in_its_crop_is_the_one_perceived_there(host: Host, photos: dict[str, str]) -> None:
    graph = there_and_back(perceive(photo(photos["astronaut"])))
    graph |= {
        "upscaled": entry(
            "ImageScale", image=["crop", 0], upscale_method="bicubic", width=512, height=512, crop="disabled"
        ),
        "drawn": entry("PerceptionClip_DrawPerception", image=["crop", 0], perception=["crop", 2]),
        "again": entry("PerceptionClip_FacePerception", image=["crop", 0]),
        "masked": entry("MaskToImage", mask=["crop", 3]),
        "sketch": entry("PreviewImage", images=["drawn", 0]),
        "oval": entry("PreviewImage", images=["masked", 0]),
    }
    graph["paste"]["inputs"]["new_faces"] = ["upscaled", 0]
    shown = ("yaw", "roll", "x", "y", "width", "height")
    for info, source in (("seen", ["crop", 2]), ("found", ["again", 0])):
        graph[info] = entry("PerceptionClip_PerceptionInfo", perception=source, face=0, missing="zeros")
        graph |= {f"{info} {name}": entry("PreviewAny", source=[info, OUTPUTS.index(name)]) for name in shown}
    result = host.run(graph)
    seen, found = (np.array([float(result.text(f"{info} {name}")) for name in shown]) for info in ("seen", "found"))
    assert np.abs(seen - found).max() < 8 and found[4:].min() > 100  # degrees, and pixels of 256
    assert result.picture("sketch").shape == (256, 256, 3) and "1 face in 1 picture" in result.text("again")
    assert 0.1 < (result.picture("oval") > 127).mean() < 0.3
    assert result.text("paste") == "1 face pasted into 1 picture"


def test_without_a_face_the_work_does_not_run_and_the_picture_passes_on(host: Host, photos: dict[str, str]) -> None:
    graph = there_and_back(perceive(photo(photos["no_face"])))
    graph["work"] = entry("PerceptionClip_PasteFaces", **PASTED | {"new_faces": ["crop", 0]})  # it tells when it ran
    result = host.run(graph)
    assert "paste" in result.entry["outputs"] and "work" not in result.entry["outputs"]
    assert result.text("crop") == "no face: the crop is gray, and Paste Faces returns the pictures unchanged"
    assert result.text("paste") == "no face: the pictures pass through unchanged"
    assert result.picture("show").shape == (96, 96, 3)
    graph = there_and_back(perceive(photo(photos["no_face"]))) | {"look": entry("PreviewImage", images=["work", 0])}
    watched = host.run(graph)  # now the work does run
    assert watched.picture("look").shape == (256, 256, 3)
    assert np.array_equal(watched.picture("show"), result.picture("show"))


def test_the_pictures_of_a_batch_that_have_a_face_change(host: Host, photos: dict[str, str]) -> None:
    result = host.run(there_and_back(perceive(with_gap(photos))))
    assert result.text("paste") == "2 faces pasted into 3 pictures"
    first, wall, last = (result.picture("show", index) for index in range(3))
    assert np.array_equal(first, last) and (wall == wall[0, 0]).all()
    assert first.std() > 0


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"new_faces": ["two", 0]}, "new_faces has 2 pictures, but crops has 1 face; connect the crops of the same"),
        ({"new_faces": ["flat", 0]}, "new_faces is 256 × 128 pixels, but crops are square; connect"),
        ({"image": ["flat", 0]}, "image is 256 × 128 pixels, but face 0 was detected in a picture of 512 × 512"),
    ],
)
def test_what_does_not_belong_together_is_named(
    host: Host, photos: dict[str, str], changed: dict[str, Any], message: str
) -> None:
    graph = there_and_back(perceive(photo(photos["astronaut"])), **changed) | {
        "two": entry("RepeatImageBatch", image=["crop", 0], amount=2),
        "flat": entry("ImageScale", image=["crop", 0], upscale_method="area", width=256, height=128, crop="disabled"),
    }
    assert message in host.run(graph).message
