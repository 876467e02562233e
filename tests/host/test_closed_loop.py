"""The closed loop in a real ComfyUI: Strength Sweep, Sweep Chart and Compare Expressions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from .server import Graph, Host, entry

Sweep = Callable[..., Graph]
PERCEIVE = {"max_faces": 10, "min_confidence": 0.5, "missing": "skip"}
OUTPUTS = ("match", "gain", "matches", "gains", "table")


def faces(photos: dict[str, str]) -> Graph:
    """A smiling and a calm face, and a picture of noise."""
    graph = {}
    for name, picture in photos.items():
        graph[f"{name} photo"] = entry("LoadImage", image=picture)
        graph[name] = entry("PerceptionClip_FacePerception", image=[f"{name} photo", 0], **PERCEIVE)
    return graph


def shown(node: str, names: tuple[str, ...]) -> Graph:
    """Every output of a node, shown by ComfyUI's own preview node."""
    return {name: entry("PreviewAny", source=[node, index]) for index, name in enumerate(names)}


def comparison(photos: dict[str, str], **names: str) -> Graph:
    inputs = {name: [face, 0] for name, face in names.items()}
    compared = entry("PerceptionClip_CompareExpressions", **inputs)
    return faces(photos) | {"compared": compared} | shown("compared", OUTPUTS)


def test_compare_expressions(host: Host, photos: dict[str, str]) -> None:
    same = host.run(comparison(photos, target="astronaut", result="astronaut", baseline="grace_hopper"))
    assert float(same.text("match")) == pytest.approx(1) and float(same.text("gain")) == pytest.approx(1, abs=0.01)
    assert same.text("compared").startswith("match 1.00, gain 1.00\n\n| | target | result | baseline |")
    assert same.text("table") == same.text("compared")
    assert same.picture("compared").shape[1] == 832
    other = host.run(comparison(photos, target="astronaut", result="grace_hopper", baseline="grace_hopper"))
    assert float(other.text("match")) < 0.2 and abs(float(other.text("gain"))) < 0.02
    nobody = host.run(comparison(photos, target="astronaut", result="no_face"))
    assert [float(nobody.text(name)) for name in OUTPUTS[:4]] == [0, 0, 0, 0]
    assert "no face in 1 of 1 picture of result" in nobody.text("compared")


@pytest.fixture
def sweep(graphs: Callable[[str], Graph], weights: str, photos: dict[str, str], checkpoint: str) -> Sweep:
    """The shipped graph with CLIP Text Encode (Face) and, not linked to the sampler, Strength Sweep."""

    def make(**widgets: Any) -> Graph:
        graph = graphs("face_to_expression")
        graph["model"]["inputs"]["ckpt_name"] = weights
        graph["photo"]["inputs"]["image"] = photos["astronaut"]
        graph["latent"]["inputs"] |= {"width": 64, "height": 64}
        graph["sampler"]["inputs"] |= {"steps": 2, "sampler_name": "euler", "denoise": 1.0}
        text = {"text": "a portrait of a woman, soft light", "clip": ["model", 1]}
        face = text | {"perception": ["perception", 0], "checkpoint": checkpoint, "subject": ""}
        percents = {"start_percent": 0.0, "end_percent": 1.0}
        single = {"strength": 1.0, "faces": "first", **percents}
        strengths = {"first_strength": 0.0, "last_strength": 2.0, "pictures": 3, **percents}
        graph["projection"] = entry("PerceptionClip_TextEncode", **face, **single, **widgets)
        graph["sweep"] = entry("PerceptionClip_StrengthSweep", **face, **strengths, **widgets, latent=["latent", 0])
        return graph

    return make


@pytest.mark.parametrize("where", ["subject and end", "all"])
def test_a_sweep_makes_the_pictures_of_single_runs(host: Host, sweep: Sweep, where: str) -> None:
    graph = sweep(where=where)
    singles = []
    for strength in (0.0, 1.0, 2.0):
        graph["projection"]["inputs"]["strength"] = strength
        singles.append(host.run({name: node for name, node in graph.items() if name != "sweep"}).picture("save"))
    graph["sampler"]["inputs"] |= {"positive": ["sweep", 0], "latent_image": ["sweep", 1]}
    graph["text"] = entry("PreviewAny", source=["sweep", 2])
    del graph["projection"]
    result = host.run(graph)
    warning, *others = result.text("sweep").splitlines()
    assert "PLACEHOLDER" in warning and "strengths 0, 1, 2" in others and result.text("text") == "0, 1, 2"
    rows = [result.picture("save", index) for index in range(3)]
    for row, single in zip(rows, singles, strict=True):
        assert np.abs(row.astype(int) - single).mean() < 1
    assert np.abs(rows[0].astype(int) - rows[2]).mean() > 2


def test_a_sweep_without_a_face_and_its_chart(host: Host, sweep: Sweep, photos: dict[str, str]) -> None:
    graph = sweep(where="subject and end")
    graph["photo"]["inputs"]["image"] = photos["no_face"]
    graph["sampler"]["inputs"] |= {"positive": ["sweep", 0], "latent_image": ["sweep", 1]}
    del graph["projection"]
    picture = graph["save"]["inputs"]["images"]
    graph["result"] = entry("PerceptionClip_FacePerception", image=picture, **PERCEIVE)
    graph["chart"] = entry(
        "PerceptionClip_SweepChart",
        image=picture,
        result=["result", 0],
        target=["perception", 0],
        strengths=["sweep", 2],
    )
    graph |= shown("chart", ("strength", "chart gains", "chart table"))
    result = host.run(graph)
    assert result.text("sweep") == "no face: all pictures get the prompt unchanged"
    rows = [result.picture("save", index) for index in range(3)]
    assert max(np.abs(row.astype(int) - rows[0]).max() for row in rows) <= 1  # one noise for all
    assert float(result.text("strength")) == 0
    assert [float(gain) for gain in result.output("chart gains")["text"]] == [0, 0, 0]
    assert "no face" in result.text("chart") and result.picture("chart").shape[1] >= 640


def test_the_chart_of_two_photos(host: Host, photos: dict[str, str]) -> None:
    graph = faces({name: photos[name] for name in ("astronaut", "grace_hopper")})
    graph["both"] = entry("ImageBatch", image1=["grace_hopper photo", 0], image2=["astronaut photo", 0])
    graph["result"] = entry("PerceptionClip_FacePerception", image=["both", 0], **PERCEIVE)
    graph["chart"] = entry(
        "PerceptionClip_SweepChart",
        image=["both", 0],
        result=["result", 0],
        target=["astronaut", 0],
        strengths="0, 1.5",
    )
    graph |= shown("chart", ("strength", "chart gains"))
    result = host.run(graph)
    low, high = (float(gain) for gain in result.output("chart gains")["text"])
    assert abs(low) < 0.01 and 0.9 < high < 1.1
    assert float(result.text("strength")) == pytest.approx(1.5, abs=0.15)
    wrong = {
        **graph,
        "chart": entry("PerceptionClip_SweepChart", **(graph["chart"]["inputs"] | {"strengths": "0, 1, 2"})),
    }
    assert "image has 2 pictures, but there are 3 strengths" in host.run(wrong).message
