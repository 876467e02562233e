"""Pictures and videos with prompts → samples in a store."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from ...common.errors import PerceptionClipError
from ...common.words import counted
from ...perception.emotions.expression import ExpressionModel
from ...perception.origins import face_number
from ...perception.pipeline import PerceptionPipeline
from ...perception.selection import ORDERS
from ...perception.vector import Perceptions
from ..dataset.copying import vectors_of
from ..dataset.samples import Samples
from ..dataset.store import Processed, Store
from ..encoders.base import TextEncoder, fingerprint
from ..sources.items import SourceItem
from ..sources.media import origin_of
from .item_reader import AlreadyStored, BuildOptions, Event, ItemDone, ItemFrame, ItemReader, read_ahead

BATCH = 16  # pictures perceived at a time, and samples written at a time
BATCH_BYTES = 64 << 20  # of pixels in a batch, after which no further picture is added
BATCH_EVENTS = 256  # in a batch, so that progress is also shown while nothing is new
WORKERS = min(os.cpu_count() or 1, 8)  # threads that read ahead
PENDING = 2  # batches: one being perceived, and one waiting for it
NO_FACE = "no face was found in it"

EYES = (33, 263)  # the outer corners
CHANGE = 0.03  # of the distance between them: five times what a still face moves from one frame to the next


class BuildError(PerceptionClipError, ValueError):
    """Raised if nothing could be built; the message gives the reason."""


@dataclass
class BuildSummary:
    """The result of a build. Each picture, including frames of videos, counts in one of the first six numbers."""

    new: int = 0  # pictures that produced new samples
    known: int = 0  # already in the store with all their prompts, or in a clip that was finished before
    copies: int = 0  # with the same bytes as an earlier picture, or the same frame of the same clip, in this build
    faceless: int = 0  # without a face
    unchanged: int = 0  # frames skipped because the expression did not change
    unreadable: int = 0  # could not be read; a completely unreadable video counts as one
    samples: int = 0  # new in the store: one for each prompt of a picture
    faces: int = 0  # detected in this build
    perceived: int = 0  # pictures processed in this build
    skipped: list[tuple[str, str]] = field(default_factory=list)  # (path, reason)

    @property
    def pictures(self) -> int:
        """The total number of pictures."""
        return self.new + self.known + self.copies + self.faceless + self.unchanged + self.unreadable

    def check(self, count: int) -> None:
        """Raise BuildError if none of the `count` items has a face."""
        if self.faces + self.known == 0:
            path, reason = self.skipped[0] if self.skipped else ("the list", "it is empty")
            raise BuildError(
                f"no face was found in any of {counted(count, 'file')} ({counted(self.pictures, 'picture')}); the "
                f"first: {path}: {reason}"
            )

    def add(self, other: BuildSummary) -> None:
        """Add the numbers of another part of the same build."""
        for name in (each.name for each in fields(self) if each.name != "skipped"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.skipped.extend(other.skipped)


NewSamples = dict[tuple[str, str], tuple[ItemFrame, int]]  # origin and prompt → frame, and row of its face
Progress = Callable[[float, BuildSummary], None]  # called with the number of items done, including fractions of items


def build(
    items: Sequence[SourceItem],
    store: Store,
    pipeline: PerceptionPipeline,
    encoder: TextEncoder,
    options: BuildOptions,
    *,
    batch: int = BATCH,
    workers: int = WORKERS,
    progress: Progress | None = None,
    summary: BuildSummary | None = None,
) -> BuildSummary:
    """Perceive every item, append the first face of each picture with its prompts to `store`, and return a summary.

    `workers` threads read and decode files while other pictures are perceived, on all cores. Samples are safe on disk
    after each `batch` of pictures, so an interrupted build, or one with added files, can simply be run again: it skips
    existing samples (the same face of the same bytes with the same prompt, whatever the file's name), pictures without
    a face, and finished videos. Files that cannot be read, damaged parts of videos and pictures without a face are
    skipped and listed with the reason in the summary. If `summary` is passed, it is used, and it is up to date whenever
    the build ends.

    Raises StoreError if the store's samples were created with other models.
    """
    store.set_provenance(
        encoder.identity,
        fingerprint(encoder),
        pipeline.landmarker.identity,
        pipeline.emotion_model.identity,
        space=encoder.space,
    )
    order = pipeline.selection.order
    builder = _Builder(store, encoder, options, order, summary or BuildSummary())
    reader = ItemReader(store.path, options, order)
    with (
        closing(read_ahead(items, reader, workers)) as events,
        closing(_perceived(_batches(events, batch), pipeline)) as batches,
    ):
        for content, perceptions in batches:
            builder.add(content, perceptions)
            if progress is not None:
                progress(builder.items_done, builder.summary)
    return builder.summary


def _batches(events: Iterable[Event], most: int) -> Iterator[list[Event]]:
    """Yield the events in batches of up to `most` distinct pictures, with the rows of a picture in one batch."""
    batch: list[Event] = []
    sizes: dict[tuple[bytes, int], int] = {}  # bytes of the pictures in the batch
    for event in events:
        new = isinstance(event, ItemFrame) and _key(event) not in sizes
        full = len(sizes) == most or sum(sizes.values()) >= BATCH_BYTES
        if (full and new) or len(batch) == BATCH_EVENTS:
            yield batch
            batch, sizes = [], {}
        batch.append(event)
        if isinstance(event, ItemFrame):
            sizes[_key(event)] = event.picture.nbytes
    if batch:
        yield batch


def _perceived(
    batches: Iterable[list[Event]], pipeline: PerceptionPipeline
) -> Generator[tuple[list[Event], Perceptions]]:
    """Yield each batch with the faces in its distinct pictures, while a thread perceives the next one."""
    pending: deque[tuple[list[Event], Future[Perceptions]]] = deque()
    perceiver = ThreadPoolExecutor(1)
    try:
        for batch in batches:
            pictures = {_key(event): event.picture for event in batch if isinstance(event, ItemFrame)}
            pending.append((batch, perceiver.submit(pipeline, list(pictures.values()))))
            if len(pending) > PENDING:
                first, future = pending.popleft()
                yield first, future.result()
        for first, future in pending:
            yield first, future.result()
    finally:
        perceiver.shutdown(cancel_futures=True)


def _key(frame: ItemFrame) -> tuple[bytes, int]:
    """Return what identifies a picture: rows of a table may name it several times."""
    return frame.content, frame.frame


class _Builder:
    """The part of a build that runs in order, in one thread."""

    def __init__(
        self, store: Store, encoder: TextEncoder, options: BuildOptions, order: str, summary: BuildSummary
    ) -> None:
        self.summary = summary
        self.items_done = 0.0
        self._store, self._encoder, self._order = store, encoder, order
        self._expressions = ExpressionModel.load() if options.only_changes else None
        self._clips: dict[int, _Clip] = {}  # by the numbers of the items being read
        self._seen: set[str] = set()  # origins of all pictures and clips of this build so far

    def add(self, batch: list[Event], perceptions: Perceptions) -> None:
        """Append the samples of a batch, count its pictures, and record what need not be processed again.

        `perceptions` are the faces in the distinct pictures of the batch; the first of each picture is used.
        """
        row_of: dict[int, int] = {}  # picture → row of its first face
        for row, picture in enumerate(perceptions.frames.tolist()):
            row_of.setdefault(picture, row)
        samples: NewSamples = {}
        done: dict[str, Processed] = {}
        numbers: dict[tuple[bytes, int], int] = {}  # of the distinct pictures
        for event in batch:
            if isinstance(event, ItemFrame):
                number = numbers.setdefault(_key(event), len(numbers))
                self._add_frame(event, perceptions, row_of.get(number), samples, done)
            elif isinstance(event, AlreadyStored):
                if event.reason:
                    self.summary.skipped.append((event.item.source, event.reason))
                faceless = event.reason and not event.item.media.is_sequence
                self._count("faceless" if faceless else "known", event.origin, event.pictures)
            else:
                self._end_item(event, done)
        self.summary.perceived += len(numbers)
        self.summary.faces += len(row_of)
        self.summary.samples += self._append(samples, perceptions)
        if done:  # after the samples, so that an interruption between them loses nothing
            self._store.mark_processed(done)

    def _add_frame(
        self,
        frame: ItemFrame,
        perceptions: Perceptions,
        row: int | None,
        samples: NewSamples,
        done: dict[str, Processed],
    ) -> None:
        """Add the new samples of a picture and the keys to store for it; `row` is that of its face, None if none."""
        self.items_done = max(self.items_done, frame.items_done)
        clip = self._clips.setdefault(frame.number, _Clip(self._expressions)) if frame.item.media.is_sequence else None
        if clip is not None:
            clip.frames += 1
        if row is None:
            if clip is None:
                self.summary.skipped.append((frame.name, NO_FACE))
                done[frame.faceless_key] = Processed(NO_FACE)
            else:
                clip.faceless.append(frame.frame)
            self._count("faceless", frame.origin)
            return
        if clip is not None and not clip.is_new(perceptions.landmarks[row], perceptions.image_sizes[row]):
            self._count("unchanged", frame.origin)
            return
        face = 0 if self._order == ORDERS[0] else face_number(frame.picture, perceptions.origins[row])
        origin = origin_of(frame.content, frame.frame, face)
        new = [
            (origin, prompt)
            for prompt in frame.prompts
            if (origin, prompt) not in samples and not self._store.has(origin, prompt)
        ]
        samples.update(dict.fromkeys(new, (frame, row)))
        done.update({key: Processed("") for key in frame.prompts.values() if key})
        self._count("new" if new else "known", frame.origin)

    def _append(self, samples: NewSamples, perceptions: Perceptions) -> int:
        """Append the samples, and return the number of new ones."""
        if not samples:
            return 0
        faces = perceptions.select([row for _, row in samples.values()])
        frames = [frame for frame, _ in samples.values()]
        prompts = [prompt for _, prompt in samples]
        embeddings, added_targets = vectors_of(prompts, self._store, self._encoder)
        return self._store.append(
            Samples(
                faces.vectors.numpy(),
                faces.image_sizes.numpy(),
                prompts,
                embeddings.numpy(),
                [frame.item.group for frame in frames],
                [frame.name for frame in frames],
                [origin for origin, _ in samples],
                labels=[frame.item.label for frame in frames],
                splits=[frame.item.split for frame in frames],
                scores=faces.scores.numpy(),
                added_targets={name: values.numpy() for name, values in added_targets.items()},
            )
        )

    def _end_item(self, event: ItemDone, done: dict[str, Processed]) -> None:
        """Count what could not be read, and add the key to store for a clip that is complete."""
        clip = self._clips.pop(event.number, None)
        reason = "; ".join(filter(None, [event.reason, clip.without_face if clip is not None else ""]))
        if reason:
            self.summary.skipped.append((event.item.source, reason))
        if event.origin in self._seen:
            self.summary.copies += event.unreadable
        else:
            self.summary.unreadable += event.unreadable
        if event.done_key:
            self._seen.add(event.origin)
            done[event.done_key] = Processed(reason, event.pictures)
        self.items_done = max(self.items_done, event.number + 1)

    def _count(self, what: str, origin: str, pictures: int = 1) -> None:
        """Count pictures under a number of the summary, or as copies if they are not new and appeared before."""
        if what != "new" and origin in self._seen:
            what = "copies"
        self._seen.add(origin)
        setattr(self.summary, what, getattr(self.summary, what) + pictures)


class _Clip:
    """A video or folder of frames while it is being read.

    With an expression model, only faces with a new expression count as new; head movements do not change it. Two
    expressions differ if their aligned landmarks are at least CHANGE apart (root mean square, in units of the distance
    between the outer eye corners, without depth, which is noisy).
    """

    def __init__(self, expressions: ExpressionModel | None) -> None:
        self.frames = 0  # so far
        self.faceless: list[int] = []
        self._expressions = expressions
        self._last: Tensor | None = None  # (478, 2) of the last new face

    def is_new(self, landmarks: Tensor, image_size: Tensor) -> bool:
        """Return whether landmarks (478, 3), in a picture of (height, width) (2,), differ from the last new ones."""
        if self._expressions is None:
            return True
        shape = self._expressions.align(landmarks[None], image_size[None]).points[0, :, :2]
        shape = shape / (shape[EYES[0]] - shape[EYES[1]]).norm().clamp_min(torch.finfo(shape.dtype).tiny)
        if self._last is not None and (shape - self._last).square().sum(dim=1).mean().sqrt() < CHANGE:
            return False
        self._last = shape
        return True

    @property
    def without_face(self) -> str:
        """A text about the frames without a face; empty if every frame has one."""
        if not self.faceless:
            return ""
        return (
            f"no face was found in {len(self.faceless)} of {counted(self.frames, 'frame')} (first in frame "
            f"{self.faceless[0]})"
        )
