"""CLIP Text Encode (Face) in a real ComfyUI: which tokens it changes, for Stable Diffusion 1.5 and XL."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from perception_clip.projection.checkpoint import Checkpoint, load, save
from perception_clip.projection.network import ProjectionNetwork
from perception_clip.projection.spaces import SPACES

from .server import Graph, Host, entry
from .test_projection import conditioning

NODE = "PerceptionClip_TextEncode"
MARKED = "({}:1.375)"  # the weight that Probe_SubjectTokens looks for
# Texts without a noun for a person.
AROUND = (
    "a photo of",
    "masterpiece, best quality,",
    "an (oil painting:1.3) of",
    "((dramatic light)), 35mm,",
    "\\(film\\) still,",
    "naïve café, déjà vu,",
    "日本語 текст 🎭,",
    "[out of focus:0.5],",
    "embedding:missing of",
    "embedding:two_tokens, style of",
    "embedding:only_l, in",
    "the cat's bone,\n\n",
    "1990s 8k (b&w:0.8), womanly manly boyish,",
    "kingdom, headset, manhole",
)
LONG = "an ornate baroque library with towering shelves, marble floors, golden evening light, " * 7
NAMED = (
    "woman",
    "women",
    "old man",
    "Girl",
    "kids",
    "king",
    "queens",
    "fisherman",
    "princess's",
    "gentlemen",
    "person",
)
GIVEN = ("dog", "red panda", "robots", "Zoë", "statue, fountain", "embedding:somebody")


@pytest.fixture(scope="module")
def embeddings(host: Host) -> None:
    """Textual-inversion embeddings of two and three tokens; the last does not fit CLIP-G, so only CLIP-L reads it."""
    folder = host.base / "models" / "embeddings"
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("two_tokens", "somebody"):
        save_file({"clip_l": torch.randn(2, 768), "clip_g": torch.randn(2, 1280)}, folder / f"{name}.safetensors")
    torch.save({"string_to_param": {"*": torch.nn.Parameter(torch.randn(3, 768))}}, folder / "only_l.pt")


def checkpoint_of(host: Host, made: str, space: str, subject: bool = True) -> str:
    """A projection of random weights, with or without vectors of the subject; its faces are far from neutral."""
    torch.manual_seed(0)
    trained, target = load(host.models / made), SPACES[space]
    shape = {"output": target.width, "subject": target.tokens if subject else 0}
    network = ProjectionNetwork(replace(trained.network.architecture, **shape))
    network.features = trained.network.features
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, 0, 0.1)
    neutral = torch.zeros(network.architecture.outputs)
    name = f"random_{space}{'_subject' if subject else ''}"
    save(Checkpoint(network.eval(), replace(trained.metadata, space=space, prompts=[]), neutral), host.models, name)
    return f"{name}.safetensors"


def encoding(photo: str, checkpoint: str, text: str, name: str, family: str = "sd15", **widgets: Any) -> Graph:
    """A photo's face in a prompt, written to output/<name>.pt, and the prompt alone to output/<name>_plain.pt."""
    inputs = {
        "text": text,
        "clip": ["clip", 0],
        "perception": ["perception", 0],
        "checkpoint": checkpoint,
        "subject": "",
        "where": "subject and end",
        "strength": 1.0,
        "start_percent": 0.0,
        "end_percent": 1.0,
        "faces": "first",
    } | widgets
    return {
        "clip": entry("Probe_SmallClip", family=family, seed=0),
        "photo": entry("LoadImage", image=photo),
        "perception": entry("PerceptionClip_FacePerception", image=["photo", 0]),
        "face": entry(NODE, **inputs),
        "plain": entry("CLIPTextEncode", clip=["clip", 0], text=text),
        "save": entry("Probe_SaveConditioning", conditioning=["face", 0], name=name),
        "save plain": entry("Probe_SaveConditioning", conditioning=["plain", 0], name=f"{name}_plain"),
    }


def both(host: Host, graph: Graph) -> tuple[list[list[Any]], list[list[Any]], str]:
    """The steered and the plain conditioning, and what the node shows."""
    result = host.run(graph)
    text = result.text("face")
    name = graph["save"]["inputs"]["name"]
    return conditioning(host, name), conditioning(host, f"{name}_plain"), text


