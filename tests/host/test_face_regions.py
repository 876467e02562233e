"""Face Regions, and faces that act in place, in a real ComfyUI with a picture of two people."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from .server import Graph, Host, entry
from .test_face_perception import perceive, photo
from .test_text_encode_face import both, checkpoint_of, encoding

HEIGHT, WIDTH = 128, 256


@pytest.fixture(scope="module")
def two_people(host: Host, astronaut: np.ndarray, grace_hopper: np.ndarray) -> str:
    return host.put_picture("two_people.png", side_by_side(astronaut, grace_hopper))


def side_by_side(astronaut: np.ndarray, grace_hopper: np.ndarray) -> np.ndarray:
    """Both people in one picture, (HEIGHT, WIDTH, 3)."""
    crops = astronaut[0:280, 84:364], grace_hopper[40:410, 76:446]
    people = [np.asarray(Image.fromarray(crop).resize((HEIGHT, HEIGHT))) for crop in crops]
    return np.concatenate(people, axis=1)


def regions(graph: Graph, **inputs: Any) -> Graph:
    inputs = {
        "perception": ["perception", 0],
        "part": "head",
        "masks": "per picture",
        "grow": 0.0,
        "feather": 0.0,
    } | inputs
    return graph | {
        "regions": entry("PerceptionClip_FaceRegions", **inputs),
        "image": entry("MaskToImage", mask=["regions", 0]),
        "shown": entry("PreviewImage", images=["image", 0]),
        "boxes": entry("Probe_Boxes", boxes=["regions", 1]),
    }


def test_masks_and_boxes_of_two_people(host: Host, two_people: str) -> None:
    graph = perceive(photo(two_people), order="left to right")
    result = host.run(regions(graph))
    assert result.text("regions") == f"2 faces in 1 picture\n1 mask of {WIDTH} × {HEIGHT}"
    [boxes] = json.loads(result.text("boxes"))
    whole = result.picture("shown")[..., 0] / 255
    assert len(boxes) == 2 and whole.shape == (HEIGHT, WIDTH)
    for box in boxes:
        inside = whole[box["y"] : box["y"] + box["height"], box["x"] : box["x"] + box["width"]]
        assert inside[[0, -1]].any(axis=1).all() and inside[:, [0, -1]].any(axis=0).all() and inside.mean() > 0.7
    assert boxes[0]["x"] + boxes[0]["width"] < WIDTH / 2 < boxes[1]["x"]

    graph["large"] = entry("ImageScaleBy", image=["picture", 0], upscale_method="area", scale_by=2.0)
    larger = host.run(regions(graph, image=["large", 0], masks="per face"))
    assert larger.text("regions") == f"2 faces in 1 picture\n2 masks of {2 * WIDTH} × {2 * HEIGHT}"
    first, second = (larger.picture("shown", index)[..., 0] / 255 for index in (0, 1))
    small = np.maximum(first, second).reshape(HEIGHT, 2, WIDTH, 2).mean(axis=(1, 3))
    assert np.abs(small - whole).max() < 0.02
    assert larger.picture("regions", 1).shape == (2 * HEIGHT, 2 * WIDTH, 3)
    graph["large"] = entry("ImageCrop", image=["picture", 0], width=HEIGHT, height=HEIGHT, x=0, y=0)
    assert f"⚠ masks are stretched: image is {HEIGHT} × {HEIGHT}, but faces were detected in {WIDTH} × {HEIGHT}. " in (
        host.run(regions(graph, image=["large", 0])).text("regions")
    )


def test_a_picture_without_a_face_has_an_empty_mask(host: Host, photos: dict[str, str]) -> None:
    graph = perceive(photo(photos["no_face"]))
    for masks in ("per picture", "per face"):
        result = host.run(regions(graph, masks=masks, image=["picture", 0]))
        assert result.text("regions") == "0 faces in 1 picture\n1 mask of 96 × 96\n⚠ no face in picture 0"
        assert not result.picture("shown").any() and json.loads(result.text("boxes")) == [[]]
    _, size, *warnings = host.run(regions(graph)).text("regions").splitlines()
    assert size == "1 mask of 512 × 512"
    assert "⚠ the size is assumed, as no picture has a face; connect image" in warnings
    assert host.refuses_choice(regions(graph, part="ear"), "part", "ear")


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_the_conditioning_has_a_mask_for_each_face_and_the_rest(
    host: Host, two_people: str, checkpoint: str, family: str
) -> None:
    name = checkpoint_of(host, checkpoint, family)
    [rest, *faces], [[plain, before]], note = both(
        host, encoding(two_people, name, "a woman and a man", "in_place", family, faces="in place", start_percent=0.0)
    )
    assert torch.equal(rest[0], plain) and torch.equal(rest[1]["pooled_output"], before["pooled_output"])
    assert len(faces) == 2 and not torch.equal(faces[0][0], faces[1][0])
    assert torch.allclose(sum(options["mask"] for _, options in (rest, *faces)), torch.ones(1))
    for tokens, options in faces:
        assert not torch.equal(tokens, plain) and 0.03 < options["mask"].mean() < 0.3
        assert torch.equal(options["pooled_output"], before["pooled_output"]) == (family == "sd15")
    assert "2 faces in place (mean lengths): shifts the subject “woman, man” (2 tokens) by " in note


def test_boxes_place_faces_by_hand(host: Host, two_people: str, checkpoint: str) -> None:
    name = checkpoint_of(host, checkpoint, "sd15")

    def placed(text: str, **widgets: Any) -> Graph:
        graph = encoding(two_people, name, "a woman and a man", "boxes", boxes=["boxes", 0], **widgets)
        return graph | {"boxes": entry("PrimitiveStringMultiline", value=text)}

    conditioning, _, _ = both(host, placed("0 0 50 50\n50 50 100 100", faces="in place"))
    masks = [options["mask"][0] for _, options in conditioning[1:]]
    assert masks[0][32, 32] == masks[1][-32, -32] == 1 and not masks[0][-32, -32] and not masks[1][32, 32]
    assert "boxes has 1 box for 2 faces" in host.run(placed("0 0 50 50", faces="in place")).message
    assert "⚠ boxes has no effect with faces: each" in host.run(placed("0 0 50 50", faces="each")).text("face")


def changes(host: Host, picture: str, checkpoint: str, weights: str, steps: int) -> tuple[list[float], float]:
    """How much faces in place change a sampled picture: in each head and outside of both, of 255."""
    pictures = []
    for strength in (0.0, 1.0):
        graph = encoding(picture, checkpoint, "a woman and a man", "sampled", faces="in place", strength=strength)
        graph["face"]["inputs"]["clip"] = graph["plain"]["inputs"]["clip"] = ["model", 1]
        graph["picture"] = graph["photo"]
        graph = regions(graph, masks="per face", grow=0.15)
        graph |= {
            "model": entry("CheckpointLoaderSimple", ckpt_name=weights),
            "counted": entry("Probe_CountCalls", model=["model", 0]),
            "negative": entry("CLIPTextEncode", clip=["model", 1], text=""),
            "latent": entry("EmptyLatentImage", width=WIDTH, height=HEIGHT, batch_size=1),
            "sampler": entry(
                "KSampler",
                **{"model": ["counted", 0], "positive": ["face", 0], "negative": ["negative", 0]},
                **{"latent_image": ["latent", 0], "seed": 1, "steps": steps, "cfg": 7.0},
                **{"sampler_name": "euler", "scheduler": "normal", "denoise": 1.0},
            ),
            "calls": entry("Probe_Calls", latent=["sampler", 0]),
            "decode": entry("VAEDecode", samples=["sampler", 0], vae=["model", 2]),
            "sampled": entry("PreviewImage", images=["decode", 0]),
        }
        result = host.run(graph)
        pictures.append(result.picture("sampled").astype(int))
        heads = [result.picture("shown", index)[..., 0] for index in (0, 1)]
        rows = 2 if strength == 0 else 4  # a negative prompt, the rest and two faces
        assert sum(json.loads(result.text("calls"))) == rows * steps
    changed = np.abs(pictures[1] - pictures[0]).mean(axis=2)
    outside = changed[(heads[0] == 0) & (heads[1] == 0)].mean()
    return [changed[head == 255].mean() for head in heads], outside


def test_outside_of_the_faces_the_picture_stays(host: Host, two_people: str, checkpoint: str, weights: str) -> None:
    """Two steps, so that what the first changes can spread in the second."""
    inside, outside = changes(host, two_people, checkpoint_of(host, checkpoint, "sd15"), weights, steps=2)
    assert min(inside) > 4 * outside
