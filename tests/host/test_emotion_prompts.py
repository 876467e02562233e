"""Emotion Prompts in a real ComfyUI, with a random-weight Stable Diffusion 1.5."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from .server import Graph, Host, entry
from .test_face_perception import perceive, photo
from .test_perception_info import EMOTIONS, inform, values

NODE = "PerceptionClip_EmotionPrompts"
Prompting = Callable[..., Graph]
Entries = list[list[Any]]


@pytest.fixture
def defaults(host: Host) -> dict[str, Any]:
    """What the node's widgets hold if nobody changes them."""
    return host.defaults(NODE)


@pytest.fixture
def prompting(defaults: dict[str, Any], weights: str, photos: dict[str, str]) -> Prompting:
    """From photo to conditioning, written to output/<save>.pt, with changed widgets; `text` shows the text."""

    def make(picture: str = "astronaut", save: str = "emotions", **widgets: Any) -> Graph:
        node = defaults | {"perception": ["perception", 0], "clip": ["model", 1]} | widgets
        return perceive(photo(photos[picture])) | {
            "model": entry("CheckpointLoaderSimple", ckpt_name=weights),
            "prompts": entry(NODE, **node),
            "text": entry("PreviewAny", source=["prompts", 1]),
            "save": entry("Probe_SaveConditioning", conditioning=["prompts", 0], name=save),
        }

    return make


def saved(host: Host, graph: Graph) -> Entries:
    result = host.run(graph)
    assert result.succeeded, result.message
    name = graph["save"]["inputs"]["name"]
    return torch.load(host.base / "output" / f"{name}.pt", weights_only=True)  # type: ignore[no-any-return]


def encoded(host: Host, graph: Graph, text: str) -> Entries:
    """What ComfyUI's own node makes of a text, with the graph's CLIP."""
    graph = {name: graph[name] for name in ("model", "save")} | {
        "prompts": entry("CLIPTextEncode", clip=graph["prompts"]["inputs"]["clip"], text=text)
    }
    return saved(host, graph)


def equal(one: Entries, other: Entries) -> bool:
    return len(one) == len(other) and all(
        torch.equal(a[0], b[0]) and torch.equal(a[1]["pooled_output"], b[1]["pooled_output"])
        for a, b in zip(one, other, strict=True)
    )


def three_photos(graph: Graph, photos: dict[str, str]) -> Graph:
    """The graph with astronaut, no_face and grace_hopper as one batch."""
    nodes = {name: photo(photos[name])["picture"] for name in ("astronaut", "no_face", "grace_hopper")}
    two = entry("ImageBatch", image1=["astronaut", 0], image2=["no_face", 0])
    three = entry("ImageBatch", image1=["two", 0], image2=["grace_hopper", 0])
    return graph | nodes | {"two": two, "picture": three}


def test_the_strongest_emotion_alone_is_its_prompt(host: Host, prompting: Prompting, defaults: dict[str, Any]) -> None:
    graph = prompting(top_k=1)
    text = defaults["base_prompt"].replace("{emotion}", defaults["happy"])
    assert equal(saved(host, graph), encoded(host, graph, text))
    assert host.run(graph).text("text").startswith("first of 1 face: happy 100%\nstrength 1\n\nangry: ")
    assert host.run(graph).output("prompts")["note"] == ["first of 1 face: happy 100%\nstrength 1"]
    assert f"\nhappy: {text}\n" in host.run(graph).text("text")


def test_prompts_are_mixed_as_the_face_shows_them(
    host: Host, prompting: Prompting, photos: dict[str, str], defaults: dict[str, Any]
) -> None:
    graph = prompting("grace_hopper", base_prompt="a person")
    [[tokens, options]] = saved(host, graph)
    shown = values(host, inform(perceive(photo(photos["grace_hopper"]))))
    parts = [encoded(host, graph, f"a person, {defaults[emotion]}")[0] for emotion in EMOTIONS]
    expected = sum(shown[emotion] * part[0] for emotion, part in zip(EMOTIONS, parts, strict=True))
    pooled = sum(shown[emotion] * part[1]["pooled_output"] for emotion, part in zip(EMOTIONS, parts, strict=True))
    assert (tokens - expected).abs().max() < 1e-4
    assert (options["pooled_output"] - pooled).abs().max() < 1e-4
    assert (tokens - parts[EMOTIONS.index("neutral")][0]).abs().max() > 0.01


def test_strength_zero_and_no_face_are_the_neutral_prompt(
    host: Host, prompting: Prompting, defaults: dict[str, Any]
) -> None:
    neutral = encoded(host, prompting(), defaults["base_prompt"].replace("{emotion}", defaults["neutral"]))
    assert equal(saved(host, prompting(strength=0)), neutral)
    for faces in ("first", "mean", "each", "per frame"):
        nobody = prompting("no_face", strength=3, faces=faces)
        assert equal(saved(host, nobody), neutral)
    assert host.run(nobody).text("text").startswith("no face: using the neutral prompt\n\n")


def test_each_prompt_is_encoded_once(host: Host, prompting: Prompting) -> None:
    def queue(picture: str, **widgets: Any) -> int:
        """How many prompts have been encoded when the run is over."""
        graph = prompting(picture, clip=["counting", 0], **widgets)
        counting = entry("Probe_CountingClip", clip=["model", 1], name="encodes")
        assert host.run(graph | {"counting": counting}).succeeded
        return len((host.base / "output" / "encodes.txt").read_text().splitlines())

    assert queue("astronaut") == 7
    assert queue("grace_hopper", temperature=0.5, strength=2.0) == 7
    assert queue("grace_hopper", happy="a broad grin", sad="a broad grin") == 8


