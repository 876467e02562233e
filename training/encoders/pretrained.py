"""CLIP text models from a local folder or the Hugging Face hub, read by transformers; only safetensors weights.

The sd15 space takes a folder or repository of one CLIP text model (or a folder of Stable Diffusion 1.5 in the layout of
diffusers), the sdxl space one in the layout of diffusers: the subfolders text_encoder (CLIP-L), text_encoder_2 (CLIP-G)
and tokenizer.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..dataset.samples import SD15, SDXL
from .clip_tokenizer import (
    CLIP_L,
    EncoderError,
    Tokenize,
    cached_or_downloaded,
    find_tokenizer,
    has_tokenizer,
    hub_tokenizer,
    read_tokenizer,
)

SDXL_BASE = "stabilityai/stable-diffusion-xl-base-1.0"
DEFAULTS = {SD15: CLIP_L, SDXL: SDXL_BASE}


@dataclass(frozen=True)
class _Layout:
    """Where a space's models and tokenizers are in a folder or repository."""

    family: str
    default: str
    models: Sequence[tuple[str, str]]  # (class of transformers, subfolder)
    tokenizers: Sequence[str]  # subfolders, the first one with files is taken
    needs: str


LAYOUTS = {
    SD15: _Layout(
        family="Stable Diffusion 1.5",
        default=CLIP_L,
        models=[("CLIPTextModel", "")],
        tokenizers=[""],
        needs="a config.json and a model.safetensors of a CLIP text model",
    ),
    SDXL: _Layout(
        family="Stable Diffusion XL",
        default=SDXL_BASE,
        models=[("CLIPTextModel", "text_encoder"), ("CLIPTextModelWithProjection", "text_encoder_2")],
        tokenizers=["tokenizer", "tokenizer_2"],
        needs="the subfolders text_encoder and text_encoder_2, each with a config.json and a model.safetensors",
    ),
}


def load_pretrained(spec: str, space: str, tokenizer: str | None) -> tuple[str, list[Any], Tokenize]:
    """The identity of a folder or Hugging Face id, its text models in the layout's order, and the tokenizer of all.

    CLIP-G's own tokenizer differs from CLIP-L's in its padding alone, which takes part in nothing that is used here.
    Raises EncoderError, saying what to pass instead, if there is no such folder or model, or it is another space's.
    """
    layout = LAYOUTS[space]
    folder = Path(spec).expanduser()
    local = folder.is_dir()
    if not local and (folder.is_absolute() or spec.startswith(".") or spec.count("/") != 1):
        raise EncoderError(
            f"{spec}: there is no such folder. Pass 'random', a {layout.family} .safetensors file, a folder, or a "
            f"Hugging Face id such as {layout.default}"
        )
    if local:
        layout = _layout_of(folder, space)
    name = str(folder) if local else spec
    models = []
    try:
        for kind, subfolder in layout.models:
            model, missing = cached_or_downloaded(partial(_read_model, kind, subfolder=subfolder), name)
            if missing:
                raise EncoderError(
                    f"{spec}: no CLIP text model{f' in {subfolder}' if subfolder else ''}, or one saved by a newer "
                    f"version of transformers: {len(missing)} of its weights are missing, such as {missing[0]}; pass "
                    f"{layout.default} or a {layout.family} .safetensors file"
                )
            models.append(model)
        tokenize = _tokenizer(name, folder if local else None, tokenizer, layout.tokenizers)
    except (OSError, RuntimeError) as error:
        first = " ".join(str(error).split())[:300]
        remedy = (
            f"it needs {layout.needs}"
            if local
            else f"without the internet, pass a {layout.family} .safetensors file or a local folder instead"
        )
        raise EncoderError(f"{spec}: no text encoder could be loaded; {remedy} ({first})") from error
    return f"folder:{folder.resolve().name}" if local else f"hf:{spec}", models, tokenize


def _layout_of(folder: Path, space: str) -> _Layout:
    """The layout of a folder, which may be all of Stable Diffusion 1.5; an error if it is another space's."""
    single, both = (folder / "config.json").is_file(), (folder / "text_encoder_2").is_dir()
    if space == SD15 and both and not single:
        raise EncoderError(f"{folder}: it holds Stable Diffusion XL's two text encoders, which fit --space sdxl")
    if space == SDXL and single and not both:
        raise EncoderError(
            f"{folder}: it holds one model, which may fit --space sd15; --space sdxl needs {LAYOUTS[SDXL].needs}"
        )
    if space == SD15 and not single and (folder / "text_encoder").is_dir():
        return replace(LAYOUTS[SD15], models=[("CLIPTextModel", "text_encoder")], tokenizers=["tokenizer"])
    return LAYOUTS[space]


def _tokenizer(name: str, folder: Path | None, given: str | None, subfolders: Sequence[str]) -> Tokenize:
    """The tokenizer that was asked for, else the model's own, else the one that is found elsewhere."""
    if given is not None:
        return find_tokenizer(given)
    if folder is None:
        return cached_or_downloaded(partial(hub_tokenizer, subfolder=subfolders[0]), name)
    own = next((folder / subfolder for subfolder in subfolders if has_tokenizer(folder / subfolder)), None)
    return find_tokenizer() if own is None else read_tokenizer(own)


def _read_model(kind: str, name: str, **options: Any) -> tuple[Any, list[str]]:
    """A text model of the class `kind`, and the names of the weights that were not in its files (and are random now).

    transformers would merely warn of these, in a report that also lists the whole vision half of CLIP as
    unexpected: it is muted, since the caller refuses such a model.
    """
    import transformers

    log = logging.getLogger("transformers")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        model, info = getattr(transformers, kind).from_pretrained(
            name, use_safetensors=True, output_loading_info=True, **options
        )
    finally:
        log.setLevel(level)
    return model, sorted(info["missing_keys"])
