"""Where CLIP's tokenizer is found, and one way to call it in every version of transformers.

Stable Diffusion 1.5 and both text encoders of Stable Diffusion XL have the same tokenizer.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from ...common.errors import PerceptionClipError

T = TypeVar("T")

CLIP_L = "openai/clip-vit-large-patch14"  # the text encoder of Stable Diffusion 1.5, on the Hugging Face hub
SHOWN = 80  # characters of a prompt in a warning
SPECIAL_TOKENS = 4  # begin, end, padding and unknown: a tokenizer with no more than these knows no word
FILES = (("tokenizer.json",), ("vocab.json", "merges.txt"))  # either set makes a tokenizer


class EncoderError(PerceptionClipError, ValueError):
    """A text encoder that cannot be loaded or used; the message says what to pass instead."""


class Tokenize(Protocol):
    """Text → token ids, the begin-of-text and end-of-text tokens around them, however many there are."""

    end: int  # the id of the end-of-text token
    size: int  # how many ids there are

    def __call__(self, prompt: str) -> list[int]:
        """The ids of one prompt."""
        ...

    def text(self, ids: list[int]) -> str:
        """Roughly the words that ids stand for."""
        ...


class ClipTokenizer:
    """CLIP's byte-pair tokenizer, read by transformers."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.end = int(tokenizer.eos_token_id)
        self.size = len(tokenizer)

    def __call__(self, prompt: str) -> list[int]:
        ids: list[int] = self._tokenizer(prompt, verbose=False)["input_ids"]
        return ids

    def text(self, ids: list[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True)).strip()


class PromptTokens:
    """Prompts → token ids that a model can read: what is too long is cut, with one warning per prompt."""

    def __init__(self, tokenize: Tokenize, longest: int) -> None:
        """`longest` is the number of tokens that the model reads: 77."""
        self.end = tokenize.end
        self.size = tokenize.size
        self.longest = longest
        self._tokenize = tokenize
        self._warned: set[str] = set()

    def __call__(self, prompt: str) -> list[int]:
        ids = self._tokenize(prompt)
        if len(ids) <= self.longest:
            return ids
        kept = self.longest - 1
        if prompt not in self._warned:
            self._warned.add(prompt)
            lost = self._tokenize.text(ids[kept:-1])
            warnings.warn(
                f"a prompt has {len(ids)} tokens and CLIP reads {self.longest}: its end is cut off, from "
                f"{lost[:SHOWN]!r} on; shorten it: {prompt[:SHOWN]!r}…",
                stacklevel=2,
            )
        return [*ids[:kept], self.end]


def find_tokenizer(folder: str | Path | None = None) -> ClipTokenizer:
    """CLIP's tokenizer from `folder` if given, else ComfyUI's own, else the Hugging Face cache.

    Raises EncoderError, saying what to pass, if it is in none of these.
    """
    if folder is not None:
        return read_tokenizer(Path(folder).expanduser())
    for beside in comfyui_tokenizers():
        if has_tokenizer(beside):
            return read_tokenizer(beside)
    try:
        return hub_tokenizer(CLIP_L, local_files_only=True)
    except OSError as error:
        raise EncoderError(
            "CLIP's tokenizer is not at hand. Pass --tokenizer FOLDER with its vocab.json and merges.txt (ComfyUI "
            "has them in comfy/sd1_tokenizer)"
        ) from error


def hub_tokenizer(name: str, **options: Any) -> ClipTokenizer:
    """The tokenizer of a model on the Hugging Face hub. Raises OSError if it cannot be had."""
    from transformers import CLIPTokenizer

    tokenizer = ClipTokenizer(CLIPTokenizer.from_pretrained(name, **options))
    if tokenizer.size <= SPECIAL_TOKENS:  # transformers 5 makes an empty one where the files are not to be had
        raise OSError(f"the tokenizer of {name} is not in the cache and could not be downloaded")
    return tokenizer


def read_tokenizer(folder: Path) -> ClipTokenizer:
    """The tokenizer in a local folder. Raises EncoderError if its files are missing or broken."""
    from transformers import CLIPTokenizer, CLIPTokenizerFast

    if not has_tokenizer(folder):
        raise EncoderError(f"{folder}: no tokenizer is there; it needs vocab.json and merges.txt, or tokenizer.json")
    # Before transformers 5, the one that ComfyUI uses does not read tokenizer.json.
    kind = CLIPTokenizer if (folder / "vocab.json").is_file() else CLIPTokenizerFast
    try:
        return ClipTokenizer(kind.from_pretrained(str(folder), local_files_only=True))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EncoderError(f"{folder}: its tokenizer cannot be read ({error}); copy its files again") from error


def has_tokenizer(folder: Path) -> bool:
    return any(all((folder / name).is_file() for name in names) for names in FILES)


def comfyui_tokenizers() -> list[Path]:
    """Where ComfyUI keeps the tokenizer if this pack lies, or is linked, in ComfyUI/custom_nodes/<name>."""
    here = Path(__file__)
    ancestors = [list(file.parents) for file in (here.absolute(), here.resolve())]
    return [above[4] / "comfy" / "sd1_tokenizer" for above in ancestors if len(above) > 4]


def cached_or_downloaded(load: Callable[..., T], name: str) -> T:
    """`load(name)` from the Hugging Face cache; only if it is not there, from the hub."""
    try:
        return load(name, local_files_only=True)
    except OSError:
        return load(name)
