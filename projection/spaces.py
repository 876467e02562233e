"""The text spaces that a projection can end in: what a face's vector holds, and whose conditioning it fits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Space:
    """A vector of `tokens` + `pooled` numbers: first what acts on a prompt's tokens, then on its pooled output."""

    name: str
    title: str  # the model family
    parts: tuple[int, ...]  # widths of what text encoders put side by side; each part has a scale of its own
    pooled: int = 0  # width of the pooled output that the model reads, the last of the parts; 0: it reads none

    @property
    def width(self) -> int:
        return sum(self.parts)

    @property
    def tokens(self) -> int:
        """The width of the tokens."""
        return self.width - self.pooled

    @property
    def fingerprint(self) -> tuple[int, ...]:
        """The widths of the vectors, side by side, by which a text encoder is known: in every space first that of sd15,
        then the pooled output.
        """
        return (768, self.pooled) if self.pooled else (768,)


SD15 = Space("sd15", "Stable Diffusion 1.5", (768,))
SDXL = Space("sdxl", "Stable Diffusion XL", (768, 1280, 1280), pooled=1280)  # CLIP-L, CLIP-G, and CLIP-G's pooled
SAME_VECTOR = 0.999  # cosine from which two vectors of one text count as the same encoder's, rounding aside
SPACES = {space.name: space for space in (SD15, SDXL)}
EMBEDDING = SD15.width  # 768
EXTRAS: dict[str, dict[str, int]] = {  # space → what its prompts have beside the sd15 vector: name → width
    SD15.name: {},
    SDXL.name: {"sdxl_embeddings": SDXL.tokens, "sdxl_pooled": SDXL.pooled},
}


def parts_of(width: int) -> tuple[int, ...]:
    """The parts of vectors that are so wide; one of a width that no space has."""
    known = (space.parts for space in SPACES.values() if space.width == width)
    return next(known, (width,))


def title_of(tokens: int) -> str:
    """The model family whose tokens are so wide, in words."""
    known = (space.title for space in SPACES.values() if space.tokens == tokens)
    return next(known, "another model family")
