"""Steered sampling in a real ComfyUI: every mode and choice, batches of frames, one call for both prompts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from perception_clip.projection.checkpoint import Checkpoint, Metadata, save
from perception_clip.projection.choice import FACE_CHOICES
from perception_clip.projection.conditioning import MODES
from perception_clip.projection.features import FaceFeatures
from perception_clip.projection.network import Architecture, ProjectionNetwork
from perception_clip.projection.spaces import SDXL

from .server import Graph, Host, Result
from .test_projection import conditioning, prompt_tokens, steering

FRAMES = 16
PROMPTS = "PerceptionClip_EmotionPrompts"

Steer = Callable[..., Graph]


@pytest.fixture
def steer(graphs: Callable[[str], Graph], weights: str, photos: dict[str, str], checkpoint: str) -> Steer:
    """The shipped graph on two photos' faces, spread over FRAMES frames, in 64 × 64 and two steps, counted."""

    def make(batch: int = 1, frames: int = FRAMES, **widgets: Any) -> Graph:
        graph = graphs("face_to_expression")
        graph["model"]["inputs"]["ckpt_name"] = weights
        graph["photo"]["inputs"]["image"] = photos["astronaut"]
        graph["second photo"] = {"class_type": "LoadImage", "inputs": {"image": photos["grace_hopper"]}}
        perceive = graph["perception"]
        graph["second"] = {**perceive, "inputs": {**perceive["inputs"], "image": ["second photo", 0]}}
        joined = {"first": ["perception", 0], "second": ["second", 0]}
        graph["joined"] = {"class_type": "PerceptionClip_JoinPerceptions", "inputs": joined}
        spread = {"perception": ["joined", 0], "frames": frames, "easing": "linear"}
        graph["spread"] = {"class_type": "PerceptionClip_PerceptionSchedule", "inputs": spread}
        graph["latent"]["inputs"] |= {"width": 64, "height": 64, "batch_size": batch}
        graph["counted"] = {"class_type": "Probe_CountCalls", "inputs": {"model": ["model", 0]}}
        graph["sampler"]["inputs"] |= {"steps": 2, "model": ["counted", 0]}
        graph["calls"] = {"class_type": "Probe_Calls", "inputs": {"latent": ["sampler", 0]}}
        inputs = {"checkpoint": checkpoint, "perception": ["spread", 0]} | widgets
        graph["projection"]["inputs"] |= inputs
        return graph

    return make


def calls(result: Result) -> list[int]:
    """The rows of each call of the UNet."""
    return json.loads(result.text("calls"))  # type: ignore[no-any-return]


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_changes_the_picture_in_one_call_for_both_prompts(host: Host, steer: Steer, mode: str) -> None:
    plain = host.run(steer(strength=0.0))
    steered = host.run(steer(mode=mode, strength=1.5))
    assert calls(plain) == calls(steered) == [2, 2]
    assert not np.array_equal(plain.picture("save"), steered.picture("save"))
    assert steered.picture("save").std() > 0


@pytest.mark.parametrize("faces", FACE_CHOICES)
def test_every_choice_of_faces(host: Host, steer: Steer, faces: str) -> None:
    """Three faces, each with a conditioning of its own, and the negative prompt are still one call."""
    result = host.run(steer(frames=3, faces=faces))
    assert calls(result) == ([4, 4] if faces == "each" else [2, 2])
    assert f"{faces} of 3 faces" in result.text("projection")


@pytest.mark.slow
def test_a_batch_is_the_pictures_of_its_frames(host: Host, steer: Steer) -> None:
    batch = host.run(steer(batch=FRAMES, faces="per frame", strength=1.5))
    assert calls(batch) == [2 * FRAMES, 2 * FRAMES]
    pictures = [batch.picture("save", frame).astype(int) for frame in range(FRAMES)]
    for frame, picture in enumerate(pictures):
        graph = steer(batch=FRAMES, strength=1.5, perception=["one", 0])
        graph["one"] = {"class_type": "Probe_OneFace", "inputs": {"perception": ["spread", 0], "index": frame}}
        picked = {"samples": ["latent", 0], "batch_index": frame, "length": 1}
        graph["noise"] = {"class_type": "LatentFromBatch", "inputs": picked}
        graph["sampler"]["inputs"]["latent_image"] = ["noise", 0]
        alone = host.run(graph).picture("save").astype(int)
        assert np.abs(alone - picture).max() <= 1
        others = [other for number, other in enumerate(pictures) if number != frame]
        assert min(np.abs(other - picture).max() for other in others) > 1


