"""Which tokens of a prompt a face acts on.

Adding one vector to every token but BOS shifts the output of cross-attention by the same amount at every pixel, since
these tokens' attention relative to each other stays the same. Adding it to the subject's tokens only shifts each pixel
in proportion to its attention to the subject.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from .face_vectors import FaceVectors

SUBJECT, END, WORDS, ALL = "subject", "end", "words", "all"
SUBJECT_AND_END = "subject and end"
GROUPS = {SUBJECT_AND_END: (SUBJECT, END), SUBJECT: (SUBJECT,), END: (END,), WORDS: (WORDS,), ALL: (ALL,)}
WHERE = tuple(GROUPS)
BLOCK = 77  # CLIP's context length
SAME = 1e-2  # a token this close to the pooled output, relative to its length, is the end of the text


@dataclass(frozen=True)
class Roles:
    """What the T tokens of a prompt are, for one text encoder. BOS, at the start of each block, has no role."""

    words: Tensor  # (T,) bool: words and textual-inversion embeddings
    end: Tensor  # (T,) bool: the end of the text and the padding after it
    subject: Tensor  # (T,) bool: those of the words that the face acts on


def usable(where: str, faces: FaceVectors, roles: Sequence[Roles] | None) -> tuple[str, str]:
    """Return where the faces can act, and what is missing if that is not the requested `where`.

    Without the subject's tokens or its vector, faces act on the end of the text instead.
    """
    if SUBJECT not in GROUPS[where]:
        return where, ""
    if roles is None:
        return END, "the text of the prompt is unknown here. Use CLIP Text Encode (Face) to act on its subject"
    if faces.subject is None:
        return END, "the checkpoint has no subject vectors. Retrain it on a dataset that has them"
    if not any(bool(one.subject.any()) for one in roles):
        return END, "the text contains no noun for a person. Enter the words to act on in subject"
    return where, ""


def masks(where: str, tokens: Tensor, pooled: Tensor | None, roles: Roles | None) -> dict[str, Tensor]:
    """Return the tokens (R, T, W) that a face acts on as masks (R, T) bool, by group; see `GROUPS`.

    Without roles, the end of the text is recognized by the pooled output (B, W). In a block where it is not recognized
    (`end_is_known`), both END and WORDS are every token but BOS.
    """
    if roles is None:
        every = not_bos(tokens).expand(len(tokens), -1)
        behind, known = _text_end(tokens, pooled)
        named = {END: every & (behind | ~known), WORDS: every & ~(behind & known), ALL: every}
    else:
        named = {SUBJECT: roles.subject, END: roles.end, WORDS: roles.words, ALL: roles.words | roles.end}
        missing = tokens.shape[1] - len(roles.words)  # negative if ComfyUI cuts CLIP-L and CLIP-G to the same length
        named = {
            name: pad(mask, (0, missing)).to(tokens.device).expand(len(tokens), -1) for name, mask in named.items()
        }
    return {name: named[name] for name in GROUPS[where]}


def not_bos(tokens: Tensor) -> Tensor:
    """Return a mask (1, T) bool that is False for the first token of every block."""
    first: Tensor = torch.arange(tokens.shape[1], device=tokens.device) % _block(tokens) == 0
    return ~first[None]


def end_is_known(tokens: Tensor, pooled: Tensor | None) -> bool:
    """Return whether every block of the tokens (R, T, W) has a token that equals the pooled output (B, W).

    It does in a Stable Diffusion 1.5 prompt of one block; with CLIP Set Last Layer, in later blocks of a long prompt
    and with SDXL it does not.
    """
    return bool(_text_end(tokens, pooled)[1].all())


def _text_end(tokens: Tensor, pooled: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return two masks (R, T) bool: from the end of the text on, and the blocks in which that end is recognized."""
    if pooled is None or pooled.shape[-1] != tokens.shape[-1]:
        nowhere = torch.zeros(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
        return nowhere, nowhere
    ends = cycled(pooled.to(tokens), len(tokens))[:, None]  # (R, 1, W)
    matches = (tokens - ends).norm(dim=-1) <= SAME * ends.norm(dim=-1)
    blocks = matches.unflatten(1, (-1, _block(tokens)))  # (R, blocks, 77)
    known = blocks.any(dim=2, keepdim=True).expand_as(blocks)
    return (blocks.cumsum(dim=2) > 0).flatten(1), known.flatten(1)


def cycled(tensor: Tensor, rows: int) -> Tensor:
    """Return `rows` rows of the tensor, repeated from the start."""
    if len(tensor) == 1 or len(tensor) == rows:
        return tensor.expand(rows, *tensor.shape[1:])
    return tensor[torch.arange(rows, device=tensor.device) % len(tensor)]


def _block(tokens: Tensor) -> int:
    """Return the number of tokens in a block: BLOCK, or all tokens if they do not form whole blocks."""
    count = tokens.shape[1]
    return BLOCK if count % BLOCK == 0 else count
