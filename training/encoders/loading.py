"""Loading of text encoders from a file, a folder, or a Hugging Face id; only safetensors weights are read.

The sd15 space accepts a folder or repository of one CLIP text model, or a folder of Stable Diffusion 1.5 in the layout
of diffusers. The sdxl space accepts the layout of diffusers: the subfolders text_encoder (CLIP-L), text_encoder_2
(CLIP-G) and tokenizer.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ...projection.spaces import SD15, SDXL
from .base import TokenEncoder
from .clip import (
    CLIP_L,
    ClipTextEncoder,
    EncoderError,
    SdxlTextEncoder,
    Tokenize,
    cached_or_downloaded,
    find_tokenizer,
    has_tokenizer,
    hub_tokenizer,
    read_tokenizer,
)
from .tower_files import load_sd15_file, load_sdxl_file

SDXL_BASE = "stabilityai/stable-diffusion-xl-base-1.0"


@dataclass(frozen=True)
class _Layout:
    """The places of a space's models and tokenizers in a folder or repository."""

    family: str
    default: str
    models: Sequence[tuple[str, str]]  # (class of transformers, subfolder)
    tokenizers: Sequence[str]  # subfolders; the first one with files is used
    needs: str

    @property
    def instead(self) -> str:
        """Return what to pass, as a sentence for errors."""
        return (
            f"Pass a {self.family} .safetensors file, a folder, a Hugging Face id such as {self.default}, or 'random'"
        )


LAYOUTS = {
    SD15.name: _Layout(
        family="Stable Diffusion 1.5",
        default=CLIP_L,
        models=[("CLIPTextModel", "")],
        tokenizers=[""],
        needs="the config.json and model.safetensors of a CLIP text model",
    ),
    SDXL.name: _Layout(
        family="Stable Diffusion XL",
        default=SDXL_BASE,
        models=[("CLIPTextModel", "text_encoder"), ("CLIPTextModelWithProjection", "text_encoder_2")],
        tokenizers=["tokenizer", "tokenizer_2"],
        needs="the subfolders text_encoder and text_encoder_2, each with a config.json and a model.safetensors",
    ),
}
DEFAULTS = {space: layout.default for space, layout in LAYOUTS.items()}


def load_encoder(
    spec: str | None, device: str = "cpu", tokenizer: str | None = None, space: str = SD15.name
) -> TokenEncoder:
    """Return the text encoder that `spec` names.

    Args:
        spec: "random" (a small placeholder encoder with random weights that needs no download), a `.safetensors`
            checkpoint of Stable Diffusion 1.5 (or of CLIP ViT-L/14 alone) or XL, or a Hugging Face id or folder of a
            CLIP text model, or of SDXL in diffusers' layout. None is the space's default on the hub.
        device: the device that it runs on.
        tokenizer: a folder with CLIP's vocab.json and merges.txt. The default is the model's own, else ComfyUI's
            own, else that of CLIP ViT-L/14 in the Hugging Face cache.
        space: "sd15" or "sdxl".

    Raises EncoderError, naming what to pass, if there is no such encoder, if it does not fit the space, or if no
    tokenizer is found.
    """
    if space not in DEFAULTS:
        raise EncoderError(f"the text space {space!r} does not exist; choose {' or '.join(DEFAULTS)}")
    spec = DEFAULTS[space] if spec is None else spec
    if spec == "random":
        from .random_weights import random_encoder, random_sdxl_encoder

        return random_encoder(device) if space == SD15.name else random_sdxl_encoder(device)
    path = Path(spec).expanduser()
    suffix = path.suffix.lower()
    if suffix in (".ckpt", ".pt", ".pth", ".bin"):
        raise EncoderError(
            f"{spec}: files of this type can run code when they are loaded; use the model's .safetensors file"
        )
    models: list[Any]
    if suffix != ".safetensors" and path.is_file():
        raise EncoderError(f"{spec}: this file is not a text encoder. {LAYOUTS[space].instead}")
    if suffix == ".safetensors":
        identity, models = load_sd15_file(path) if space == SD15.name else load_sdxl_file(path)
        tokenize: Tokenize = find_tokenizer(tokenizer)
    else:
        identity, models, tokenize = load_pretrained(spec, space, tokenizer)
    kind: Any = ClipTextEncoder if space == SD15.name else SdxlTextEncoder
    encoder: TokenEncoder = kind(identity, *models, tokenize, device)
    return encoder


