"""CLIP's tokenizer and text models from transformers, and the text encoders of Stable Diffusion 1.5 and XL.

Stable Diffusion 1.5 and both text encoders of Stable Diffusion XL have the same tokenizer.

SDXL is conditioned on two text encoders at once: CLIP ViT-L/14 (768 wide) and OpenCLIP ViT-bigG/14, "CLIP-G" (1280).
For each token it attends to the concatenated states (2048) of both after the second-to-last layer, without the final
layer norm. It also gets one pooled vector: CLIP-G's end-of-text state after the final layer norm, times its text
projection (1280). diffusers' StableDiffusionXLPipeline and ComfyUI (comfy/sdxl_clip.py) do the same; see Podell et al.
2023, arXiv:2307.01952, section 2.1.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import torch
from torch import Tensor

from ...common.errors import PerceptionClipError
from ...projection.spaces import ADDED_TARGETS, EMBEDDING, SD15, SDXL
from .base import SUBJECT_SUFFIX

if TYPE_CHECKING:
    from transformers import CLIPTextModel, CLIPTextModelWithProjection


T = TypeVar("T")

CLIP_L = "openai/clip-vit-large-patch14"  # the text encoder of Stable Diffusion 1.5, on the Hugging Face hub
SHOWN = 80  # characters of a prompt in a warning
SPECIAL_TOKENS = 4  # begin, end, padding and unknown: a tokenizer with only these has no words
FILES = (("tokenizer.json",), ("vocab.json", "merges.txt"))  # either set is a complete tokenizer

BATCH = 32
FAMILY = "Stable Diffusion XL"
WIDTH_G = ADDED_TARGETS[SDXL.name]["sdxl_pooled"]
PADDING_G = 0  # the token after the end-of-text token in CLIP-G; CLIP-L repeats the end-of-text token


class EncoderError(PerceptionClipError, ValueError):
    """Raised for a text encoder that cannot be loaded or used; the message names what to pass instead."""


class Tokenize(Protocol):
    """A tokenizer: text → token ids between the begin-of-text and end-of-text tokens, of any length."""

    end: int  # the id of the end-of-text token
    size: int  # number of ids

    def __call__(self, prompt: str) -> list[int]:
        """Return the ids of one prompt."""
        ...

    def text(self, ids: list[int]) -> str:
        """Return approximately the words of these ids."""
        ...


class ClipTokenizer:
    """CLIP's byte-pair tokenizer from transformers."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.end = int(tokenizer.eos_token_id)
        self.size = len(tokenizer)

    def __call__(self, prompt: str) -> list[int]:
        ids: list[int] = self._tokenizer(prompt, verbose=False)["input_ids"]
        return ids

    def text(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True)).strip()


class PromptTokenizer:
    """Prompts → token ids that a model can read; prompts that are too long are cut, with one warning each."""

    def __init__(self, tokenize: Tokenize, longest: int) -> None:
        """Prepare a tokenizer for a model that reads `longest` tokens (77)."""
        self.end = tokenize.end
        self.size = tokenize.size
        self.longest = longest
        self._tokenize = tokenize
        self._warned: set[str] = set()

    def __call__(self, prompt: str, suffix: str = "") -> list[int]:
        """Return the ids of a prompt followed by those of `suffix`, for which a long prompt is cut earlier."""
        ids, last = self._tokenize(prompt), self._tokenize(suffix)[1:]
        kept = self.longest - len(last)
        if len(ids) - 1 > kept and prompt not in self._warned:
            self._warned.add(prompt)
            cut_off = self._tokenize.text(ids[kept:-1])
            warnings.warn(
                f"a prompt has {len(ids)} tokens, but CLIP reads only {kept + 1}"
                f"{f' before {suffix!r}, from which the subject is read' if suffix else ''}; it is cut off from "
                f"{cut_off[:SHOWN]!r} on. Shorten it: {prompt[:SHOWN]!r}…",
                stacklevel=2,
            )
        return [*ids[:-1][:kept], *last]


def find_tokenizer(folder: str | Path | None = None) -> ClipTokenizer:
    """Return CLIP's tokenizer from `folder` if given, else ComfyUI's own, else from the Hugging Face cache.

    Raises EncoderError, naming what to pass, if none of these has it.
    """
    if folder is not None:
        return read_tokenizer(Path(folder).expanduser())
    for bundled in comfyui_tokenizers():
        if has_tokenizer(bundled):
            return read_tokenizer(bundled)
    try:
        return hub_tokenizer(CLIP_L, local_files_only=True)
    except OSError as error:
        raise EncoderError(
            "CLIP's tokenizer was not found. Pass --tokenizer FOLDER with its vocab.json and merges.txt (ComfyUI "
            "has them in comfy/sd1_tokenizer)"
        ) from error


