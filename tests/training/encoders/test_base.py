from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from perception_clip.perception.vector import EMOTIONS
from perception_clip.training.encoders import clip
from perception_clip.training.encoders.base import PROBE, TextEncoder, fingerprint
from perception_clip.training.encoders.clip import EncoderError, find_tokenizer
from perception_clip.training.encoders.loading import load_encoder
from perception_clip.training.encoders.random_weights import HashTokenizer
from perception_clip.training.prompts.strengths import prompt_at

from .towers import refused, tower_of

SAMPLED = list(dict.fromkeys(prompt_at(emotion, step / 50) for emotion in EMOTIONS for step in range(75)))
PROMPTS = ["a happy face", "sad", "", "a much longer prompt, with marks!"]


@pytest.fixture(scope="module")
def placeholder() -> TextEncoder:
    return load_encoder("random")


def test_a_vector_is_the_pooler_output_of_transformers(tiny_clip: Path) -> None:
    from transformers import CLIPTextModel, CLIPTokenizer

    encoder = load_encoder(str(tiny_clip))
    model = CLIPTextModel.from_pretrained(tiny_clip).eval()
    tokens = CLIPTokenizer.from_pretrained(tiny_clip)(PROMPTS, padding="max_length", max_length=77, return_tensors="pt")
    with torch.no_grad():
        output = model(input_ids=tokens["input_ids"])
    vectors = encoder.encode(PROMPTS)
    assert vectors.shape == (4, 768) and vectors.dtype == torch.float32 and not vectors.requires_grad
    torch.testing.assert_close(vectors, output.pooler_output)
    ends = (tokens["input_ids"] == tokens["input_ids"].max()).int().argmax(dim=1)
    torch.testing.assert_close(vectors, output.last_hidden_state[range(4), ends])
    assert encoder.identity == f"folder:{tiny_clip.name}"


def test_a_vector_does_not_depend_on_the_other_prompts(placeholder: TextEncoder) -> None:
    many = [f"prompt {'x ' * (number % 50)}" for number in range(70)]
    together = placeholder.encode(many)
    alone = torch.cat([placeholder.encode([prompt]) for prompt in many[::13]])
    torch.testing.assert_close(together[::13], alone, atol=1e-4, rtol=1e-4)
    assert placeholder.encode([]).shape == (0, 768)


@pytest.mark.parametrize(
    "prefix", ["cond_stage_model.transformer.text_model.", "cond_stage_model.transformer.", "text_model."]
)
def test_the_tower_inside_a_checkpoint_file(tiny_clip: Path, tmp_path: Path, prefix: str) -> None:
    tensors = {prefix + name: value.half() for name, value in tower_of(tiny_clip).items()}
    tensors[prefix + "embeddings.position_ids"] = torch.arange(77)[None]  # old checkpoints have it
    tensors["model.diffusion_model.out.0.weight"] = torch.zeros(4)
    save_file(tensors, tmp_path / "my model.safetensors")
    encoder = load_encoder(str(tmp_path / "my model.safetensors"), tokenizer=str(tiny_clip))
    assert encoder.identity.startswith("sd15-file:my model.safetensors:")
    torch.testing.assert_close(encoder.encode(PROMPTS), load_encoder(str(tiny_clip)).encode(PROMPTS), atol=2e-2, rtol=0)
    tensors[prefix + "final_layer_norm.bias"] += 0.5
    save_file(tensors, tmp_path / "my model.safetensors")
    other = load_encoder(str(tmp_path / "my model.safetensors"), tokenizer=str(tiny_clip))
    assert other.identity != encoder.identity
    assert (fingerprint(other) - fingerprint(encoder)).mean() > 0.3


def test_files_of_other_kinds_are_refused(tiny_clip: Path, tmp_path: Path) -> None:
    tower = {f"text_model.{name}": value for name, value in tower_of(tiny_clip).items()}
    for tensors, message in (
        ({"conditioner.embedders.0.x": torch.zeros(1)}, "a Stable Diffusion XL checkpoint, which fits --space sdxl"),
        ({"cond_stage_model.model.x": torch.zeros(1)}, "a Stable Diffusion 2 checkpoint"),
        ({"first_stage_model.x": torch.zeros(1)}, "something else"),
        ({name: value for name, value in tower.items() if "final_layer" not in name}, "incomplete or damaged"),
        ({name: value for name, value in tower.items() if "position" not in name}, "incomplete"),
        ({**tower, "text_model.embeddings.token_embedding.weight": torch.zeros(9, 512)}, "is 512 wide, but Stable"),
    ):
        assert message in refused(tmp_path / "bad.safetensors", tensors, "sd15", tiny_clip)
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "bad.safetensors").read_bytes()[:1000])
    with pytest.raises(EncoderError, match="the file is not a readable safetensors file"):
        load_encoder(str(tmp_path / "cut.safetensors"), tokenizer=str(tiny_clip))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("missing.safetensors", "there is no such file; pass a Stable Diffusion"),
        ("model.ckpt", "can run code when they are loaded"),
        ("/no/such/folder", "there is no such folder. Pass a Stable Diffusion 1.5 .safetensors file.* or 'random'"),
        ("nonsense", "there is no such folder. Pass a Stable Diffusion 1.5 .safetensors file.* or 'random'"),
        ("nobody/no-such-model", "without an internet connection, pass a Stable Diffusion 1.5"),
    ],
)
def test_encoders_that_are_not_there(spec: str, message: str) -> None:
    with pytest.raises(EncoderError, match=message):
        load_encoder(spec)


