"""Perception→CLIP Projection in a real ComfyUI: checkpoints, and what it makes of a conditioning."""

from __future__ import annotations

import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from perception_clip.projection.checkpoint import load, save

from .server import FROM_LINK, Graph, Host, entry

BLOCK = 77


def steering(photo: str, checkpoint: str, name: str, width: int = 768, blocks: int = 1, **widgets: Any) -> Graph:
    """A photo's face acts on a random conditioning, which is written to output/<name>.pt."""
    perceive = {"max_faces": 10, "min_confidence": 0.5, "missing": "skip", "image": ["photo", 0]}
    project = {
        "checkpoint": checkpoint,
        "mode": "steer",
        "strength": 1.0,
        "start_percent": 0.0,
        "end_percent": 1.0,
        "faces": "first",
        "perception": ["perception", 0],
        "conditioning": ["prompt", 0],
    } | widgets
    return {
        "photo": entry("LoadImage", image=photo),
        "perception": entry("PerceptionClip_FacePerception", **perceive),
        "prompt": entry("Probe_Conditioning", width=width, blocks=blocks),
        "projection": entry("PerceptionClip_Projection", **project),
        "save": entry("Probe_SaveConditioning", conditioning=["projection", 0], name=name),
    }


def conditioning(host: Host, name: str) -> list[list[Any]]:
    return torch.load(host.base / "output" / f"{name}.pt", weights_only=True)  # type: ignore[no-any-return]


def prompt_tokens(width: int = 768, blocks: int = 1) -> torch.Tensor:
    """What Probe_Conditioning makes."""
    return torch.randn(1, BLOCK * blocks, width, generator=torch.Generator().manual_seed(0))


def test_steer_shifts_every_token_but_the_first_of_a_block(host: Host, photos: dict[str, str], checkpoint: str) -> None:
    result = host.run(steering(photos["astronaut"], checkpoint, "steer", blocks=2))
    [[tokens, options]] = conditioning(host, "steer")
    shift = tokens - prompt_tokens(blocks=2)
    assert torch.equal(shift[:, [0, BLOCK]], torch.zeros(1, 2, 768))
    moved = torch.cat([shift[:, 1:BLOCK], shift[:, BLOCK + 1 :]], dim=1)
    assert moved[0, 0].norm() > 0.1
    assert torch.allclose(moved, moved[:, :1].expand_as(moved), atol=1e-5)
    assert torch.equal(options["pooled_output"], prompt_tokens(blocks=2)[:, 0])
    words = torch.cat([prompt_tokens(blocks=2)[0, 1:BLOCK], prompt_tokens(blocks=2)[0, BLOCK + 1 :]])
    share = moved[0, 0].norm() / words.norm(dim=1).mean()
    assert f"shifts every token but BOS (152 tokens) by {share:.2f} of the tokens' length" in result.text("projection")


def test_without_the_text_a_face_acts_on_all_or_at_the_end(host: Host, photos: dict[str, str], checkpoint: str) -> None:
    """The second block's end cannot be recognized; CLIP Text Encode (Face) knows the subject."""
    unknown = host.run(steering(photos["astronaut"], checkpoint, "unknown", blocks=2, where="end")).text("projection")
    assert "the end of the text cannot be recognized" in unknown
    subject = steering(photos["astronaut"], checkpoint, "subject", where="subject")
    encoder = {"clip": entry("Probe_SmallClip", family="sd15", seed=0)}
    subject |= encoder | {"prompt": entry("CLIPTextEncode", clip=["clip", 0], text="a portrait of a woman")}
    text = host.run(subject).text("projection")
    assert "acts on the end of the text, not on subject: the text of the prompt is unknown" in text
    assert "shifts the end of the text (71 tokens) by " in text
    [[tokens, _]] = conditioning(host, "subject")
    plain = {**subject, "projection": {**subject["projection"]}}
    plain["projection"]["inputs"] = subject["projection"]["inputs"] | {"strength": 0.0}
    host.run(plain)
    [[before, _]] = conditioning(host, "subject")
    assert (tokens != before).any(dim=-1)[0].tolist() == [False] * 6 + [True] * 71


def test_strength_zero_and_no_face_are_the_identity(host: Host, photos: dict[str, str], checkpoint: str) -> None:
    result = host.run(steering(photos["no_face"], checkpoint, "none"))
    assert "no face: the conditioning passes through unchanged" in result.text("projection")
    host.run(steering(photos["astronaut"], checkpoint, "zero", strength=0))
    for name in ("none", "zero"):
        [[tokens, options]] = conditioning(host, name)
        assert torch.equal(tokens, prompt_tokens())
        assert options.keys() == {"pooled_output"}