def test_the_same_noise_shows_that_frames_differ_by_their_faces(host: Host, steer: Steer) -> None:
    def repeated(**widgets: Any) -> list[np.ndarray]:
        graph = steer(batch=1, faces="per frame", frames=3, **widgets)
        graph["noise"] = {"class_type": "RepeatLatentBatch", "inputs": {"samples": ["latent", 0], "amount": 3}}
        graph["sampler"]["inputs"] |= {"latent_image": ["noise", 0], "add_noise": "enable", "denoise": 1.0}
        result = host.run(graph)
        return [result.picture("save", frame).astype(int) for frame in range(3)]

    first, middle, last = repeated(strength=3.0)
    assert np.abs(first - last).max() > 0 and np.abs(first - middle).max() > 0


def test_a_long_prompt_and_areas_are_still_one_call(host: Host, steer: Steer) -> None:
    graph = steer(mode="append")
    graph["positive"]["inputs"]["text"] = "a portrait of a person, " * 25
    result = host.run(graph)
    assert calls(result) == [2, 2]


def test_a_face_early_and_another_late(host: Host, steer: Steer) -> None:
    """With the host's own nodes, as with the node's own percents."""
    graph = steer(perception=["perception", 0])
    late = {**graph["projection"], "inputs": {**graph["projection"]["inputs"], "perception": ["second", 0]}}
    graph["late"] = late
    for name, source, start, end in (("a", "projection", 0.0, 0.5), ("b", "late", 0.5, 1.0)):
        ranged = {"conditioning": [source, 0], "start": start, "end": end}
        graph[name] = {"class_type": "ConditioningSetTimestepRange", "inputs": ranged}
    both = {"conditioning_1": ["a", 0], "conditioning_2": ["b", 0]}
    graph["both"] = {"class_type": "ConditioningCombine", "inputs": both}
    graph["sampler"]["inputs"] |= {"positive": ["both", 0], "steps": 4}
    switched = host.run(graph)
    graph["sampler"]["inputs"]["positive"] = ["projection", 0]
    early = host.run(graph)
    graph["sampler"]["inputs"]["positive"] = ["late", 0]
    only_late = host.run(graph)
    pictures = [result.picture("save") for result in (switched, early, only_late)]
    assert not np.array_equal(pictures[0], pictures[1]) and not np.array_equal(pictures[0], pictures[2])


def test_no_second_copy_of_the_text_encoder(host: Host, steer: Steer) -> None:
    def copies(source: str) -> int:
        graph = steer()
        inputs = host.defaults(PROMPTS) | {"perception": ["spread", 0], "clip": ["model", 1]}
        graph["emotions"] = {"class_type": PROMPTS, "inputs": inputs}
        graph["projection"]["inputs"]["clip"] = ["model", 1]
        graph["count"] = {"class_type": "Probe_CountTextEncoders", "inputs": {"conditioning": [source, 0]}}
        graph = {name: node for name, node in graph.items() if name not in ("sampler", "decode", "save", "calls")}
        return int(host.run(graph).text("count"))

    assert copies("positive") == copies("emotions") == copies("projection")


# --- whose checkpoint it is --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sdxl(host: Host) -> str:
    """A projection into the sdxl space, with random weights, and two prompts that it knows."""
    torch.manual_seed(0)
    network = ProjectionNetwork(Architecture(components=8, width=16, depth=1, output=SDXL.width))
    network.features = FaceFeatures(8)
    with torch.no_grad():
        network.features.template.normal_()
        network.features.shape_basis.normal_()
        network.features.reach.fill_(100)
        network.leave.weight.normal_()
    metadata = Metadata(space=SDXL.name, encoder="someone's SDXL", prompts=["a", "b"])
    made = Checkpoint(network.eval(), metadata, torch.zeros(SDXL.width), None, torch.randn(2, SDXL.width))
    save(made, host.models, "for_sdxl")
    return "for_sdxl.safetensors"