def test_a_folder_in_the_layout_of_diffusers(tiny_clip: Path, tmp_path: Path) -> None:
    for subfolder, names in {
        "text_encoder": ("config.json", "model.safetensors"),
        "tokenizer": ("vocab.json", "merges.txt"),
    }.items():
        (tmp_path / subfolder).mkdir()
        for name in names:
            shutil.copy(tiny_clip / name, tmp_path / subfolder)
    assert torch.equal(load_encoder(str(tmp_path)).encode(PROMPTS), load_encoder(str(tiny_clip)).encode(PROMPTS))


def test_folders_that_are_no_clip(tiny_clip: Path, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=r"the folder needs the config\.json and model\.safetensors"):
        load_encoder(str(tmp_path))
    from transformers import GPT2Config, GPT2LMHeadModel

    GPT2LMHeadModel(GPT2Config(vocab_size=9, n_embd=768, n_layer=1, n_head=12)).save_pretrained(tmp_path / "gpt")
    with pytest.raises(EncoderError, match=r"no CLIP text model.*weights are missing"):
        load_encoder(str(tmp_path / "gpt"), tokenizer=str(tiny_clip))


def test_a_model_of_another_width_is_refused(tiny_clip: Path, tmp_path: Path) -> None:
    from transformers import CLIPTextConfig, CLIPTextModel

    shape = {"hidden_size": 512, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 8}
    CLIPTextModel(CLIPTextConfig(vocab_size=100, **shape)).save_pretrained(tmp_path)
    with pytest.raises(
        EncoderError, match=r"vectors have 512 numbers, but Stable Diffusion 1\.5 needs 768; pass another"
    ):
        load_encoder(str(tmp_path), tokenizer=str(tiny_clip))


def test_the_tokenizer_is_looked_for_in_its_places(
    tiny_clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tiny_clip / name, bare)
    pack = tmp_path / "ComfyUI" / "custom_nodes" / "my-pack.v2"
    monkeypatch.setattr(clip, "__file__", str(pack / "training" / "encoders" / "clip_tokenizer.py"))
    monkeypatch.setattr(clip, "CLIP_L", "nobody/no-such-model")
    with pytest.raises(EncoderError, match=r"Pass --tokenizer FOLDER with its vocab\.json and merges\.txt"):
        load_encoder(str(bare))
    with pytest.raises(EncoderError, match=r"the folder has no tokenizer; it must contain vocab\.json"):
        load_encoder(str(bare), tokenizer=str(bare))
    shutil.copytree(tiny_clip, tmp_path / "ComfyUI" / "comfy" / "sd1_tokenizer")
    torch.testing.assert_close(load_encoder(str(bare)).encode(PROMPTS), load_encoder(str(tiny_clip)).encode(PROMPTS))


def test_a_tokenizer_of_another_model_is_refused(tiny_clip: Path, shared_data: Path) -> None:
    with pytest.raises(EncoderError, match=r"the tokenizer 49408, so it belongs to another model"):
        load_encoder(str(tiny_clip), tokenizer=str(shared_data / "clip_tokenizer"))


def test_clips_own_tokenizer(shared_data: Path) -> None:
    tokenize = find_tokenizer(shared_data / "clip_tokenizer")
    assert (tokenize.size, tokenize.end) == (49408, 49407)
    assert tokenize("A Photo of a happy  person!") == [49406, 320, 1125, 539, 320, 900, 2533, 256, 49407]
    assert tokenize("") == [49406, 49407]
    assert len(tokenize("word " * 100)) == 102


@pytest.mark.parametrize("random", [True, False])
def test_long_prompts_are_cut_with_a_warning(random: bool, tiny_clip: Path) -> None:
    encoder = load_encoder("random" if random else str(tiny_clip))
    fits, cut = "x " * 75, "x " * 75 + "and this is not read"
    with pytest.warns(
        UserWarning, match=r"has \d\d tokens, but CLIP reads only 77.*from 'and this is not read' on.*'x x"
    ) as seen:
        vector = encoder.encode([cut, cut])[:1]
        encoder.token_states(cut)
        encoder.encode([cut + "!"])
    assert len(seen) == 2  # one for each prompt
    torch.testing.assert_close(vector, encoder.encode([fits]))


def test_the_placeholder_is_the_same_everywhere_and_says_what_it_is(placeholder: TextEncoder) -> None:
    assert placeholder.identity == "random-weight placeholder (not a trained encoder)/1"
    vector = placeholder.encode(["a happy face"])[0]
    assert vector[:5].tolist() == pytest.approx([0.6382, -1.8082, 1.6201, -0.2862, 0.5448], abs=2e-3)
    assert torch.equal(fingerprint(placeholder), placeholder.encode([PROBE])[0])


def test_the_placeholder_has_the_shape_of_clips_text_space(placeholder: TextEncoder) -> None:
    vectors = placeholder.encode(SAMPLED)
    assert vectors.norm(dim=1).tolist() == pytest.approx([28.4] * len(SAMPLED), rel=0.05)  # CLIP's mean is 28.4
    cosines = torch.nn.functional.normalize(vectors, dim=1)
    cosines = (cosines @ cosines.T)[~torch.eye(len(SAMPLED), dtype=torch.bool)]
    assert 0.3 < cosines.mean() < 0.7 and cosines.max() < 0.995  # apart, but in one direction, as CLIP's are
    near, far = placeholder.encode(["a happy man", "a very happy man", "mountains at dawn"])[1:] - placeholder.encode(
        ["a happy man"]
    )
    assert near.norm() < far.norm()


def test_the_placeholder_tells_all_our_words_apart() -> None:
    words = {word for prompt in SAMPLED for word in prompt.split()}
    tokenize = HashTokenizer()
    assert len({tokenize(word)[1] for word in words}) == len(words)