def prompts() -> list[tuple[str, str]]:
    """200 prompts whose subjects are marked by a weight, each with its subject: empty where nouns find it."""
    draw, result = random.Random(0), dict[str, str]()
    while (number := len(result)) < 200:
        given = number % 4 == 3
        words = draw.sample(GIVEN, 1)[0].split(", ") if given else draw.sample(NAMED, draw.choice((1, 1, 2)))
        parts = draw.sample(AROUND, draw.choice((1, 2, 3, 4)))
        if number % 5 == 0:
            parts.insert(0, LONG)  # two or three blocks
        if number % 7 == 0 and not given:
            parts.insert(0, "portrait of")  # of a person, and therefore not the subject
        for word in words:
            marked = MARKED.format(f" {word}" if word.startswith("embedding:") else word)
            parts.insert(draw.randint(1, len(parts)) if parts else 0, marked + draw.choice(("", ",", ".", " and")))
        nouns = {"old man": "man", "princess's": "princess"}
        if not given and any(word in nouns for word in words):
            for word, noun in nouns.items():  # only the noun is the subject, so only it is marked
                parts = [part.replace(MARKED.format(word), word.replace(noun, MARKED.format(noun))) for part in parts]
        result[" ".join(parts)] = ", ".join(words) if given else ""
    return list(result.items())


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_the_subjects_tokens_are_those_that_comfyui_weights(host: Host, embeddings: None, family: str) -> None:
    cases = prompts()
    graph = {
        "clip": entry("Probe_SmallClip", family=family, seed=0),
        "tokens": entry("Probe_SubjectTokens", clip=["clip", 0], prompts=json.dumps(cases)),
    }
    of_prompts = json.loads(host.run(graph).text("tokens"))
    beyond, two = 0, 0
    for (text, subject), of_encoders in zip(cases, of_prompts, strict=True):
        assert len(of_encoders) == (1 if family == "sd15" else 2)
        for found, marked in of_encoders:
            assert found == marked and found, (text, subject, found, marked)
            beyond += max(found) > 77
            two += len(found) > 1
    assert beyond > 10 and two > 50


@pytest.mark.parametrize("text", ["a (sad:1.3) woman, " + LONG, "a portrait of a king", ""])
@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_without_a_face_or_strength_it_is_clip_text_encode(
    host: Host, photos: dict[str, str], checkpoint: str, family: str, text: str
) -> None:
    name = checkpoint_of(host, checkpoint, family)
    for photo, widgets in (("astronaut", {"strength": 0.0}), ("no_face", {"faces": "per frame"})):
        face, plain, note = both(host, encoding(photos[photo], name, text, "same", family, **widgets))
        assert len(face) == len(plain) == 1
        assert torch.equal(face[0][0], plain[0][0]) and face[0][1].keys() == plain[0][1].keys()
        assert torch.equal(face[0][1]["pooled_output"], plain[0][1]["pooled_output"])
        assert ("no face" in note) == (photo == "no_face")


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_each_place_changes_its_tokens_and_no_others(
    host: Host, photos: dict[str, str], checkpoint: str, family: str
) -> None:
    name = checkpoint_of(host, checkpoint, family)
    text = "a (sad:1.2) woman and an old man"
    subject, words, end = {3, 7}, set(range(1, 8)), set(range(8, 77))
    places = {
        "subject and end": (subject, end),
        "subject": (subject,),
        "end": (end,),
        "words": (words,),
        "all": (words | end,),
    }
    for where, groups in places.items():
        [[face, options]], [[plain, before]], note = both(
            host, encoding(photos["astronaut"], name, text, "where", family, where=where, strength=0.5)
        )
        shift = (face - plain)[0]
        assert set(shift.any(dim=-1).nonzero()[:, 0].tolist()) == set().union(*groups), where
        of_groups = [shift[sorted(group)] for group in groups]
        for group, rows in zip(groups, of_groups, strict=True):
            assert torch.allclose(rows, rows[:1].expand_as(rows), atol=1e-4) and rows[0].norm() > 0.1
            share = rows[0].norm() / plain[0, sorted(group)].norm(dim=1).mean()
            assert f" ({len(group)} tokens) by {share:.2f}" in note
        assert len(groups) == 1 or not torch.allclose(of_groups[0][0], of_groups[1][0], atol=0.1)
        assert torch.equal(options["pooled_output"], before["pooled_output"]) == (family == "sd15")
        assert ("the subject “woman, man” (2 tokens) by " in note) == ("subject" in where)
        assert "⚠ acts on" not in note