def test_sdxl_tokens_and_pooled_output_are_steered(host: Host, photos: dict[str, str], sdxl: str) -> None:
    result = host.run(steering(photos["astronaut"], sdxl, "sdxl", width=2048))
    [[tokens, options]] = conditioning(host, "sdxl")
    before = prompt_tokens(2048)
    shift = (tokens - before)[0, 1:]
    assert shift[0].norm() > 1 and torch.allclose(shift, shift[:1].expand_as(shift), atol=1e-4)
    assert (options["pooled_output"] - before[:, 0, :1280]).norm() > 1
    assert "closest to “" in result.text("projection")
    message = host.run(steering(photos["astronaut"], sdxl, "never")).message
    assert "Stable Diffusion XL (2048 dimensions), but the conditioning has 768 (Stable Diffusion 1.5)" in message


def test_an_sd15_checkpoint_acts_on_sdxl_when_asked(host: Host, photos: dict[str, str], checkpoint: str) -> None:
    refused = host.run(steering(photos["astronaut"], checkpoint, "never", width=2048)).message
    assert "--space sdxl" in refused and "clip_l_only" in refused
    host.run(steering(photos["astronaut"], checkpoint, "part", width=2048, clip_l_only=True, match_norm=True))
    [[tokens, options]] = conditioning(host, "part")
    before = prompt_tokens(2048)
    assert torch.equal(tokens[..., 768:], before[..., 768:]) and not torch.equal(tokens[..., :768], before[..., :768])
    assert torch.equal(options["pooled_output"], before[:, 0, :1280])


def test_a_bare_state_dict_steers(host: Host, photos: dict[str, str]) -> None:
    torch.manual_seed(0)
    theirs = nn.Sequential(nn.Linear(1441, 64), nn.ReLU(), nn.Linear(64, 768))
    host.models.mkdir(parents=True, exist_ok=True)
    torch.save(theirs.state_dict(), host.models / "theirs.pth")
    result = host.run(steering(photos["astronaut"], "theirs.pth", "theirs"))
    said = result.text("projection")
    assert "linear layers 1441 → 64 → 768" in said and "another script" in said
    [[tokens, _]] = conditioning(host, "theirs")
    assert (tokens - prompt_tokens())[0, 1].norm() > 1e-3
    torch.save({"weight": torch.zeros(768, 12)}, host.models / "theirs.pth")
    assert (
        "expects 12 numbers but receives 1,441"
        in host.run(steering(photos["astronaut"], "theirs.pth", "never")).message
    )


def test_the_clip_tells_whether_the_checkpoint_is_its_own(host: Host, steer: Steer) -> None:
    graph = steer(clip=["model", 1])
    assert "trained with another text encoder" in host.run(graph).text("projection")


def test_inspect_projection_says_and_shows_it(host: Host, steer: Steer, checkpoint: str) -> None:
    graph = steer()
    inputs = {"perception": ["spread", 0], "checkpoint": checkpoint, "prompts": 5}
    inputs |= {"conditioning": ["positive", 0], "clip": ["model", 1]}
    graph["inspect"] = {"class_type": "PerceptionClip_InspectProjection", "inputs": inputs}
    graph["text"] = {"class_type": "PreviewAny", "inputs": {"source": ["inspect", 0]}}
    graph = {name: node for name, node in graph.items() if name not in ("sampler", "decode", "save", "calls")}
    result = host.run(graph)
    text = result.text("text")
    assert text.startswith(f"{checkpoint}, for Stable Diffusion 1.5, trained with random-weight placeholder")
    assert "⚠ PLACEHOLDER" in text and "⚠ trained with another text encoder" in text
    assert "the first 8 of 16 faces" in text and text.count("\nface ") == 8
    assert result.picture("inspect").shape[1] == 1024