def test_every_picture_has_its_row(host: Host, prompting: Prompting, photos: dict[str, str]) -> None:
    graph = three_photos(prompting(faces="per frame"), photos)
    [[tokens, options]] = saved(host, graph)
    assert tokens.shape == (3, 77, 768)
    assert len(options["pooled_output"]) == 3
    [[neutral, _]] = saved(host, prompting(strength=0))
    assert torch.equal(tokens[1], neutral[0])
    assert (tokens[0] - tokens[2]).abs().max() > 0.01
    lines = host.run(graph).text("text").splitlines()
    assert lines[0].startswith("picture 0: happy 9")
    assert lines[1] == "picture 1: no face: using the neutral prompt"
    assert lines[2].startswith("picture 2: neutral")
    each = saved(host, three_photos(prompting(faces="each"), photos))
    assert len(each) == 2
    assert torch.allclose(torch.cat([entry[0] for entry in each]), tokens[[0, 2]], atol=1e-5)


SHORT, LONG = "photo of a calm face", "photo of a happy face, joyful broad smile, laughing eyes"


def half_happy(host: Host, prompting: Prompting, family: str) -> list[list[Any]]:
    """The tokens (T, width) and options half way between the short and the long prompt, and of both, the long first."""
    _, choice = host.get("/object_info/Probe_SmallClip")["Probe_SmallClip"]["input"]["required"]["family"]
    assert "flux" in choice["options"]
    if family not in choice["options"]:
        pytest.skip(f"the ComfyUI in {host.checkout} does not know {family}")
    graph = prompting(base_prompt="{emotion}", happy=LONG, neutral=SHORT, top_k=1, strength=0.5, clip=["model", 0])
    graph["model"] = entry("Probe_SmallClip", family=family, seed=0)
    entries = saved(host, graph) + encoded(host, graph, LONG) + encoded(host, graph, SHORT)
    return [[tokens[0], options] for tokens, options in entries]


@pytest.mark.parametrize("family", ["sd15", "flux", "sd3"])
def test_padded_prompts_end_together(host: Host, prompting: Prompting, family: str) -> None:
    """T5's and CLIP's end tokens fall onto each other, as the padding after them does."""
    from transformers import CLIPTokenizer, T5TokenizerFast

    clip = CLIPTokenizer.from_pretrained(host.checkout / "comfy" / "sd1_tokenizer")
    t5 = T5TokenizerFast.from_pretrained(host.checkout / "comfy" / "text_encoders" / "t5_tokenizer")
    mixed, happy, neutral = (tokens for tokens, _ in half_happy(host, prompting, family))
    assert mixed.shape == happy.shape == neutral.shape
    for start, tokenizer in {"sd15": [(0, clip)], "flux": [(0, t5)], "sd3": [(0, clip), (77, t5)]}[family]:
        long, short = (len(tokenizer(text)["input_ids"]) for text in (LONG, SHORT))
        assert long > short + 5
        pairs = [(0, 0), (2, 2), (long - 2, short - 2), (long - 1, short - 1), (long, short), (long + 7, short + 7)]
        here, there = (start + torch.tensor(places) for places in zip(*pairs, strict=True))
        torch.testing.assert_close(mixed[here], 0.5 * (happy[here] + neutral[there]), atol=1e-4, rtol=0)


# Tokens of the template before the text, as far as they are conditioned on, and after it: T5's end token, for PixArt.
TEMPLATES = {
    "pixart": (0, 1),
    "qwen_image": (0, 5),
    "omnigen2": (23, 2),
    "z_image": (3, 5),
    "flux2_klein": (3, 9),
    "ovis": (1, 9),
    "kandinsky5": (0, 1),
    "anima": (0, 0),
    "boogu": (29, 2),
}


@pytest.mark.parametrize("family", TEMPLATES)
def test_chat_templates_close_together(host: Host, prompting: Prompting, family: str) -> None:
    (mixed, options), happy, neutral = half_happy(host, prompting, family)
    before, after = TEMPLATES[family]
    lengths = [length(*happy), length(*neutral)]
    assert length(mixed, options) == lengths[0] > lengths[1] + 5 and mixed.shape == happy[0].shape
    long, short = ([*range(before + 3), *range(end - after, end)] for end in lengths)  # with "photo of a"
    torch.testing.assert_close(mixed[long], 0.5 * (happy[0][long] + neutral[0][short]), atol=1e-4, rtol=0)


def length(tokens: torch.Tensor, options: dict[str, Any]) -> int:
    """The number of tokens without padding, which a mask leaves out or which is zero."""
    mask = options.get("attention_mask")
    assert mask is None or mask.shape == (1, len(tokens))
    return int(tokens.any(dim=1).sum() if mask is None else mask.sum())


def test_the_words_are_of_one_length(host: Host, defaults: dict[str, Any]) -> None:
    """So that the prompts' ends fall onto each other; see the node's defaults."""
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(host.checkout / "comfy" / "sd1_tokenizer")
    assert {len(tokenizer.tokenize(defaults[emotion])) for emotion in EMOTIONS} == {12}
