"""The text spaces that a projection can target: the parts of its vectors, and the model family that they fit."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Space:
    """A vector of `tokens` + `pooled` numbers: first the part for the tokens, then the part for the pooled output."""

    name: str
    title: str  # the model family
    parts: tuple[int, ...]  # widths of the concatenated text encoder outputs; each part has its own scale
    pooled: int = 0  # width of the pooled output that the model reads, the last part; 0: none
    subject: str = "subject_embeddings"  # the name of the subject's vectors (face_vectors.py) in datasets

    @property
    def width(self) -> int:
        return sum(self.parts)

    @property
    def tokens(self) -> int:
        """Return the width of the tokens."""
        return self.width - self.pooled

    @property
    def token_parts(self) -> tuple[int, ...]:
        """Return the widths of the text encoder outputs that form a token."""
        return self.parts[:-1] if self.pooled else self.parts

    @property
    def fingerprint(self) -> tuple[int, ...]:
        """Return the widths of the concatenated vectors that identify a text encoder.

        In every space the first is that of sd15, followed by that of the pooled output.
        """
        return (768, self.pooled) if self.pooled else (768,)


SD15 = Space("sd15", "Stable Diffusion 1.5", (768,))
# CLIP-L, CLIP-G, and CLIP-G's pooled
SDXL = Space("sdxl", "Stable Diffusion XL", (768, 1280, 1280), pooled=1280, subject="sdxl_subject")
SAME_VECTOR = 0.999  # cosine above which two vectors of a text come from the same encoder, apart from rounding
SPACES = {space.name: space for space in (SD15, SDXL)}
EMBEDDING = SD15.width  # 768
ADDED_TARGETS: dict[str, dict[str, int]] = {  # space → vectors of its prompts other than the sd15 vector: name → width
    SD15.name: {},
    SDXL.name: {"sdxl_embeddings": SDXL.tokens, "sdxl_pooled": SDXL.pooled},
}
SUBJECT_TARGETS: dict[str, dict[str, int]] = {  # … and those that a dataset may lack: all of them or none
    SD15.name: {SD15.subject: SD15.tokens},
    SDXL.name: {SD15.subject: SD15.tokens, SDXL.subject: SDXL.tokens},
}


def added_targets(space: str, subject: bool) -> dict[str, int]:
    """Return the vectors of a prompt other than the sd15 vector, name → width, with or without the subject's."""
    return {**ADDED_TARGETS[space], **(SUBJECT_TARGETS[space] if subject else {})}


def parts_of(width: int) -> tuple[int, ...]:
    """Return the parts of vectors of this width; a single part for an unknown width."""
    known = {space.tokens: space.token_parts for space in SPACES.values()}
    known |= {space.width: space.parts for space in SPACES.values()}
    return known.get(width, (width,))


def title_of(tokens: int) -> str:
    """Return the name of the model family whose tokens have this width."""
    known = (space.title for space in SPACES.values() if space.tokens == tokens)
    return next(known, "another model family")
