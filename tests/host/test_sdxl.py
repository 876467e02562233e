"""Stable Diffusion XL in a real ComfyUI: its CLIP in, a dataset and checkpoints of its text space out, and used."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from perception_clip.projection.checkpoint import load
from perception_clip.projection.spaces import SDXL
from perception_clip.training.dataset.samples import Samples
from perception_clip.training.dataset.store import Store
from perception_clip.training.encoders.loading import load_encoder
from perception_clip.training.starter import sample_dataset

from .server import Graph, Host, entry
from .test_projection import conditioning, steering

PROMPTS = ("a person laughing", "a (sad:1.3) old man with a long gray beard", "a person laughing")
ENDS = (4, 10)  # where the text ends in the tokens of the first two
NOUN = 2  # places from there to the noun of ", a person", which follows


def clip(family: str = "sdxl", seed: int = 0, layer: int = 0) -> Graph:
    """A CLIP, conditioned on the last of its three layers that a model of the family uses, or on another."""
    small = entry("Probe_SmallClip", family=family, seed=seed)
    if not layer:
        return {"clip": small}
    return {"small": small, "clip": entry("CLIPSetLastLayer", clip=["small", 0], stop_at_clip_layer=layer)}


def encoded(prompt: str) -> Graph:
    return {"prompt": entry("CLIPTextEncode", clip=["clip", 0], text=prompt)}


def write(host: Host, photo: str, dataset: str, family: str = "sdxl", seed: int = 0, layer: int = 0) -> list[str]:
    """What Dataset Writer says, or how it fails, when a face is added with each of the prompts, one after the other."""
    said = []
    for prompt in PROMPTS:
        inputs = {"perception": ["perception", 0], "clip": ["clip", 0], "prompt": prompt, "dataset": dataset}
        graph = {
            **clip(family, seed, layer),
            "photo": entry("LoadImage", image=photo),
            "perception": entry("PerceptionClip_FacePerception", image=["photo", 0]),
            "writer": entry("PerceptionClip_DatasetWriter", **inputs),
        }
        result = host.run(graph)
        said.append(result.text("writer") if result.succeeded else result.message)
    return said


def conditioned(host: Host, prompt: str, family: str = "sdxl", layer: int = 0) -> Any:
    """The conditioning that ComfyUI makes of a prompt."""
    saving = entry("Probe_SaveConditioning", conditioning=["prompt", 0], name="compared")
    assert host.run(clip(family, layer=layer) | encoded(prompt) | {"save": saving}).succeeded
    return conditioning(host, "compared")


def stored(host: Host, dataset: str) -> Samples:
    with Store(host.datasets / f"{dataset}.db", create=False) as store:
        [samples] = store.iterate()
    return samples


def test_a_dataset_holds_what_comfyui_conditions_on(host: Host, photos: dict[str, str]) -> None:
    counts = [said.split(" in ")[0] for said in write(host, photos["astronaut"], "xl")]
    assert counts == ["1 sample (1 new)", "2 samples (1 new)", "2 samples (0 new)"]
    samples = stored(host, "xl")
    assert samples.prompts == list(PROMPTS[:2])
    for row, (prompt, end) in enumerate(zip(samples.prompts, ENDS, strict=True)):
        [[tokens, options]] = conditioned(host, prompt)
        [[followed, _]] = conditioned(host, f"{prompt}, a person")
        expected = {
            "sdxl_embeddings": tokens[0, end],
            "sdxl_pooled": options["pooled_output"][0],
            "sdxl_subject": followed[0, end + NOUN],
        }
        for name, vector in expected.items():
            np.testing.assert_allclose(samples.added_targets[name][row], vector.numpy(), atol=5e-3)
    write(host, photos["astronaut"], "narrow", "sd15")
    narrow = stored(host, "narrow")
    np.testing.assert_allclose(samples.embeddings, narrow.embeddings, atol=5e-3)
    subjects = [some.added_targets["subject_embeddings"] for some in (samples, narrow)]
    np.testing.assert_allclose(*subjects, atol=5e-3)
    assert samples.embeddings.std() > 0.5 and samples.added_targets["sdxl_pooled"].std() > 0.1


@pytest.mark.parametrize("layer", [0, -2])
def test_vectors_are_those_of_the_layer_that_is_conditioned_on(host: Host, photos: dict[str, str], layer: int) -> None:
    write(host, photos["astronaut"], f"layer{layer}", "sd15", layer=layer)
    samples = stored(host, f"layer{layer}")
    for row, (prompt, end) in enumerate(zip(samples.prompts, ENDS, strict=True)):
        [[tokens, _]] = conditioned(host, prompt, "sd15", layer=layer)
        [[followed, _]] = conditioned(host, f"{prompt}, a person", "sd15", layer=layer)
        np.testing.assert_allclose(samples.embeddings[row], tokens[0, end].numpy(), atol=5e-3)
        subject = samples.added_targets["subject_embeddings"][row]
        np.testing.assert_allclose(subject, followed[0, end + NOUN].numpy(), atol=5e-3)
    for said in write(host, photos["astronaut"], f"layer{layer}", "sd15", layer=-1 if layer else -3):
        assert "its samples were made with the text encoder 'comfyui-clip:" in said


def test_a_dataset_keeps_to_its_encoders(host: Host, photos: dict[str, str]) -> None:
    """CLIP-L is the same in all three."""
    write(host, photos["astronaut"], "kept", seed=1)
    assert write(host, photos["astronaut"], "kept", seed=1)[0].startswith("2 samples (0 new)")
    for family, seed in (("sdxl", 2), ("sd15", 0)):
        for said in write(host, photos["astronaut"], "kept", family, seed):
            assert "its samples were made with the text encoder 'comfyui-clip:" in said
    assert len(stored(host, "kept").prompts) == 2


def test_a_starter_steers_its_own_clip(host: Host, photos: dict[str, str]) -> None:
    def steered(name: str, seed: int = 0, **widgets: Any) -> Graph:
        graph = steering(photos["astronaut"], "xl_starter.safetensors", name, clip=["clip", 0], **widgets)
        return graph | clip(seed=seed) | encoded("portrait of a person")

    starter = {"clip": ["clip", 0], "name": "xl_starter", "seed": 0, "samples": 100}
    graph = steered("xl", checkpoint_name=["starter", 0])
    graph["starter"] = entry("PerceptionClip_StarterProjection", **starter)
    result = host.run(graph)
    assert result.succeeded, result.message
    made = load(host.models / "xl_starter.safetensors")
    assert made.metadata.space == SDXL.name and made.width == SDXL.width
    assert "text encoder" not in result.text("projection")
    [[tokens, options]] = conditioning(host, "xl")
    host.run(steered("plain", strength=0.0))
    [[before, pooled]] = conditioning(host, "plain")
    for part in (slice(None, 768), slice(768, None)):
        assert (tokens - before)[..., part].abs().mean() > 1e-3
    assert torch.equal(tokens[:, 0], before[:, 0])
    assert (options["pooled_output"] - pooled["pooled_output"]).abs().mean() > 1e-3
    assert "reused" in host.run(graph | {"other": {**graph["starter"]}}).text("other")
    assert "trained with another text encoder, comfyui-clip:" in host.run(steered("xl", seed=3)).text("projection")


@pytest.fixture(scope="module")
def wide(host: Host) -> str:
    """A dataset of sampled faces with prompts in SDXL's text space."""
    made = sample_dataset(load_encoder("random", space=SDXL.name), samples=300)
    with Store(host.datasets / "wide.db") as store:
        provenance = made.provenance
        assert provenance.fingerprint is not None
        store.set_provenance(**vars(provenance))
        [samples] = made.samples()
        store.append(samples)
    return "wide"


def test_training_is_for_the_space_of_the_dataset(host: Host, wide: str) -> None:
    inputs = {"dataset": wide, "size": "small", "epochs": 3, "name": "xl_trained", "seed": 0}
    result = host.run(
        {"train": entry("PerceptionClip_TrainProjection", **inputs), "text": entry("PreviewAny", source=["train", 2])}
    )
    assert result.succeeded, result.message
    made = load(host.models / "xl_trained.safetensors")
    assert made.metadata.space == SDXL.name and made.width == 3328 and made.fingerprint is not None
