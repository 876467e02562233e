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

    @property
    def width(self) -> int:
        return sum(self.parts)

    @property
    def tokens(self) -> int:
        """Return the width of the tokens."""
        return self.width - self.pooled

    @property
    def encoders(self) -> tuple[int, ...]:
        """Return the width of each text encoder's part of the tokens: CLIP-L, then CLIP-G."""
        return self.parts[:-1] if self.pooled else self.parts

    @property
    def fingerprint(self) -> tuple[int, ...]:
        """Return the widths of the concatenated vectors that identify a text encoder.

        In every space the first is that of sd15, followed by that of the pooled output.
        """
        return (768, self.pooled) if self.pooled else (768,)


SD15 = Space("sd15", "Stable Diffusion 1.5", (768,))
SDXL = Space("sdxl", "Stable Diffusion XL", (768, 1280, 1280), pooled=1280)  # CLIP-L, CLIP-G, and CLIP-G's pooled
SAME_VECTOR = 0.999  # cosine above which two vectors of a text come from the same encoder, apart from rounding
SPACES = {space.name: space for space in (SD15, SDXL)}
EMBEDDING = SD15.width  # 768
ADDED_TARGETS: dict[str, dict[str, int]] = {  # space → vectors of its prompts other than the sd15 vector: name → width
    SD15.name: {},
    SDXL.name: {"sdxl_embeddings": SDXL.tokens, "sdxl_pooled": SDXL.pooled},
}


def parts_of(width: int) -> tuple[int, ...]:
    """Return the parts of vectors of this width; a single part for an unknown width."""
    known = (space.parts for space in SPACES.values() if space.width == width)
    return next(known, (width,))


def title_of(tokens: int) -> str:
    """Return the name of the model family whose tokens have this width."""
    known = (space.title for space in SPACES.values() if space.tokens == tokens)
    return next(known, "another model family")