def hub_tokenizer(name: str, **options: Any) -> ClipTokenizer:
    """Return the tokenizer of a model on the Hugging Face hub. Raises OSError if it is not available."""
    from transformers import CLIPTokenizer

    tokenizer = ClipTokenizer(CLIPTokenizer.from_pretrained(name, **options))
    if tokenizer.size <= SPECIAL_TOKENS:  # transformers 5 creates an empty one if the files are not available
        raise OSError(f"the tokenizer of {name} is not in the cache and could not be downloaded")
    return tokenizer


def read_tokenizer(folder: Path) -> ClipTokenizer:
    """Return the tokenizer in a local folder. Raises EncoderError if its files are missing or damaged."""
    from transformers import CLIPTokenizer, CLIPTokenizerFast

    if not has_tokenizer(folder):
        raise EncoderError(
            f"{folder}: the folder has no tokenizer; it must contain vocab.json and merges.txt, or tokenizer.json"
        )
    # Before transformers 5, the tokenizer class that ComfyUI uses does not read tokenizer.json.
    kind = CLIPTokenizer if (folder / "vocab.json").is_file() else CLIPTokenizerFast
    try:
        return ClipTokenizer(kind.from_pretrained(str(folder), local_files_only=True))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EncoderError(f"{folder}: the tokenizer cannot be read ({error}); copy its files again") from error


def has_tokenizer(folder: Path) -> bool:
    return any(all((folder / name).is_file() for name in names) for names in FILES)


def comfyui_tokenizers() -> list[Path]:
    """Return the paths of ComfyUI's own tokenizer if this pack is, or is linked, in ComfyUI/custom_nodes/<name>."""
    here = Path(__file__)
    ancestors = [list(file.parents) for file in (here.absolute(), here.resolve())]
    return [above[4] / "comfy" / "sd1_tokenizer" for above in ancestors if len(above) > 4]


def cached_or_downloaded(load: Callable[..., T], name: str) -> T:
    """Return `load(name)` from the Hugging Face cache, or from the hub only if the cache does not have it."""
    try:
        return load(name, local_files_only=True)
    except OSError:
        return load(name)


@dataclass(frozen=True)
class States:
    """Two states of tokens: (P, W) of one token of each prompt, or (1, T, W) of all; float32 on the CPU."""

    final: Tensor  # after the last layer and the final layer norm
    penultimate: Tensor  # after the second-to-last layer, without a norm


class ClipTower:
    """A CLIPTextModel or CLIPTextModelWithProjection with its tokenizer."""

    def __init__(
        self, name: str, model: Any, tokens: PromptTokenizer, family: str, width: int, device: str = "cpu"
    ) -> None:
        """Raises EncoderError if the model is not `width` wide, or if the tokenizer belongs to another model."""
        config = model.config
        if config.hidden_size != width:
            raise EncoderError(
                f"{name}: the model's vectors have {config.hidden_size} numbers, but {family} needs {width}; pass "
                "another model"
            )
        if tokens.size != config.vocab_size:
            raise EncoderError(
                f"{name}: the model has {config.vocab_size} tokens but the tokenizer {tokens.size}, so it belongs to "
                "another model; pass --tokenizer FOLDER with the right one"
            )
        self.width = width
        self._model = model.float().train(False).requires_grad_(False).to(device)
        self._tokens = tokens
        self._device = device

    def at_end(self, prompts: Sequence[str]) -> States:
        """Return the states (P, W) of P prompts at their (first) end-of-text tokens."""
        ids = [self._tokens(prompt) for prompt in prompts]
        return self._at(ids, [row.index(self._tokens.end) for row in ids])

    def at_subject(self, prompts: Sequence[str]) -> States:
        """Return the states (P, W) of P prompts at the last token of SUBJECT_SUFFIX, which follows them."""
        ids = [self._tokens(prompt, SUBJECT_SUFFIX) for prompt in prompts]
        return self._at(ids, [len(row) - 2 for row in ids])

    @torch.no_grad()
    def _at(self, ids: Sequence[list[int]], places: Sequence[int]) -> States:
        """Return the states (P, W) of one token, given by its place, of each of P rows of ids."""
        final, penultimate = torch.empty(2, len(ids), self.width)
        for start in range(0, len(ids), BATCH):
            part = slice(start, start + BATCH)
            width = max(map(len, ids[part]))
            # Attention is causal, so the tokens after a token do not change its state.
            states = self._run([row + [self._tokens.end] * (width - len(row)) for row in ids[part]])
            rows = torch.arange(len(ids[part]))
            final[part] = states.final[rows, places[part]]
            penultimate[part] = states.penultimate[rows, places[part]]
        return States(final, penultimate)

    @torch.no_grad()
    def at_all(self, prompt: str, padding: int | None = None) -> States:
        """Return the states (1, 77, W) of all tokens of a prompt, padded with end-of-text or the token `padding`."""
        ids = self._tokens(prompt)
        pad = self._tokens.end if padding is None else padding
        return self._run([ids + [pad] * (self._tokens.longest - len(ids))])

    @torch.no_grad()
    def projected(self, final: Tensor) -> Tensor:
        """Return states (P, W) multiplied by the model's text projection, (P, D). The model must have one."""
        out: Tensor = self._model.text_projection(final.to(self._device))
        return out.cpu()

    def _run(self, ids: list[list[int]]) -> States:
        output = self._model(input_ids=torch.tensor(ids, device=self._device), output_hidden_states=True)
        return States(output.last_hidden_state.float().cpu(), output.hidden_states[-2].float().cpu())