def load_pretrained(spec: str, space: str, tokenizer: str | None) -> tuple[str, list[Any], Tokenize]:
    """Return the identity of a folder or Hugging Face id, its text models in the layout's order, and their tokenizer.

    CLIP-G's own tokenizer differs from CLIP-L's only in its padding, which is not used here. Raises EncoderError,
    naming what to pass instead, if there is no such folder or model, or if it belongs to another space.
    """
    layout = LAYOUTS[space]
    folder = Path(spec).expanduser()
    local = folder.is_dir()
    if not local and (folder.is_absolute() or spec.startswith(".") or spec.count("/") != 1):
        raise EncoderError(f"{spec}: there is no such folder. {layout.instead}")
    if local:
        layout = _layout_of(folder, space)
    name = str(folder) if local else spec
    models = []
    try:
        for kind, subfolder in layout.models:
            model, missing = cached_or_downloaded(partial(_read_model, kind, subfolder=subfolder), name)
            if missing:
                raise EncoderError(
                    f"{spec}: there is no CLIP text model{f' in {subfolder}' if subfolder else ''}, or a newer version "
                    f"of transformers saved it: {len(missing)} of its weights are missing, such as {missing[0]}; pass "
                    f"{layout.default} or a {layout.family} .safetensors file"
                )
            models.append(model)
        tokenize = _tokenizer(name, folder if local else None, tokenizer, layout.tokenizers)
    except (OSError, RuntimeError) as error:
        first = " ".join(str(error).split())[:300]
        remedy = (
            f"the folder needs {layout.needs}"
            if local
            else f"without an internet connection, pass a {layout.family} .safetensors file or a local folder instead"
        )
        raise EncoderError(f"{spec}: the text encoder could not be loaded; {remedy} ({first})") from error
    return f"folder:{folder.resolve().name}" if local else f"hf:{spec}", models, tokenize


def _layout_of(folder: Path, space: str) -> _Layout:
    """Return the layout of a folder, which may be a complete Stable Diffusion 1.5 in the layout of diffusers.

    Raises EncoderError if the folder belongs to another space.
    """
    single, both = (folder / "config.json").is_file(), (folder / "text_encoder_2").is_dir()
    if space == SD15.name and both and not single:
        raise EncoderError(f"{folder}: the folder contains Stable Diffusion XL's two text encoders; pass --space sdxl")
    if space == SDXL.name and single and not both:
        raise EncoderError(
            f"{folder}: the folder contains a single model, which may fit --space sd15; --space sdxl needs "
            f"{LAYOUTS[SDXL.name].needs}"
        )
    if space == SD15.name and not single and (folder / "text_encoder").is_dir():
        return replace(LAYOUTS[SD15.name], models=[("CLIPTextModel", "text_encoder")], tokenizers=["tokenizer"])
    return LAYOUTS[space]


def _tokenizer(name: str, folder: Path | None, tokenizer: str | None, subfolders: Sequence[str]) -> Tokenize:
    """Return the tokenizer in the folder `tokenizer`, else the model's, else that of `find_tokenizer`."""
    if tokenizer is not None:
        return find_tokenizer(tokenizer)
    if folder is None:
        return cached_or_downloaded(partial(hub_tokenizer, subfolder=subfolders[0]), name)
    included = next((folder / subfolder for subfolder in subfolders if has_tokenizer(folder / subfolder)), None)
    return find_tokenizer() if included is None else read_tokenizer(included)


def _read_model(kind: str, name: str, **options: Any) -> tuple[Any, list[str]]:
    """Return a text model of the class `kind`, and the names of weights missing from its files (and now random).

    transformers would only warn about them, in a report that also lists CLIP's whole vision half as unexpected. The
    report is muted, because the caller rejects such a model.
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
