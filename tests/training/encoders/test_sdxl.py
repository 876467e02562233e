"""The sdxl space, on small models with the real ones' widths: one is saved in every layout that is read."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from perception_clip.projection.spaces import added_targets
from perception_clip.training.dataset.samples import same_encoder
from perception_clip.training.encoders.base import PROBE, TokenEncoder, fingerprint
from perception_clip.training.encoders.clip import EncoderError
from perception_clip.training.encoders.loading import load_encoder
from perception_clip.training.encoders.random_weights import IDENTITY
from perception_clip.training.encoders.tower_files import PREFIX_G, PREFIX_L, from_openclip, text_model

from .towers import refused, tower_of

PROMPTS = ["a happy face", "sad", "", "a much longer prompt, with marks!"]


@pytest.fixture(scope="module")
def folder(tiny_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SDXL's text encoders in diffusers' layout: three layers of CLIP-L, two of CLIP-G."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    root = tmp_path_factory.mktemp("sdxl")
    size = len(CLIPTokenizer.from_pretrained(tiny_clip))
    common = {"vocab_size": size, "intermediate_size": 64, "bos_token_id": size - 2, "eos_token_id": size - 1}
    torch.manual_seed(1)
    narrow = CLIPTextConfig(hidden_size=768, num_attention_heads=12, num_hidden_layers=3, **common)
    wide = CLIPTextConfig(
        hidden_size=1280, num_attention_heads=20, num_hidden_layers=2, projection_dim=1280, hidden_act="gelu", **common
    )
    for model, name in ((CLIPTextModel(narrow), "text_encoder"), (CLIPTextModelWithProjection(wide), "text_encoder_2")):
        for parameter in model.parameters():  # biases and norms too, which transformers starts as zeros and ones
            parameter.data += torch.randn_like(parameter) * 0.02
        model.save_pretrained(root / name)
    for name in ("tokenizer", "tokenizer_2"):
        (root / name).mkdir()
        for file in ("vocab.json", "merges.txt"):
            shutil.copy(tiny_clip / file, root / name)
    return root


@pytest.fixture(scope="module")
def checkpoint(folder: Path) -> dict[str, Tensor]:
    """The same weights under the names that an SDXL checkpoint file has."""
    clip_l = {PREFIX_L + key: value for key, value in tower_of(folder / "text_encoder").items()}
    clip_g = {PREFIX_G + key: value for key, value in to_openclip(tower_of(folder / "text_encoder_2")).items()}
    return {
        **clip_l,
        **clip_g,
        PREFIX_L + "embeddings.position_ids": torch.arange(77)[None],  # these three are no weights of the towers
        PREFIX_G + "logit_scale": torch.tensor(4.6),
        "model.diffusion_model.out.0.weight": torch.zeros(4),
    }


def to_openclip(tower: dict[str, Tensor]) -> dict[str, Tensor]:
    """The names and shapes of OpenCLIP's TextTransformer, written down from its side."""
    renamed = {
        "token_embedding.weight": tower["embeddings.token_embedding.weight"],
        "positional_embedding": tower["embeddings.position_embedding.weight"],
        "text_projection": tower["text_projection.weight"].T.contiguous(),
    }
    layers = len({name.split(".")[2] for name in tower if name.startswith("encoder.layers.")})
    parts = {"attn.out_proj": "self_attn.out_proj", "ln_1": "layer_norm1", "ln_2": "layer_norm2"}
    parts |= {"mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    for kind in ("weight", "bias"):
        renamed[f"ln_final.{kind}"] = tower[f"final_layer_norm.{kind}"]
        for number in range(layers):
            ours, theirs = f"encoder.layers.{number}.", f"transformer.resblocks.{number}."
            attention = [tower[f"{ours}self_attn.{which}_proj.{kind}"] for which in "qkv"]
            renamed[f"{theirs}attn.in_proj_{kind}"] = torch.cat(attention)
            renamed |= {f"{theirs}{part}.{kind}": tower[f"{ours}{name}.{kind}"] for part, name in parts.items()}
    return renamed


def sdxl(spec: Path | str, tokenizer: Path | None = None) -> TokenEncoder:
    return load_encoder(str(spec), tokenizer=None if tokenizer is None else str(tokenizer), space="sdxl")


def assert_same(one: TokenEncoder, other: TokenEncoder, **tolerance: Any) -> None:
    torch.testing.assert_close(one.encode(PROMPTS), other.encode(PROMPTS), **tolerance)
    torch.testing.assert_close(one.added_targets(PROMPTS), other.added_targets(PROMPTS), **tolerance)


def test_vectors_are_those_of_diffusers(folder: Path) -> None:
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    ids = CLIPTokenizer.from_pretrained(folder / "tokenizer")(
        PROMPTS, padding="max_length", max_length=77, return_tensors="pt"
    )["input_ids"]
    ends = (ids == ids.max()).int().argmax(dim=1)
    zeros = torch.where(torch.arange(77) > ends[:, None], 0, ids)  # CLIP-G's padding
    clip_l = CLIPTextModel.from_pretrained(folder / "text_encoder").eval()
    clip_g = CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder_2").eval()
    with torch.no_grad():
        narrow = clip_l(input_ids=ids, output_hidden_states=True)
        wide = clip_g(input_ids=zeros, output_hidden_states=True)
    states = torch.cat([narrow.hidden_states[-2], wide.hidden_states[-2]], dim=-1)
    encoder = sdxl(folder)
    targets = encoder.added_targets(PROMPTS)
    assert {name: (vectors.shape, vectors.dtype) for name, vectors in targets.items()} == {
        name: ((4, width), torch.float32) for name, width in added_targets("sdxl", subject=True).items()
    }
    tolerance = {"atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(encoder.encode(PROMPTS), narrow.pooler_output, **tolerance)
    torch.testing.assert_close(targets["sdxl_embeddings"], states[range(4), ends], **tolerance)
    torch.testing.assert_close(targets["sdxl_pooled"], wide.text_embeds, **tolerance)
    torch.testing.assert_close(encoder.token_states(PROMPTS[3]), states[3:], **tolerance)
    assert (encoder.identity, encoder.space) == (f"folder:{folder.name}", "sdxl")
    assert targets["sdxl_embeddings"].std() > 0.1 and targets["sdxl_pooled"].std() > 0.1
    followed = CLIPTokenizer.from_pretrained(folder / "tokenizer")("sad, a person", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        narrow, wide = (model(input_ids=followed, output_hidden_states=True) for model in (clip_l, clip_g))
    noun = torch.cat([narrow.hidden_states[-2][0, -2], wide.hidden_states[-2][0, -2]])
    torch.testing.assert_close(targets["sdxl_subject"][1], noun, **tolerance)
    torch.testing.assert_close(targets["subject_embeddings"][1], narrow.last_hidden_state[0, -2], **tolerance)


def test_the_towers_inside_a_checkpoint_file(folder: Path, checkpoint: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "my xl.safetensors"
    save_file(checkpoint, path)
    encoder = sdxl(path, folder / "tokenizer")
    assert encoder.identity.startswith("sdxl-file:my xl.safetensors:")
    assert_same(encoder, sdxl(folder))
    linear = dict(checkpoint)
    linear[PREFIX_G + "text_projection.weight"] = linear.pop(PREFIX_G + "text_projection").T.contiguous()
    save_file(linear, path)
    assert_same(sdxl(path, folder / "tokenizer"), encoder)
    save_file({name: value.half() for name, value in checkpoint.items()}, path)
    assert_same(sdxl(path, folder / "tokenizer"), encoder, atol=2e-2, rtol=0)
    changed = {**checkpoint, PREFIX_G + "ln_final.bias": checkpoint[PREFIX_G + "ln_final.bias"] + 0.5}
    save_file(changed, path)
    other = sdxl(path, folder / "tokenizer")
    assert other.identity != encoder.identity and torch.equal(other.encode([PROBE]), encoder.encode([PROBE]))
    assert not same_encoder(fingerprint(other).numpy(), fingerprint(encoder).numpy())  # though CLIP-L is the same
    assert same_encoder(fingerprint(encoder).numpy(), fingerprint(sdxl(folder)).numpy())
    assert (other.added_targets(["x"])["sdxl_pooled"] - encoder.added_targets(["x"])["sdxl_pooled"]).abs().mean() > 0.1


def test_files_of_other_kinds_are_refused(folder: Path, checkpoint: dict[str, Tensor], tmp_path: Path) -> None:
    checkpoint = {name: value.bfloat16() for name, value in checkpoint.items()}  # half as much to write
    path, tokenizer, one = tmp_path / "bad.safetensors", folder / "tokenizer", torch.zeros(1)
    assert "XL checkpoint, which fits --space sdxl" in refused(path, checkpoint, "sd15", tokenizer)
    for name, message in (
        ("cond_stage_model.transformer.text_model.embeddings.token_embedding.weight", "alone, which fits --space sd15"),
        ("conditioner.embedders.0.model.x", "refiner, which has no CLIP-L"),
        ("cond_stage_model.model.x", "Stable Diffusion 2"),
        ("first_stage_model.x", "something else"),
    ):
        assert message in refused(path, {name: one}, "sdxl", tokenizer)
    with pytest.raises(EncoderError, match=r"none\.safetensors: there is no such file"):
        sdxl(tmp_path / "none.safetensors")

    def without(name: str) -> dict[str, Tensor]:
        return {key: value for key, value in checkpoint.items() if name not in key}

    for tensors, message in (
        (without("text_projection"), "CLIP-G is incomplete (no text_projection)"),
        (without("positional"), "(CLIP-G): the text encoder is incomplete"),
        (without("resblocks.1.attn.in_proj_bias"), "(CLIP-G): the text encoder is incomplete or damaged"),
        (without("layers.1.self_attn.k_proj.bias"), "(CLIP-L): the text encoder is incomplete or damaged"),
        ({**checkpoint, PREFIX_G + "token_embedding.weight": torch.zeros(9, 1024)}, "is 1024 wide, but Stable"),
    ):
        assert message in refused(path, tensors, "sdxl", tokenizer)


@pytest.mark.parametrize("value", [torch.zeros(1), torch.tensor(1.0)])
@pytest.mark.parametrize(
    "name",
    ["surplus", "transformer.resblocks.0.attn.surplus", "transformer.resblocks.x", "text_projection",
     "transformer.resblocks.0.attn.in_proj_bias", "positional_embedding"],
)  # fmt: skip
def test_towers_with_odd_tensors_are_refused(checkpoint: dict[str, Tensor], name: str, value: Tensor) -> None:
    tower = {key.removeprefix(PREFIX_G): weight for key, weight in checkpoint.items() if key.startswith(PREFIX_G)}
    del tower["logit_scale"]
    with pytest.raises(EncoderError, match="my file: the text encoder is incomplete"):
        text_model("my file", from_openclip({**tower, name: value}), 1280, "Stable Diffusion XL", "gelu")


def test_folders_of_the_other_space_are_refused(folder: Path, tiny_clip: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"Stable Diffusion XL's two text encoders; pass --space sdxl"):
        load_encoder(str(folder))
    with pytest.raises(
        EncoderError, match=r"a single model, which may fit --space sd15; --space sdxl needs the subfolders"
    ):
        sdxl(tiny_clip)
    with pytest.raises(EncoderError, match=r"the folder needs the subfolders text_encoder and text_encoder_2"):
        sdxl(tmp_path)
    with pytest.raises(EncoderError, match=r"Hugging Face id such as stabilityai/stable-diffusion-xl-base-1\.0"):
        sdxl("nonsense")
    with pytest.raises(
        EncoderError, match=r"without an internet connection, pass a Stable Diffusion XL \.safetensors file"
    ):
        sdxl("nobody/no-such-model")
    with pytest.raises(EncoderError, match=r"the text space 'sd3' does not exist; choose sd15 or sdxl"):
        load_encoder("random", space="sd3")
    shutil.copytree(folder, tmp_path / "swapped")
    shutil.rmtree(tmp_path / "swapped" / "text_encoder_2")
    shutil.copytree(folder / "text_encoder", tmp_path / "swapped" / "text_encoder_2")
    with pytest.raises(
        EncoderError, match=r"in text_encoder_2.* 1 of its weights are missing, such as text_projection"
    ):
        sdxl(tmp_path / "swapped")


@pytest.mark.parametrize("kept", ["tokenizer", "tokenizer_2"])
def test_tokenizers_beside_the_models(kept: str, folder: Path, tmp_path: Path) -> None:
    from transformers import CLIPTokenizerFast

    for name in ("text_encoder", "text_encoder_2"):
        (tmp_path / name).symlink_to(folder / name)
    CLIPTokenizerFast.from_pretrained(folder / "tokenizer").save_pretrained(tmp_path / "all")
    (tmp_path / kept).mkdir()
    shutil.copy(tmp_path / "all" / "tokenizer.json", tmp_path / kept)  # that one file is enough
    assert_same(sdxl(tmp_path), sdxl(folder))


def test_the_default_is_the_base_model(monkeypatch: pytest.MonkeyPatch) -> None:
    for space, name in (
        ("sd15", "openai/clip-vit-large-patch14"),
        ("sdxl", "stabilityai/stable-diffusion-xl-base-1.0"),
    ):
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", "/nowhere")
        with pytest.raises(EncoderError, match=f"{name}: the text encoder could not be loaded; without an internet"):
            load_encoder(None, space=space)


def test_the_placeholder(recwarn: pytest.WarningsRecorder) -> None:
    encoder = sdxl("random")
    added_targets = encoder.added_targets(["a happy face", "a sad face"])
    assert encoder.identity == IDENTITY
    sd15 = load_encoder("random")
    assert torch.equal(fingerprint(encoder)[:768], fingerprint(sd15))
    assert added_targets["sdxl_pooled"][0, :4].tolist() == pytest.approx([0.6267, -0.8926, -1.6804, 1.8052], abs=2e-3)
    encoder.added_targets(["word " * 100, "word " * 100])
    encoder.encode(["word " * 100])
    assert len(recwarn) == 1 and "has 102 tokens, but CLIP reads only 77" in str(recwarn[0].message)
    assert encoder.added_targets([])["sdxl_embeddings"].shape == (0, 2048)