class ClipTextEncoder:
    """The text encoder of Stable Diffusion 1.5: a CLIP text model from transformers with its tokenizer."""

    space = SD15.name
    has_subject = True

    def __init__(self, identity: str, model: CLIPTextModel, tokenize: Tokenize, device: str = "cpu") -> None:
        """Raises EncoderError if the model is not 768 wide, or if the tokenizer belongs to another model."""
        self.identity = identity
        tokens = PromptTokenizer(tokenize, int(model.config.max_position_embeddings))  # 77
        self._tower = ClipTower(identity, model, tokens, "Stable Diffusion 1.5", EMBEDDING, device)

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Return vectors (P, 768), float32 on the CPU; prompts beyond 77 tokens are cut, with a warning."""
        return self._tower.at_end(prompts).final

    def added_targets(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """Return subject_embeddings (P, 768) of P prompts, float32 on the CPU: the subject's states."""
        return {SD15.subject: self._tower.at_subject(prompts).final}

    def token_states(self, prompt: str) -> Tensor:
        """Return the states (1, 77, 768) of BOS, words, EOS and EOS padding after the final layer norm.

        They are float32 on the CPU.

        This is the cross-attention part of ComfyUI's CONDITIONING for Stable Diffusion 1.5.
        """
        return self._tower.at_all(prompt).final


class SdxlTextEncoder:
    """The two text encoders of Stable Diffusion XL with their tokenizer."""

    space = SDXL.name
    has_subject = True

    def __init__(
        self,
        identity: str,
        clip_l: CLIPTextModel,
        clip_g: CLIPTextModelWithProjection,
        tokenize: Tokenize,
        device: str = "cpu",
    ) -> None:
        """Raises EncoderError if a model's size is not SDXL's, or if the tokenizer belongs to other models."""
        self.identity = identity
        tokens = PromptTokenizer(tokenize, min(int(model.config.max_position_embeddings) for model in (clip_l, clip_g)))
        self._l = ClipTower(f"the CLIP-L of {identity}", clip_l, tokens, FAMILY, EMBEDDING, device)
        self._g = ClipTower(f"the CLIP-G of {identity}", clip_g, tokens, FAMILY, WIDTH_G, device)
        projected = int(clip_g.config.projection_dim)
        if projected != WIDTH_G:
            raise EncoderError(
                f"the CLIP-G of {identity}: its pooled vectors have {projected} numbers, not {WIDTH_G}; pass another "
                "model"
            )

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Return CLIP-L's vectors (P, 768) of P prompts in the sd15 space, float32 on the CPU."""
        return self._l.at_end(prompts).final

    def added_targets(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        """Return the further vectors of P prompts, float32 on the CPU.

        sdxl_embeddings (P, 2048) are both penultimate states at the end-of-text token, L before G; sdxl_pooled is
        (P, 1280). subject_embeddings (P, 768) and sdxl_subject (P, 2048) are the subject's states, in the sd15 space
        and here.
        """
        clip_l, clip_g = self._l.at_end(prompts), self._g.at_end(prompts)
        subject_l, subject_g = self._l.at_subject(prompts), self._g.at_subject(prompts)
        return {
            "sdxl_embeddings": torch.cat([clip_l.penultimate, clip_g.penultimate], dim=1),
            "sdxl_pooled": self._g.projected(clip_g.final),
            SD15.subject: subject_l.final,
            SDXL.subject: torch.cat([subject_l.penultimate, subject_g.penultimate], dim=1),
        }

    def token_states(self, prompt: str) -> Tensor:
        """Return the states (1, 77, 2048) of a prompt, float32 on the CPU.

        This is the cross-attention part of ComfyUI's CONDITIONING for SDXL.
        """
        clip_l, clip_g = self._l.at_all(prompt), self._g.at_all(prompt, PADDING_G)
        return torch.cat([clip_l.penultimate, clip_g.penultimate], dim=2)
