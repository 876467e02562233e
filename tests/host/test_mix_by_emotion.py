"""Mix by Emotion in a real ComfyUI, with conditionings of its own nodes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from .server import Graph, Host, entry
from .test_emotion_prompts import Entries, equal, saved, three_photos
from .test_face_perception import perceive, photo

NODE = "PerceptionClip_MixByEmotion"
WIDGETS = {"temperature": 1.0, "top_k": 7, "strength": 1.0, "faces": "first"}


def encode(family: str, **texts: str) -> Graph:
    """A small CLIP, and a conditioning for each emotion."""
    nodes = {name: entry("CLIPTextEncode", clip=["clip", 0], text=text) for name, text in texts.items()}
    return {"clip": entry("Probe_SmallClip", family=family, seed=0)} | nodes


def mix(graph: Graph, *emotions: str, **widgets: Any) -> Graph:
    """Mix by Emotion of the conditionings in the graph, written to output/mixed.pt; `text` shows the text."""
    links = {name: [name, 0] for name in ("neutral", *emotions)}
    return graph | {
        "mixed": entry(NODE, **{"perception": ["perception", 0]} | links | WIDGETS | widgets),
        "text": entry("PreviewAny", source=["mixed", 1]),
        "save": entry("Probe_SaveConditioning", conditioning=["mixed", 0], name="mixed"),
    }


def alone(host: Host, graph: Graph, name: str) -> Entries:
    return saved(host, graph | {"save": entry("Probe_SaveConditioning", conditioning=[name, 0], name=name)})


@pytest.fixture
def faces(photos: dict[str, str]) -> Graph:
    return perceive(photo(photos["astronaut"]))


def test_linked_emotions_are_mixed_and_others_are_neutral(host: Host, faces: Graph) -> None:
    graph = faces | encode("sd15", neutral="a calm face", happy="a happy face")
    [[mixed, options]] = saved(host, mix(graph, "happy", temperature=5.0))
    [[neutral, rest]], [[happy, _]] = alone(host, graph, "neutral"), alone(host, graph, "happy")
    share = ((mixed - neutral) * (happy - neutral)).sum() / (happy - neutral).square().sum()
    assert 0.15 < share < 0.6
    torch.testing.assert_close(mixed, neutral + share * (happy - neutral), atol=1e-4, rtol=0)
    assert options.keys() == rest.keys()
    assert host.run(mix(graph, "happy")).text("text").startswith("first of 1 face: happy ")
    assert equal(saved(host, mix(graph, "happy", top_k=1)), alone(host, graph, "happy"))
    for off in (mix(graph, "happy", strength=0.0), mix(graph)):
        assert equal(saved(host, off), alone(host, graph, "neutral"))
    assert host.run(mix(graph)).text("text").endswith("\nno emotion is connected: using neutral")


def test_every_picture_has_its_row(host: Host, faces: Graph, photos: dict[str, str]) -> None:
    graph = three_photos(faces, photos) | encode("sd15", neutral="a calm face", happy="a happy face")
    [[mixed, _]] = saved(host, mix(graph, "happy", faces="per frame", top_k=1))
    [[neutral, _]], [[happy, _]] = alone(host, graph, "neutral"), alone(host, graph, "happy")
    torch.testing.assert_close(mixed, torch.cat([happy, neutral, neutral]), atol=1e-5, rtol=0)


def test_pictures_and_templates_fall_onto_each_other(host: Host, faces: Graph) -> None:
    """An encoder that sees the picture: the picture's tokens come first, the template closes after the text."""
    graph = faces | {"clip": entry("Probe_SmallClip", family="qwen_image", seed=0)}
    graph |= {"latent": entry("EmptyLatentImage", width=64, height=64, batch_size=1)}
    for name, text in (("neutral", "make her calm"), ("happy", "make her smile broadly with laughing eyes")):
        inputs = {"clip": ["clip", 0], "image": ["picture", 0], "prompt": text}
        graph[f"{name} words"] = entry("TextEncodeQwenImageEdit", **inputs)
        graph[name] = entry("ReferenceLatent", conditioning=[f"{name} words", 0], latent=["latent", 0])
    [[mixed, options]] = saved(host, mix(graph, "happy", top_k=1, strength=0.5))
    [[neutral, rest]], [[happy, _]] = alone(host, graph, "neutral"), alone(host, graph, "happy")
    assert mixed.shape == happy.shape and happy.shape[1] > neutral.shape[1] + 2 > 500
    for part in (slice(0, neutral.shape[1] - 10), slice(-5, None)):
        torch.testing.assert_close(mixed[0, part], 0.5 * (happy[0, part] + neutral[0, part]), atol=1e-4, rtol=0)
    assert torch.equal(options["reference_latents"][0], rest["reference_latents"][0])


@pytest.mark.parametrize(
    ("inputs", "word"),
    [({"neutral": ["perception", 0]}, "neutral"), ({"happy": 5}, "happy"), ({"faces": "some"}, "faces")],
)
def test_wrong_inputs_are_refused_by_name(host: Host, faces: Graph, inputs: dict[str, Any], word: str) -> None:
    graph = mix(faces | encode("sd15", neutral="a calm face"), **inputs)
    assert word in host.refusal(graph)


def test_other_encoders_cannot_be_mixed(host: Host, faces: Graph) -> None:
    graph = faces | encode("sd15", neutral="a calm face") | {"happy": entry("Probe_Conditioning", width=64, blocks=1)}
    assert "encode all prompts with the same CLIP" in host.run(mix(graph, "happy")).message
