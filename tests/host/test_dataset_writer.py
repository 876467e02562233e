"""Dataset Writer in a real ComfyUI, and the way from its dataset to a picture."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest
import torch

from perception_clip.perception.drawing.panels import COLORS
from perception_clip.perception.vector import EMOTIONS
from perception_clip.training.dataset.samples import Samples
from perception_clip.training.dataset.store import Store
from perception_clip.training.encoders.loading import load_encoder

from .conftest import Collect
from .server import Graph, Host, entry
from .test_face_perception import perceive, photo, repeated, side_by_side, with_gap
from .websocket import listen

PROMPT = "a smiling woman, friendly and relaxed"  # the shipped graph's


def held(host: Host, dataset: str) -> Samples:
    """All samples of a small dataset."""
    with Store(host.datasets / f"{dataset}.db", create=False) as store:
        [samples] = store.iterate()
    return samples


def strongest(samples: Samples) -> list[str]:
    """The strongest emotion of each sample."""
    return [EMOTIONS[index] for index in samples.perceptions[:, -len(EMOTIONS) :].argmax(axis=1)]


@pytest.fixture
def pair(host: Host, collect: Collect, astronaut: np.ndarray, grace_hopper: np.ndarray) -> Collect:
    """The graph with a picture of two people, from left to right: she, happy, and he, neutral."""

    def make(**widgets: object) -> Graph:
        name = side_by_side(host, astronaut, grace_hopper)
        return collect(**widgets) | perceive(photo(name), order="left to right")

    return make


def test_queueing_twice_keeps_each_sample_once(host: Host, collect: Collect) -> None:
    path = host.datasets / "twice.db"
    graph = collect(dataset="twice")
    assert host.run(graph).text("writer") == f"1 sample (1 new) in {path}\n1 × {PROMPT}"
    assert host.run(graph).text("writer") == f"1 sample (0 new) in {path}\n1 × {PROMPT}"
    host.free()  # as after a restart: all runs again
    assert host.run(graph).text("writer") == f"1 sample (0 new) in {path}\n1 × {PROMPT}"
    other = collect("grace_hopper", dataset="twice")
    assert host.run(other).text("writer") == f"2 samples (1 new) in {path}\n2 × {PROMPT}"


def test_no_face_or_no_prompt_adds_nothing(host: Host, collect: Collect) -> None:
    assert "The prompt is empty" in host.run(collect(prompt=" \n")).message
    for prompts in ("one for all faces", "one line per face", "one line per picture"):
        result = host.run(collect("no_face", dataset="nobody", prompts=prompts))
        path = host.datasets / "nobody.db"
        assert result.text("writer") == f"no face was perceived, so nothing was added\n0 samples (0 new) in {path}"
        assert result.output("writer")["images"] == []


def test_one_prompt_for_all_faces(host: Host, pair: Collect) -> None:
    host.run(pair(dataset="all", prompt="two people\nside by side "))
    samples = held(host, "all")
    assert samples.prompts == ["two people\nside by side"] * 2
    assert np.array_equal(*samples.embeddings)
    assert strongest(samples) == ["happy", "neutral"]


def test_each_face_gets_its_line(host: Host, pair: Collect) -> None:
    text = host.run(pair(dataset="lines", prompt="\na laughing woman \n\n  a calm man\n", prompts="one line per face"))
    assert text.text("writer").endswith("\n1 × a laughing woman\n1 × a calm man")
    samples = held(host, "lines")
    assert samples.prompts == ["a laughing woman", "a calm man"]
    assert strongest(samples) == ["happy", "neutral"]
    assert not np.allclose(*samples.embeddings)


def test_each_picture_gets_its_line(host: Host, collect: Collect, photos: dict[str, str]) -> None:
    """Also one without a face, so that the others need not be counted anew."""
    lines = {"prompt": "first\nsecond\nthird", "prompts": "one line per picture", "dataset": "pictures"}
    host.run(collect(**lines) | perceive(with_gap(photos)))
    assert held(host, "pictures").prompts == ["first", "third"]


def test_lines_that_do_not_fit_are_refused(host: Host, pair: Collect) -> None:
    for prompts, prompt, expected in (
        ("one line per face", "a\nb\nc", "prompt has 3 lines, but perception has 2 faces: write one line for each"),
        ("one line per picture", "a\nb", "prompt has 2 lines, but perception has 1 picture: write one line for each"),
    ):
        assert expected in host.run(pair(dataset="misfit", prompt=prompt, prompts=prompts)).message
    assert host.refuses_choice(pair(dataset="misfit", prompts="two for each"), "prompts", "two for each")
    assert not (host.datasets / "misfit.db").exists()


def test_faces_that_were_filled_in_are_left_out(host: Host, collect: Collect, photos: dict[str, str]) -> None:
    graph = collect(dataset="seen") | perceive(with_gap(photos), missing="neutral")
    text = host.run(graph).text("writer")
    assert text.startswith("1 filled-in face skipped: only detected faces are used for training\n1 sample (1 new)")
    assert strongest(held(host, "seen")) == ["happy"]  # the same picture twice
    graph["writer"]["inputs"] |= {"prompts": "one line per face", "prompt": "a\nb"}
    assert "prompt has 2 lines, but perception has 3 faces, 1 of them filled in" in host.run(graph).message


def test_what_else_is_known_is_stored(host: Host, pair: Collect) -> None:
    known = {"group": " Eileen ", "label": "happy ", "split": "validation", "source": "a NASA portrait"}
    host.run(pair(dataset="known", **known))
    host.run(pair(dataset="known", prompt="others"))
    samples = held(host, "known")
    assert samples.groups == ["Eileen"] * 2 + [""] * 2
    assert samples.labels == ["happy"] * 2 + [""] * 2
    assert samples.splits == ["validation"] * 2 + [""] * 2
    assert samples.sources == ["a NASA portrait"] * 2 + [""] * 2
    assert ((samples.scores > 0.5) & (samples.scores <= 1)).all() and samples.scores[0] != samples.scores[1]
    assert host.refuses_choice(pair(dataset="known", split="both"), "split", "both")


def test_counts_name_the_most_frequent_prompts(host: Host, collect: Collect) -> None:
    for name, prompt in (
        *(("astronaut", prompt) for prompt in ("once", "also once", "twice", "rare " * 40)),
        ("grace_hopper", "twice"),
    ):
        result = host.run(collect(name, dataset="counts", prompt=prompt))
    path = host.datasets / "counts.db"
    assert result.text("writer") == (
        f"5 samples (1 new) in {path}\n2 × twice\n1 × once\n1 × also once\nand 1 more prompt"
    )


def test_long_prompts_are_named(host: Host, collect: Collect) -> None:
    text = host.run(collect(dataset="long", prompt="cat " * 75)).text("writer")
    assert "tokens of a prompt are used" not in text
    text = host.run(collect(dataset="long", prompt="cat " * 76)).text("writer")
    assert "\nonly the first 75 tokens of a prompt are used; this one is longer: cat cat" in text
    first, second = held(host, "long").embeddings
    assert np.allclose(first, second, atol=1e-4)  # what is behind the 75th token is indeed lost


def test_newest_faces_are_drawn_without_their_pictures(host: Host, collect: Collect) -> None:
    one = host.run(collect(dataset="drawn", prompt="first")).picture("writer")
    two = host.run(collect("grace_hopper", dataset="drawn", prompt="second")).picture("writer")
    assert two.shape[0] == one.shape[0] and two.shape[1] > 1.8 * one.shape[1]
    cell = one.shape[1] - 12
    assert np.array_equal(two[:, -cell:], one[:, -cell:])  # the newest stands first
    happy, neutral = (
        (abs(picture[:, :cell].astype(int) - COLORS[name]).max(axis=2) < 24).sum()
        for picture, name in ((one, "happy"), (two, "neutral"))
    )
    assert happy > 300 and neutral > 300
    assert (one == one[0, 0]).all(axis=2).mean() > 0.75  # lines on a dark ground, no photo
    for number in range(7):
        result = host.run(collect(dataset="drawn", prompt=f"more {number}"))
    assert result.picture("writer").shape[1] == two.shape[1] + cell  # three columns
    assert result.text("writer").startswith("9 samples")


def test_a_cancelled_run_writes_nothing_and_the_next_all(host: Host, collect: Collect, photos: dict[str, str]) -> None:
    lines = "\n".join(f"cancelled {number}" for number in range(60))
    graph = collect(dataset="cancelled", prompt=lines, prompts="one line per face")
    graph |= perceive(repeated(photos["astronaut"], 60))
    with listen(host.port, "cancelling", silence=60) as payloads:
        prompt = host.queue(graph, client="cancelling")
        next(payload for payload in payloads if b'"progress"' in payload and b'"writer"' in payload)
    host.post("/interrupt", {})
    result = host.wait(prompt)
    assert "execution_interrupted" in result.events and "execution_error" not in result.events
    with Store(host.datasets / "cancelled.db", create=False) as store:
        assert len(store) == 0
    assert host.run(graph).text("writer").startswith("60 samples (60 new)")


def test_a_picture_is_one_sample_alone_and_in_a_batch(host: Host, collect: Collect, photos: dict[str, str]) -> None:
    """Known by its bytes: how its numbers are rounded depends on the batch."""
    path = host.datasets / "company.db"
    alone = collect(dataset="company") | perceive(repeated(photos["astronaut"], 1))
    assert host.run(alone).text("writer").startswith(f"1 sample (1 new) in {path}")
    for count in (2, 3, 17):
        graph = collect(dataset="company") | perceive(repeated(photos["astronaut"], count))
        assert host.run(graph).text("writer").startswith(f"1 sample (0 new) in {path}")
    changed = collect(dataset="company") | perceive(repeated(photos["astronaut"], 2), smoothing=0.5)
    assert host.run(changed).text("writer").startswith(f"2 samples (1 new) in {path}")  # the second face is another


def test_a_dataset_made_with_something_else_is_refused_with_the_way_out(host: Host, collect: Collect) -> None:
    with Store(host.datasets / "other.db") as store:
        store.set_provenance(
            "another encoder", torch.linspace(1, -1, 768), "another landmarker", "another emotion model"
        )
        vector = torch.zeros(1, 1441)
        vector[0, -1] = 1
        store.append(Samples(vector, torch.tensor([[4, 3]]), ["x"], torch.ones(1, 768)))
    message = host.run(collect(dataset="other")).message
    assert "its samples were made with the text encoder 'another encoder', not 'comfyui-clip:" in message
    assert "landmarker 'another landmarker', not '" in message
    assert "change dataset on this node, connect the CLIP the dataset was created with, or set landmarker" in message
    assert len(held(host, "other")) == 1


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
        graph["clip"] = entry("CLIPLoader", clip_name=file.name, type=family, device="default")
        said[family] = host.run(graph)
    assert said["stable_diffusion"].text("writer").startswith("1 sample (1 new)")
    assert "This CLIP does not belong to Stable Diffusion 1.5 or XL" in said["sd3"].message


def test_from_photos_to_a_checkpoint_that_steers(
    host: Host, collect: Collect, graphs: Callable[[str], Graph], weights: str, photos: dict[str, str]
) -> None:
    """Collect in ComfyUI, export and train on the command line, and use the result without a restart."""
    prompts = ("a woman smiling broadly", "a proud officer", "a calm face", "a happy portrait")
    for index, prompt in enumerate(prompts):
        for name in ("astronaut", "grace_hopper"):
            result = host.run(collect(name, dataset="mine", prompt=prompt, group=f"{name} {index}"))
    samples, path = result.text("writer").split(" samples")[0], host.datasets / "mine.db"
    assert (samples, path.is_file()) == ("8", True)

    npz = host.base / "training_data.npz"
    host.training("export", path, "--out", npz)
    with np.load(npz, allow_pickle=False) as data:
        assert data["perception_embeddings"].shape == (8, 1441)
        assert data["clip_embeddings"].shape == data["subject_embeddings"].shape == (8, 768)
        assert len(set(data["groups"])) == 8
        assert "comfyui-clip:" in str(data["meta"])
    host.training("train", "--data", npz, "--out_dir", host.models / "mine", "--epochs", 2)

    graph = graphs("face_to_expression")
    graph["model"]["inputs"]["ckpt_name"] = weights
    graph["photo"]["inputs"]["image"] = photos["astronaut"]
    graph["latent"]["inputs"] |= {"width": 64, "height": 64}
    graph["sampler"]["inputs"]["steps"] = 1
    graph["projection"]["inputs"]["checkpoint"] = "mine/best_model.safetensors"
    result = host.run(graph)
    assert re.search(r"mine/best_model.safetensors, trained with comfyui-clip:[0-9a-f]{16}", result.text("projection"))


def test_text_vectors_are_those_of_the_command_line(host: Host, collect: Collect, weights: str) -> None:
    """ComfyUI's CLIP and `training build`'s reader of the same file agree, so datasets of both can be merged."""
    prompts = ["a surprised man with raised eyebrows", "cat " * 80]
    for prompt in prompts:
        host.run(collect(dataset="compare", prompt=prompt))
    samples = held(host, "compare")
    tokenizer = host.checkout / "comfy" / "sd1_tokenizer"
    encoder = load_encoder(str(host.base / "models" / "checkpoints" / weights), device="cpu", tokenizer=str(tokenizer))
    for ours, theirs in (
        (samples.embeddings, encoder.encode(prompts)),
        (samples.added_targets["subject_embeddings"], encoder.added_targets(prompts)["subject_embeddings"]),
    ):
        assert np.abs(ours - theirs.numpy()).max() < 0.01 * theirs.abs().max()
