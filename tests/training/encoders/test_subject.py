"""The subject's vector: the state of the noun in "{prompt}, a person", which has read the whole prompt."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from perception_clip.projection.spaces import added_targets
from perception_clip.training.encoders.base import SUBJECT_SUFFIX, KnownPrompts, TextEncoder
from perception_clip.training.encoders.clip import PromptTokenizer, find_tokenizer
from perception_clip.training.encoders.loading import load_encoder
from perception_clip.training.encoders.random_weights import HashTokenizer

PERSON, END = 2533, 49407  # CLIP's tokens of "person" and of the end of the text
PROMPTS = [
    *("a happy face", "sad", "", "a smiling person", "a photo, of a man, laughing", "two people, one crying"),
    *("a person", "ein müdes Gesicht", "лицо 😀", "笑っている人", "naïve café", "don't you smile"),
    *("a face: 100 % joy", "(grin:1.2)", "UPPER Case", "  spaces   around ", "dot.", "what?!", "a_b-c/d", "word " * 80),
]


def test_the_noun_is_the_last_token_of_every_prompt(shared_data: Path) -> None:
    tokenize = find_tokenizer(shared_data / "clip_tokenizer")
    tokens = PromptTokenizer(tokenize, 77)
    assert len(PROMPTS) == 20
    for prompt in PROMPTS[:-1]:
        ids = tokens(prompt, SUBJECT_SUFFIX)
        assert ids == [*tokenize(prompt)[:-1], 267, 320, PERSON, END], prompt
        if prompt[-1:].isalnum():  # a mark at the end would grow together with the comma
            assert ids == tokenize(f"{prompt}{SUBJECT_SUFFIX}"), prompt
    with pytest.warns(UserWarning, match="has 82 tokens, but CLIP reads only 74 before ', a person'") as seen:
        ids = [tokens(PROMPTS[-1], SUBJECT_SUFFIX), tokens(PROMPTS[-1], SUBJECT_SUFFIX)][1]
    assert len(seen) == 1  # one for each prompt
    assert ids == [*tokenize("word " * 72)[:-1], 267, 320, PERSON, END] and len(ids) == 77


def test_a_prompt_that_fits_is_cut_for_the_subject_only() -> None:
    tokens = PromptTokenizer(HashTokenizer(), 77)
    words, more = "x " * 72, "x " * 75
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (len(tokens(words)), len(tokens(words, SUBJECT_SUFFIX)), len(tokens(more))) == (74, 77, 77)
    with pytest.warns(UserWarning, match="from 'x x x' on"):
        assert tokens(more, SUBJECT_SUFFIX) == tokens(words, SUBJECT_SUFFIX)


def test_it_is_the_state_of_transformers(tiny_clip: Path) -> None:
    from transformers import CLIPTextModel, CLIPTokenizer

    model, tokenizer = CLIPTextModel.from_pretrained(tiny_clip).eval(), CLIPTokenizer.from_pretrained(tiny_clip)
    prompts = ["a happy face", "sad", "", "one, two, and three"]
    vectors = load_encoder(str(tiny_clip)).added_targets(prompts)["subject_embeddings"]
    assert vectors.shape == (4, 768) and vectors.dtype == torch.float32 and not vectors.requires_grad
    for prompt, vector in zip(prompts, vectors, strict=True):
        with torch.no_grad():
            states = model(**tokenizer(f"{prompt}, a person", return_tensors="pt")).last_hidden_state[0]
        torch.testing.assert_close(vector, states[-2])  # before the end of the text


@pytest.mark.parametrize("space", ["sd15", "sdxl"])
def test_it_has_read_the_prompt_and_nothing_after_it(space: str) -> None:
    encoder = load_encoder("random", space=space)
    prompts = ["a happy face", "a sad face", "a happy face", "a happy faces"]
    targets = encoder.added_targets(prompts)
    assert {name: values.shape for name, values in targets.items()} == {
        name: (4, width) for name, width in added_targets(space, subject=True).items()
    }
    name = {"sd15": "subject_embeddings", "sdxl": "sdxl_subject"}[space]
    happy, sad, same, plural = targets[name]
    assert torch.equal(happy, same)
    assert all((happy - other).norm() > 0.1 * happy.norm() for other in (sad, plural))
    # BOS and three words stand before the comma, and the noun is the third token from there, whatever follows it.
    states = encoder.token_states("a happy face, a person, who is not sad at all")[0]
    torch.testing.assert_close(states[1 + 3 + 2], happy, atol=1e-4, rtol=1e-4)
    alone = torch.cat([encoder.added_targets([prompt])[name] for prompt in prompts])
    torch.testing.assert_close(alone, targets[name], atol=1e-4, rtol=1e-4)


def test_known_prompts_have_what_their_encoder_has() -> None:
    encoder: TextEncoder = load_encoder("random")
    known = KnownPrompts.encoded(encoder, ["a smile", "a frown"])
    assert known.has_subject and encoder.has_subject
    expected = encoder.added_targets(["a frown"])["subject_embeddings"]
    torch.testing.assert_close(known.added_targets(["a frown"])["subject_embeddings"], expected, atol=1e-4, rtol=1e-4)
    assert not KnownPrompts("x", "sd15", ["a"], torch.zeros(1, 768), {}).has_subject