def test_percents_schedule_the_face(host: Host, photos: dict[str, str], checkpoint: str) -> None:
    host.run(steering(photos["astronaut"], checkpoint, "part", start_percent=0.2, end_percent=0.8))
    entries = conditioning(host, "part")
    assert [(entry[1]["start_percent"], entry[1]["end_percent"]) for entry in entries] == [
        (0.0, 0.2),
        (0.2, 0.8),
        (0.8, 1.0),
    ]
    assert [torch.equal(entry[0], prompt_tokens()) for entry in entries] == [True, False, True]


def test_random_placeholder_is_named(host: Host, photos: dict[str, str], checkpoint: str) -> None:
    text = host.run(steering(photos["astronaut"], checkpoint, "named", strength=0.5)).text("projection")
    assert "PLACEHOLDER" in text
    assert f"{checkpoint}, trained with random-weight placeholder" in text
    assert "first of 1 face: shifts every token but BOS (76 tokens) by 0." in text


@pytest.mark.parametrize(
    "name, problem",
    [
        ("../../../etc/passwd", "no projection checkpoint named '../../../etc/passwd'"),
        (FROM_LINK, "No projection checkpoint is chosen, and nothing is connected to checkpoint_name"),
    ],
)
def test_missing_checkpoint_comes_with_the_way_to_make_one(
    host: Host, photos: dict[str, str], name: str, problem: str
) -> None:
    message = host.run(steering(photos["astronaut"], name, "never")).message
    assert problem in message
    assert "python -m training starter --text-encoder" in message
    assert str(host.models) in message


def test_new_and_retrained_files_are_used_without_restart(host: Host, photos: dict[str, str], checkpoint: str) -> None:
    listed = "/object_info/PerceptionClip_Projection"
    graph = steering(photos["astronaut"], "new.safetensors", "new")
    assert "new.safetensors" not in str(host.get(listed))
    shutil.copy(host.models / checkpoint, host.models / "new.safetensors")
    assert "new.safetensors" in str(host.get(listed))
    host.run(graph)
    first = conditioning(host, "new")[0][0]

    loads = host.loads()
    assert host.run(graph).succeeded and host.loads() == loads  # nothing has changed, nothing runs
    trained = load(host.models / checkpoint)
    save(replace(trained, neutral=trained.neutral + 1), host.models, "new")
    host.run(graph)
    assert len(host.loads()) == len(loads) + 1
    assert not torch.equal(conditioning(host, "new")[0][0], first)


def test_a_linked_name_counts_instead_of_the_chosen_one(host: Host, photos: dict[str, str], checkpoint: str) -> None:
    graph = steering(photos["astronaut"], checkpoint, "linked", checkpoint_name=["name", 0])
    graph["name"] = entry("PrimitiveString", value="other.safetensors")
    assert "There is no projection checkpoint named 'other.safetensors'" in host.run(graph).message
    trained = load(host.models / checkpoint)
    save(replace(trained, neutral=trained.neutral + 1), host.models, "other")
    graph["name"]["inputs"]["value"] = "./../other.safetensors"
    assert "no projection checkpoint named" in host.run(graph).message
    graph["name"]["inputs"]["value"] = "other.safetensors"
    assert "other.safetensors, trained with" in host.run(graph).text("projection")
    linked = conditioning(host, "linked")[0][0]
    host.run(steering(photos["astronaut"], checkpoint, "chosen"))
    assert not torch.equal(linked, conditioning(host, "chosen")[0][0])


class Payload:
    """Unpickling this makes a folder: proof that code has run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("writer", ["torch", "pickle"])
def test_pickle_payload_is_refused_and_not_run(host: Host, photos: dict[str, str], tmp_path: Path, writer: str) -> None:
    proof = tmp_path / "code-has-run"
    file = host.models / f"{writer}.pth"
    file.parent.mkdir(exist_ok=True)
    if writer == "torch":
        torch.save({"tensors": Payload(proof)}, file)
    else:
        file.write_bytes(pickle.dumps(Payload(proof)))
    message = host.run(steering(photos["astronaut"], file.name, "never")).message
    file.unlink()
    assert "refused" in message and str(file) in message
    assert not proof.exists()
