"""Steered sampling in a real ComfyUI: every mode and choice, batches of frames, one call for both prompts."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from perception_clip.projection.choice import FACE_CHOICES
from perception_clip.projection.conditioning import MODES

from .server import Graph, Host, Result, entry
from .test_projection import conditioning, prompt_tokens, steering

PROMPTS = "PerceptionClip_EmotionPrompts"

Steer = Callable[..., Graph]


@pytest.fixture
def steer(graphs: Callable[[str], Graph], weights: str, photos: dict[str, str], checkpoint: str) -> Steer:
    """The shipped graph on two photos' faces, spread over some frames, in 64 × 64 and one step, counted."""

    def make(batch: int = 1, frames: int = 16, **widgets: Any) -> Graph:
        graph = graphs("face_to_expression")
        graph["model"]["inputs"]["ckpt_name"] = weights
        graph["photo"]["inputs"]["image"] = photos["astronaut"]
        graph["second photo"] = entry("LoadImage", image=photos["grace_hopper"])
        perceive = graph["perception"]
        graph["second"] = {**perceive, "inputs": {**perceive["inputs"], "image": ["second photo", 0]}}
        joined = {"first": ["perception", 0], "second": ["second", 0]}
        graph["joined"] = entry("PerceptionClip_JoinPerceptions", **joined)
        spread = {"perception": ["joined", 0], "frames": frames, "easing": "linear"}
        graph["spread"] = entry("PerceptionClip_PerceptionSchedule", **spread)
        graph["latent"]["inputs"] |= {"width": 64, "height": 64, "batch_size": batch}
        graph["counted"] = entry("Probe_CountCalls", model=["model", 0])
        graph["sampler"]["inputs"] |= {"steps": 1, "model": ["counted", 0]}
        graph["calls"] = entry("Probe_Calls", latent=["sampler", 0])
        inputs = {"checkpoint": checkpoint, "perception": ["spread", 0]} | widgets
        graph["projection"]["inputs"] |= inputs
        return graph

    return make


def calls(result: Result) -> list[int]:
    """The rows of each call of the UNet."""
    return json.loads(result.text("calls"))  # type: ignore[no-any-return]


def test_every_mode_changes_the_picture_in_one_call_for_both_prompts(host: Host, steer: Steer) -> None:
    plain = host.run(steer(strength=0.0))
    assert calls(plain) == [2]
    for mode in MODES:
        steered = host.run(steer(mode=mode, strength=1.5))
        assert calls(steered) == [2]
        assert not np.array_equal(plain.picture("save"), steered.picture("save"))
        assert steered.picture("save").std() > 0
    long = steer(mode="append")
    long["positive"]["inputs"]["text"] = "a portrait of a person, " * 25
    assert calls(host.run(long)) == [2]


@pytest.mark.parametrize("faces", FACE_CHOICES)
def test_every_choice_of_faces(host: Host, steer: Steer, faces: str) -> None:
    """Three faces, each with its own conditioning, and the negative prompt are still one call."""
    result = host.run(steer(frames=3, faces=faces))
    assert calls(result) == ([4] if faces == "each" else [2])
    assert f"{faces} of 3 faces" in result.text("projection")


def test_a_batch_is_the_pictures_of_its_frames(host: Host, steer: Steer) -> None:
    batch = host.run(steer(batch=4, frames=4, faces="per frame", strength=1.5))
    assert calls(batch) == [8]
    pictures = [batch.picture("save", frame).astype(int) for frame in range(4)]
    for frame, picture in enumerate(pictures):
        graph = steer(batch=4, frames=4, strength=1.5, perception=["one", 0])
        graph["one"] = entry("Probe_OneFace", perception=["spread", 0], index=frame)
        graph["noise"] = entry("LatentFromBatch", samples=["latent", 0], batch_index=frame, length=1)
        graph["sampler"]["inputs"]["latent_image"] = ["noise", 0]
        alone = host.run(graph).picture("save").astype(int)
        assert np.abs(alone - picture).max() <= 1
        others = [other for number, other in enumerate(pictures) if number != frame]
        assert min(np.abs(other - picture).max() for other in others) > 1


def test_no_second_copy_of_the_text_encoder(host: Host, steer: Steer) -> None:
    def copies(source: str) -> int:
        graph = steer()
        inputs = host.defaults(PROMPTS) | {"perception": ["spread", 0], "clip": ["model", 1]}
        graph["emotions"] = entry(PROMPTS, **inputs)
        graph["projection"]["inputs"]["clip"] = ["model", 1]
        graph["count"] = entry("Probe_CountTextEncoders", conditioning=[source, 0])
        graph = {name: node for name, node in graph.items() if name not in ("sampler", "decode", "save", "calls")}
        return int(host.run(graph).text("count"))

    assert copies("positive") == copies("emotions") == copies("projection")


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
    message = host.run(steering(photos["astronaut"], "theirs.pth", "never")).message
    assert "expects 12 numbers but receives 1,441" in message


def test_inspect_projection_says_and_shows_it(host: Host, steer: Steer, checkpoint: str) -> None:
    graph = steer()
    inputs = {"perception": ["spread", 0], "checkpoint": checkpoint, "prompts": 5}
    inputs |= {"conditioning": ["positive", 0], "clip": ["model", 1]}
    graph["inspect"] = entry("PerceptionClip_InspectProjection", **inputs)
    graph["text"] = entry("PreviewAny", source=["inspect", 0])
    graph = {name: node for name, node in graph.items() if name not in ("sampler", "decode", "save", "calls")}
    result = host.run(graph)
    text = result.text("text")
    assert text.startswith(f"{checkpoint}, for Stable Diffusion 1.5, trained with random-weight placeholder")
    assert "⚠ PLACEHOLDER" in text and "⚠ trained with another text encoder" in text
    assert "the first 8 of 16 faces" in text and text.count("\nface ") == 8
    assert result.picture("inspect").shape[1] == 1024
