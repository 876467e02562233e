"""Dataset Writer in a real ComfyUI, and the way from its dataset to a picture."""

from __future__ import annotations

import re
import urllib.error
import urllib.parse
from collections.abc import Callable

import numpy as np
import pytest

from .server import Graph, Host

Collect = Callable[..., Graph]


@pytest.fixture
def collect(graphs: Callable[[str], Graph], weights: str, photos: dict[str, str]) -> Collect:
    """The shipped graph with a photo and changed widgets of the writer."""

    def make(photo: str = "astronaut", **widgets: object) -> Graph:
        graph = graphs("collect_dataset")
        graph["model"]["inputs"]["ckpt_name"] = weights
        graph["photo"]["inputs"]["image"] = photos[photo]
        graph["writer"]["inputs"] |= widgets
        return graph

    return make


def test_queueing_twice_keeps_each_sample_once(host: Host, collect: Collect) -> None:
    path = host.datasets / "twice.db"
    graph = collect(dataset="twice")
    assert host.run(graph).text("writer") == f"1 sample (1 new) in {path}"
    assert host.run(graph).text("writer") == f"1 sample (0 new) in {path}"
    host.post("/free", {"free_memory": True, "unload_models": True})  # as after a restart: all runs again
    assert host.run(graph).text("writer") == f"1 sample (0 new) in {path}"
    other = collect("grace_hopper", dataset="twice")
    assert host.run(other).text("writer") == f"2 samples (1 new) in {path}"


def test_no_face_adds_nothing_and_says_so(host: Host, collect: Collect) -> None:
    text = host.run(collect("no_face", dataset="nobody")).text("writer")
    assert text.startswith("no face was perceived, nothing was added\nno sample")


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/b", "..", "", "a\\b", "con", ".hidden"])
def test_dataset_names_cannot_leave_their_folder(host: Host, collect: Collect, name: str) -> None:
    before = sorted(host.base.rglob("*.db*"))
    message = host.run(collect(dataset=name)).message
    assert "cannot be a dataset name" in message
    assert sorted(host.base.rglob("*.db*")) == before


@pytest.mark.parametrize("prompt", ["", " \n"])
def test_empty_prompt_is_refused(host: Host, collect: Collect, prompt: str) -> None:
    assert "The prompt is empty" in host.run(collect(prompt=prompt)).message


def test_clip_of_another_family_is_refused(host: Host, collect: Collect, weights: str) -> None:
    """The same CLIP-L weights, once as Stable Diffusion 1.5's CLIP and once as one of Stable Diffusion 3's."""
    from safetensors import safe_open
    from safetensors.torch import save_file

    prefix, file = "cond_stage_model.transformer.", host.base / "models" / "text_encoders" / "clip_l.safetensors"
    file.parent.mkdir()
    with safe_open(host.base / "models" / "checkpoints" / weights, framework="pt") as checkpoint:
        names = [name for name in checkpoint.keys() if name.startswith(prefix)]  # noqa: SIM118
        save_file({name.removeprefix(prefix): checkpoint.get_tensor(name) for name in names}, file)
    said = {}
    for family in ("stable_diffusion", "sd3"):
        graph = collect(dataset="family", clip=["clip", 0])
        inputs = {"clip_name": file.name, "type": family, "device": "default"}
        graph["clip"] = {"class_type": "CLIPLoader", "inputs": inputs}
        said[family] = host.run(graph)
    assert said["stable_diffusion"].text("writer").startswith("1 sample (1 new)")
    assert "This CLIP is not Stable Diffusion 1.5's" in said["sd3"].message


def test_datasets_are_not_served(host: Host, collect: Collect) -> None:
    host.run(collect(dataset="private"))
    assert (host.datasets / "private.db").is_file()
    inside = "__perception_clip/datasets/private.db"
    for route in (
        *(f"/userdata/{urllib.parse.quote(up + inside, safe='')}" for up in ("", "../", "default/../../")),
        *(f"/view?type={kind}&filename=../user/{inside}" for kind in ("input", "output", "temp")),
        *(
            f"/view?type={kind}&subfolder=../user/__perception_clip/datasets&filename=private.db"
            for kind in ("input", "output", "temp")
        ),
    ):
        with pytest.raises(urllib.error.HTTPError) as refusal:
            host.read(route)
        assert refusal.value.code in (400, 403, 404), route


def test_from_photos_to_a_checkpoint_that_steers(
    host: Host, collect: Collect, graphs: Callable[[str], Graph], weights: str, photos: dict[str, str]
) -> None:
    """Collect in ComfyUI, export and train on the command line, and use the result without a restart."""
    prompts = ("a woman smiling broadly", "a proud officer", "a calm face", "a happy portrait")
    for index, prompt in enumerate(prompts):
        for photo in ("astronaut", "grace_hopper"):
            result = host.run(collect(photo, dataset="mine", prompt=prompt, group=f"{photo} {index}"))
    samples, path = result.text("writer").split(" samples")[0], host.datasets / "mine.db"
    assert (samples, path.is_file()) == ("8", True)

    npz = host.base / "training_data.npz"
    host.training("export", path, "--out", npz)
    with np.load(npz, allow_pickle=False) as data:
        assert data["perception_embeddings"].shape == (8, 1441)
        assert data["clip_embeddings"].shape == (8, 768)
        assert len(set(data["groups"])) == 8
        assert "comfyui-clip:" in str(data["meta"])
    host.training("train", "--data", npz, "--out_dir", host.models / "mine", "--epochs", 2)

    graph = graphs("face_to_expression")
    graph["model"]["inputs"]["ckpt_name"] = weights
    graph["photo"]["inputs"]["image"] = photos["astronaut"]
    graph["latent"]["inputs"] |= {"width": 128, "height": 128}
    graph["sampler"]["inputs"]["steps"] = 1
    graph["projection"]["inputs"]["checkpoint"] = "mine/best_model.safetensors"
    result = host.run(graph)
    assert re.search(r"mine/best_model.safetensors, trained with comfyui-clip:[0-9a-f]{16}", result.text("projection"))


def test_text_vectors_are_those_of_the_command_line(host: Host, collect: Collect, weights: str) -> None:
    """ComfyUI's CLIP and `training build`'s reader of the same file agree, so datasets of both can be merged."""
    prompt = "a surprised man with raised eyebrows"
    host.run(collect(dataset="compare", prompt=prompt))
    npz = host.base / "compare.npz"
    host.training("export", host.datasets / "compare.db", "--out", npz)
    with np.load(npz, allow_pickle=False) as data:
        ours = data["clip_embeddings"][0]
    from perception_clip.training.encoders import load_encoder

    tokenizer = host.checkout / "comfy" / "sd1_tokenizer"
    encoder = load_encoder(str(host.base / "models" / "checkpoints" / weights), device="cpu", tokenizer=str(tokenizer))
    theirs = encoder.encode([prompt])[0].numpy()
    assert np.abs(ours - theirs).max() < 0.01 * np.abs(theirs).max()
