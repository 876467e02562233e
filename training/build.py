"""Pictures and videos with prompts → samples in a store."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from ..common.errors import PerceptionClipError
from ..common.words import counted
from ..perception.expression import ExpressionModel
from ..perception.pipeline import PerceptionPipeline
from ..perception.vector import Perceptions
from .changes import ExpressionChanges
from .encoders import TextEncoder, fingerprint
from .items import Item
from .perceivers import Perceivers
from .prefetch import Prefetch
from .reading import End, ItemReader, Known, Plan, Shot
from .store import Store
from .transfer import vectors_of

BATCH = 16  # pictures perceived at a time, and samples made safe at a time
BATCH_BYTES = 64 << 20  # of pixels in a batch, after which no further picture is added
PORTION = 64  # items: no batch has pictures of two portions, so that portions can be perceived apart (sharding.py)
WORKERS = min(os.cpu_count() or 1, 8)  # threads that read ahead
PENDING = 2  # batches, in their order: one that is perceived, and one that waits for it
AHEAD = 256 << 20  # bytes of pictures decoded ahead, at most
NO_FACE = "no face was found in it"


class BuildError(PerceptionClipError, ValueError):
    """Nothing could be built; the message says why."""


@dataclass
class BuildSummary:
    """What a build came to."""

    samples: int = 0  # new in the store
    faces: int = 0  # found now
    pictures: int = 0  # looked at now, frames of videos among them
    known: int = 0  # pictures and frames that were in the store already, and were not looked at again
    unchanged: int = 0  # frames left out because the expression was that of the frame before
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (which, why)

    def check(self, count: int) -> None:
        """Raise BuildError if in all of `count` items there is not one face."""
        if self.faces + self.known == 0:
            which, why = self.skipped[0] if self.skipped else ("the list", "it is empty")
            raise BuildError(
                f"no face was found in any of {counted(count, 'file')} ({counted(self.pictures, 'picture')}); the "
                f"first: {which}: {why}"
            )

    def add(self, other: BuildSummary) -> None:
        """Count another part of the same build."""
        self.samples += other.samples
        self.faces += other.faces
        self.pictures += other.pictures
        self.known += other.known
        self.unchanged += other.unchanged
        self.skipped.extend(other.skipped)


Progress = Callable[[float, BuildSummary], None]  # called with the items done, parts of items included


def build(
    items: Sequence[Item],
    store: Store,
    pipeline: PerceptionPipeline,
    encoder: TextEncoder,
    plan: Plan,
    *,
    batch: int = BATCH,
    workers: int = WORKERS,
    progress: Progress | None = None,
    summary: BuildSummary | None = None,
) -> BuildSummary:
    """Perceive every item, keep the first face of each picture, and append it with its prompts to `store`.

    Files are read and decoded by `workers` threads while others are perceived, on all cores. Samples are safe on disk
    after each `batch` of pictures, so a build that was stopped, or to which files were added, is simply run again: what
    has become a sample (the same bytes with the same prompt, whatever the file is called), what shows no face and
    videos that were finished are not looked at again. Files that cannot be read, damaged parts of videos and pictures
    without a face are skipped and listed with the reason in the summary, which is `summary` if one is given, and is
    then up to date whenever the build ends.

    Raises StoreError if the store's samples were made with other models.
    """
    store.bind(
        encoder.identity,
        fingerprint(encoder),
        pipeline.landmarker.identity,
        pipeline.emotion_model.identity,
        space=encoder.space,
    )
    builder = _Builder(store, encoder, plan, summary or BuildSummary())
    reading = Prefetch(ItemReader(store.path, plan), list(enumerate(items)), workers, size=_bytes_of, limit=AHEAD)
    with reading as events, Perceivers(pipeline) as perceivers:
        pending: deque[tuple[Batch, Future[Perceptions]]] = deque()

        def settle(most: int) -> None:
            while len(pending) > most:
                perceived, future = pending.popleft()
                builder.take(perceived, future.result() if perceived.shots else None)
                if progress is not None:
                    progress(builder.items_done, builder.summary)

        for content in _batches(events, batch):
            pending.append((content, perceivers.start([shot.picture for shot in content.shots])))
            settle(most=PENDING)
        settle(most=0)
    return builder.summary


@dataclass
class Batch:
    """What is perceived together, and what was read before it ended."""

    shots: list[Shot] = field(default_factory=list)
    known: int = 0
    ended: list[End] = field(default_factory=list)  # items none of whose pictures are in a later batch


def _batches(events: Iterable[Shot | Known | End], most: int) -> Iterator[Batch]:
    """Up to `most` pictures at a time, none of two portions of the items, with what was read between them."""
    batch = Batch()
    pixels = 0
    for event in events:
        if isinstance(event, Shot):
            if batch.shots and batch.shots[0].number // PORTION != event.number // PORTION:
                yield batch
                batch, pixels = Batch(), 0
            batch.shots.append(event)
            pixels += event.picture.numel()
            if len(batch.shots) == most or pixels >= BATCH_BYTES:
                yield batch
                batch, pixels = Batch(), 0
        elif isinstance(event, Known):
            batch.known += 1
        else:
            batch.ended.append(event)
            if len(batch.ended) >= PORTION and not batch.shots:
                yield batch
                batch = Batch()
    yield batch


class _Builder:
    """The part of a build that happens in order, in one thread."""

    def __init__(self, store: Store, encoder: TextEncoder, plan: Plan, summary: BuildSummary) -> None:
        self.summary = summary
        self.items_done = 0.0
        self._store, self._encoder, self._plan = store, encoder, plan
        self._clips: dict[int, _Clip] = {}  # those being read, by the number of their item
        self._shapes = ExpressionModel.load() if plan.only_changes else None

    def take(self, batch: Batch, perceptions: Perceptions | None) -> None:
        """Append the samples of a batch, and note what has ended with it; None if it has no pictures."""
        self.summary.known += batch.known
        if perceptions is not None:
            self._take_faces(batch.shots, perceptions)
        self._end(batch.ended)

    def _take_faces(self, shots: list[Shot], perceptions: Perceptions) -> None:
        first: dict[int, int] = {}  # shot → row of its first face
        for row, frame in enumerate(perceptions.frames.tolist()):
            first.setdefault(frame, row)
        kept = []
        faceless = {}
        for index, shot in enumerate(shots):
            clip = self._clip(shot) if shot.item.media.is_sequence else None
            if index in first:
                if clip is None or clip.is_new(perceptions, first[index]):
                    kept.append(index)
                else:
                    self.summary.unchanged += 1
            elif clip is None:
                self.summary.skipped.append((shot.name, NO_FACE))
                faceless[shot.done_key] = NO_FACE
            else:
                clip.faceless.append(shot.frame)
        self.summary.pictures += len(shots)
        self.summary.faces += len(first)
        self.summary.samples += self._append([shots[i] for i in kept], perceptions.select([first[i] for i in kept]))
        if faceless:
            self._store.finish(faceless)

    def _end(self, ended: list[End]) -> None:
        """Note the items of which all is perceived."""
        done = {}
        for event in ended:
            clip = self._clips.pop(event.number, None)
            reason = "; ".join(filter(None, [event.reason, clip.without_face if clip is not None else ""]))
            if reason:
                self.summary.skipped.append((event.item.source, reason))
            if event.done_key:
                done[event.done_key] = reason
            self.items_done = event.number + 1
        if done:
            self._store.finish(done)
        for number, clip in self._clips.items():
            self.items_done = number + clip.frames / max(clip.expected, clip.frames + 1)

    def _clip(self, shot: Shot) -> _Clip:
        """The clip that a shot is from, one frame further."""
        if shot.number not in self._clips:
            self._clips[shot.number] = _Clip(self._shapes)
        clip = self._clips[shot.number]
        clip.frames += 1
        clip.expected = shot.item.media.expected
        return clip

    def _append(self, shots: list[Shot], faces: Perceptions) -> int:
        """Append a face for each shot, with each of its prompts; return how many samples were new."""
        rows = [(index, prompt, key) for index, shot in enumerate(shots) for prompt, key in _prompts_of(shot)]
        if not rows:
            return 0
        index, prompts = [row[0] for row in rows], [row[1] for row in rows]
        items = [shots[i].item for i in index]
        embeddings, extras = vectors_of(prompts, self._store, self._encoder)
        return self._store.append(
            faces.vectors[index],
            faces.image_sizes[index],
            prompts,
            embeddings,
            [item.group for item in items],
            [shots[i].name for i in index],
            [row[2] for row in rows],
            labels=[item.label for item in items],
            splits=[item.split for item in items],
            scores=faces.scores[index],
            extras=extras,
        )


class _Clip:
    """What is known of a video or folder of frames while it is being read."""

    def __init__(self, shapes: ExpressionModel | None) -> None:
        self.frames = 0  # seen so far
        self.expected = 0
        self.faceless: list[int] = []
        self._changes = None if shapes is None else ExpressionChanges(shapes)

    def is_new(self, perceptions: Perceptions, row: int) -> bool:
        """Whether the face is to be kept: each, or only those with another expression than the last that was."""
        return self._changes is None or self._changes.is_new(perceptions.landmarks[row], perceptions.image_sizes[row])

    @property
    def without_face(self) -> str:
        """In words, in which frames there was no face; empty if there was one in each."""
        if not self.faceless:
            return ""
        return (
            f"no face was found in {len(self.faceless)} of {counted(self.frames, 'frame')} (first in frame "
            f"{self.faceless[0]})"
        )


def _prompts_of(shot: Shot) -> list[tuple[str, str]]:
    return list(zip(shot.prompts, shot.keys, strict=True))


def _bytes_of(event: Shot | Known | End) -> int:
    return event.picture.numel() if isinstance(event, Shot) else 0
