"""Pictures and videos with prompts → samples in a store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from ..perception.pictures import PictureError, read_picture
from ..perception.pipeline import PerceptionPipeline
from ..perception.vector import Perceptions
from ..perception.videos import Video, VideoError
from .encoders import TextEncoder, fingerprint
from .sources import Item
from .store import Store

CHUNK = 1 << 20  # bytes of a file hashed at a time


class BuildError(ValueError):
    """Nothing could be built; the message says why."""


@dataclass
class BuildSummary:
    """What a build came to."""

    samples: int = 0  # new in the store
    faces: int = 0  # found now
    pictures: int = 0  # looked at now, frames of videos among them
    known: int = 0  # pictures and frames that were in the store already, and were not looked at again
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (which, why)


@dataclass(frozen=True)
class _Shot:
    """One picture or frame, decoded."""

    item: Item
    name: str
    key: str  # the same for the same file, frame and prompt
    picture: Tensor  # (H, W, 3) uint8


def build(
    items: Sequence[Item],
    store: Store,
    pipeline: PerceptionPipeline,
    encoder: TextEncoder,
    *,
    batch: int = 16,
    every: int | None = None,
    progress: bool = True,
) -> BuildSummary:
    """Perceive every item, keep the first face of each picture, and append it with its prompt to `store`.

    Samples are safe on disk after each `batch` of pictures, so a build that was stopped, or to which files were
    added, is simply run again: what has become a sample (the same bytes with the same prompt, whatever the file is
    called) is not perceived again. Of videos, every `every`-th frame is taken (about two per second if None). Files
    that cannot be read, damaged parts of videos and pictures without a face are skipped and listed with the reason.

    Raises BuildError if there is no face at all, StoreError if the store's samples were made with other models.
    """
    summary = BuildSummary()
    store.bind(encoder.identity, fingerprint(encoder), pipeline.landmarker.identity, pipeline.emotion_model.identity)
    with tqdm(total=len(items), desc="perceiving", unit="file", disable=not progress) as bar:
        for shots in _batched(_shots(items, store, every, summary, bar.update), batch):
            perceptions = pipeline([shot.picture for shot in shots])
            summary.samples += _append(shots, perceptions, store, encoder, summary)
            bar.set_postfix(faces=summary.faces, skipped=len(summary.skipped), refresh=False)
    if summary.faces + summary.known == 0:
        which, why = summary.skipped[0] if summary.skipped else ("the list", "it is empty")
        raise BuildError(
            f"no face was found in any of {len(items)} files ({summary.pictures} pictures); the first: {which}: {why}"
        )
    return summary


def _shots(
    items: Sequence[Item], store: Store, every: int | None, summary: BuildSummary, advance: Callable[[], object]
) -> Iterator[_Shot]:
    """Decode what is not in the store yet, one after the other; `summary` notes what is, and what cannot be read."""
    for item in items:
        try:
            content = _hash(item.path)
            if item.is_video:
                video = Video(item.path)
                for frame in video.frames(every or video.sparsely()):
                    key = _key(content, frame.number, item.prompt)
                    if store.has(key):
                        summary.known += 1
                    else:
                        yield _Shot(item, f"{item.name}#frame={frame.number}", key, frame.picture)
                if video.problem:
                    summary.skipped.append((item.name, video.problem))
            elif store.has(key := _key(content, 0, item.prompt)):
                summary.known += 1
            else:
                yield _Shot(item, item.name, key, read_picture(item.path))
        except (PictureError, VideoError, OSError) as error:
            summary.skipped.append((item.name, str(error).removeprefix(f"{item.path}: ")))
        advance()


def _hash(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            digest.update(piece)
    return digest.digest()


def _key(content: bytes, frame: int, prompt: str) -> str:
    return hashlib.sha256(content + frame.to_bytes(8, "little") + prompt.encode()).hexdigest()


def _batched(shots: Iterator[_Shot], size: int) -> Iterator[list[_Shot]]:
    batch: list[_Shot] = []
    for shot in shots:
        batch.append(shot)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def _append(
    shots: list[_Shot], perceptions: Perceptions, store: Store, encoder: TextEncoder, summary: BuildSummary
) -> int:
    """Append the first face of each shot; return how many were new."""
    summary.pictures += len(shots)
    first: dict[int, int] = {}  # frame → row
    for row, frame in enumerate(perceptions.frames.tolist()):
        first.setdefault(frame, row)
    summary.faces += len(first)
    summary.skipped.extend(
        (shot.name, "no face was found in it") for frame, shot in enumerate(shots) if frame not in first
    )
    kept = [shots[frame] for frame in first]
    if not kept:
        return 0
    faces = perceptions.select(list(first.values()))
    prompts = [shot.item.prompt for shot in kept]
    return store.append(
        faces.vectors,
        faces.image_sizes,
        prompts,
        _embeddings(prompts, store, encoder),
        [shot.item.group for shot in kept],
        [shot.name for shot in kept],
        [shot.key for shot in kept],
    )


def _embeddings(prompts: list[str], store: Store, encoder: TextEncoder) -> Tensor:
    """(N, 768) the prompts' vectors: those that the store has, the others encoded now."""
    known = {prompt: store.embedding_of(prompt) for prompt in dict.fromkeys(prompts)}
    new = [prompt for prompt, embedding in known.items() if embedding is None]
    if new:
        known.update(zip(new, encoder.encode(new), strict=True))
    return torch.stack([embedding for prompt in prompts if (embedding := known[prompt]) is not None])