def test_an_embedding_that_only_one_encoder_reads_moves_the_words_in_the_other(
    host: Host, photos: dict[str, str], checkpoint: str, embeddings: None
) -> None:
    """CLIP-G ignores the embedding of three tokens: `woman` is its token 1, and CLIP-L's token 4."""
    name = checkpoint_of(host, checkpoint, "sdxl")
    graph = encoding(photos["astronaut"], name, "embedding:only_l woman", "one", "sdxl", where="subject")
    [[face, _]], [[plain, _]], _ = both(host, graph)
    moved = (face != plain)[0]
    assert moved[:, :768].any(dim=1).nonzero()[:, 0].tolist() == [4]
    assert moved[:, 768:].any(dim=1).nonzero()[:, 0].tolist() == [1]
    graph = encoding(photos["astronaut"], name, "woman", "other", "sdxl", where="subject")
    assert torch.allclose(both(host, graph)[1][0][0][0, 1, 768:], plain[0, 1, 768:], atol=1e-5)


def test_what_the_prompt_or_the_checkpoint_lacks_is_shown_on_the_node(
    host: Host, photos: dict[str, str], checkpoint: str
) -> None:
    complete, alone = (checkpoint_of(host, checkpoint, "sd15", subject) for subject in (True, False))

    def shown(text: str, name: str = complete, **widgets: Any) -> str:
        return host.run(encoding(photos["astronaut"], name, text, "lacks", **widgets)).text("face")

    where_not = "⚠ acts on the end of the text, not on subject and end: "
    end = "first of 1 face: shifts the end of the text ("
    for text, lack in (
        (shown("a house by the lake"), "the text contains no noun for a person"),
        (shown(""), "the text contains no noun for a person"),
        (shown("a woman", alone), "the checkpoint has no subject vectors"),
    ):
        assert where_not + lack in text and end in text
    partly = shown("a robot and a dog", subject="dog, cat")
    assert "⚠ the text does not contain 'cat'" in partly and "the subject “dog” (1 token) by " in partly
    assert "⚠ the text" not in shown("a robot", subject="cat", where="end")

    def refused(text: str, name: str = complete, **widgets: Any) -> str:
        return host.run(encoding(photos["astronaut"], name, text, "lacks", **widgets)).message

    wrong = refused("a portrait of two women", subject="woman, dog")
    assert "the text does not contain 'woman' or 'dog'" in wrong and "clear subject" in wrong
    assert "the checkpoint targets Stable Diffusion 1.5" in refused("a woman", family="sdxl")
    graph = encoding(photos["astronaut"], complete, "a woman", "lacks", where="here")
    assert host.refuses_choice(graph, "where", "here")


def test_a_long_prompt_is_steered_in_the_block_of_its_subject(
    host: Host, photos: dict[str, str], checkpoint: str
) -> None:
    name = checkpoint_of(host, checkpoint, "sd15")
    graph = encoding(photos["astronaut"], name, LONG + "with a girl in it", "long", start_percent=0.2)
    [[before, _], [face, options]], [[plain, _]], note = both(host, graph)
    assert torch.equal(before, plain) and options["start_percent"] == 0.2 and "the subject “girl” (1 token)" in note
    moved = (face != plain)[0].any(dim=-1)
    end, girl, *padding = moved.nonzero()[:, 0].tolist()  # the first block is full: it ends at its last token
    assert end == 76 and girl > 77 and padding == list(range(girl + 3, 154))


def test_the_picture_follows_the_face(host: Host, photos: dict[str, str], checkpoint: str, weights: str) -> None:
    name, pictures = checkpoint_of(host, checkpoint, "sd15"), []
    for strength in (0.0, 1.0):
        graph = encoding(photos["astronaut"], name, "a portrait of a woman", "sampled", strength=strength)
        graph |= {
            "model": entry("CheckpointLoaderSimple", ckpt_name=weights),
            "negative": entry("CLIPTextEncode", clip=["model", 1], text=""),
            "latent": entry("EmptyLatentImage", width=64, height=64, batch_size=1),
            "sampler": entry(
                "KSampler",
                **{"model": ["model", 0], "positive": ["face", 0], "negative": ["negative", 0]},
                **{"latent_image": ["latent", 0], "seed": 1, "steps": 2, "cfg": 7.0},
                **{"sampler_name": "euler", "scheduler": "normal", "denoise": 1.0},
            ),
            "decode": entry("VAEDecode", samples=["sampler", 0], vae=["model", 2]),
            "image": entry("PreviewImage", images=["decode", 0]),
        }
        graph["face"]["inputs"]["clip"] = graph["plain"]["inputs"]["clip"] = ["model", 1]
        pictures.append(host.run(graph).picture("image").astype(int))
    assert np.abs(pictures[0] - pictures[1]).max() > 1 and pictures[1].std() > 0
