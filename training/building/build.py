"""Pictures and videos with prompts → samples in a store."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from ...common.errors import PerceptionClipError
from ...common.words import counted
from ...perception.emotions.expression import ExpressionModel
from ...perception.pipeline import PerceptionPipeline
from ...perception.vector import Perceptions
from ..dataset.copying import vectors_of
from ..dataset.samples import Samples
from ..dataset.store import Processed, Store
from ..encoders.base import TextEncoder, fingerprint
from ..sources.items import Item
from .item_reader import End, ItemReader, Known, Plan, Shot
from .parallel import Perceivers, Prefetch

BATCH = 16  # pictures perceived at a time, and samples written at a time
BATCH_BYTES = 64 << 20  # of pixels in a batch, after which no further picture is added
PORTION = 64  # items; no batch crosses a multiple of it, so that each such part can be a shard (ray_shards.py)
WORKERS = min(os.cpu_count() or 1, 8)  # threads that read ahead
PENDING = 2  # batches, in order: one being perceived, and one waiting for it
AHEAD = 256 << 20  # maximum bytes of pictures decoded ahead
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
            which, why = self.skipped[0] if self.skipped else ("the list", "it is empty")
            raise BuildError(
                f"no face was found in any of {counted(count, 'file')} ({counted(self.pictures, 'picture')}); the "
                f"first: {which}: {why}"
            )

    def add(self, other: BuildSummary) -> None:
        """Add the numbers of another part of the same build."""
        for name in (each.name for each in fields(self) if each.name != "skipped"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.skipped.extend(other.skipped)


Progress = Callable[[float, BuildSummary], None]  # called with the number of items done, including fractions of items


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
    """Perceive every item, append the first face of each picture with its prompts to `store`, and return a summary.

    `workers` threads read and decode files while other pictures are perceived, on all cores. Samples are safe on disk
    after each `batch` of pictures, so an interrupted build, or one with added files, can simply be run again: it skips
    existing samples (the same bytes with the same prompt, whatever the file's name), pictures without a face, and
    finished videos. Files that cannot be read, damaged parts of videos and pictures without a face are skipped and
    listed with the reason in the summary. If `summary` is passed, it is used, and it is up to date whenever the build
    ends.

    Raises StoreError if the store's samples were created with other models.
    """
    store.set_provenance(
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
    """Pictures that are perceived together, and the other events read before the batch ended."""

    met: list[Shot | Known] = field(default_factory=list)  # in order
    shots: list[Shot] = field(default_factory=list)  # those of `met` that are perceived
    ended: list[End] = field(default_factory=list)  # items without pictures in later batches


def _batches(events: Iterable[Shot | Known | End], most: int) -> Iterator[Batch]:
    """Yield batches of up to `most` pictures with the other events between them; none crosses a multiple of PORTION."""
    batch = Batch()
    pixels = 0
    for event in events:
        if isinstance(event, Shot):
            if batch.shots and batch.shots[0].number // PORTION != event.number // PORTION:
                yield batch
                batch, pixels = Batch(), 0
            batch.met.append(event)
            batch.shots.append(event)
            pixels += event.picture.numel()
            if len(batch.shots) == most or pixels >= BATCH_BYTES:
                yield batch
                batch, pixels = Batch(), 0
        elif isinstance(event, Known):
            batch.met.append(event)
        else:
            batch.ended.append(event)
        if not batch.shots and len(batch.met) + len(batch.ended) >= PORTION:
            yield batch
            batch = Batch()
    yield batch


class _Builder:
    """The part of a build that runs in order, in one thread."""

    def __init__(self, store: Store, encoder: TextEncoder, plan: Plan, summary: BuildSummary) -> None:
        self.summary = summary
        self.items_done = 0.0
        self._store, self._encoder, self._plan = store, encoder, plan
        self._met: set[str] = set()  # origins of all pictures and clips of this build so far
        self._wanted: set[tuple[str, str]] = set()  # origins and prompts of the samples that the batch will add
        self._clips: dict[int, _Clip] = {}  # clips being read, by the number of their item
        self._shapes = ExpressionModel.load() if plan.only_changes else None

    def take(self, batch: Batch, perceptions: Perceptions | None) -> None:
        """Append the samples of a batch, count its pictures, and record the items that end with it.

        `perceptions` belong to its shots; None if it has none.
        """
        first: dict[int, int] = {}  # shot → row of its first face
        for row, frame in enumerate([] if perceptions is None else perceptions.frames.tolist()):
            first.setdefault(frame, row)
        wanted: list[tuple[int, str]] = []  # shot and prompt of each sample to append
        faceless: dict[str, Processed] = {}
        index = 0
        for event in batch.met:
            if isinstance(event, Known):
                self._count_known(event)
                continue
            clip = self._clip(event) if event.item.media.is_sequence else None
            prompts: list[str] = []
            if perceptions is None or index not in first:
                if clip is None:
                    self.summary.skipped.append((event.name, NO_FACE))
                    faceless[event.done_key] = Processed(NO_FACE)
                else:
                    clip.faceless.append(event.frame)
                without = "faceless"
            elif clip is not None and not clip.is_new(perceptions, first[index]):
                without = "unchanged"
            else:
                prompts = [prompt for prompt in event.prompts if self._is_new(event.origin, prompt)]
                without = "known"
            self._count("new" if prompts else without, event.origin)
            wanted.extend((index, prompt) for prompt in prompts)
            index += 1
        self.summary.perceived += len(batch.shots)
        self.summary.faces += len(first)
        if perceptions is not None:
            self.summary.samples += self._append(batch.shots, wanted, perceptions, first)
        self._wanted.clear()
        if faceless:
            self._store.mark_processed(faceless)
        self._end(batch.ended)

    def _is_new(self, origin: str, prompt: str) -> bool:
        """Return whether there is no such sample, neither stored nor in this batch; from then on it is in the batch."""
        if (origin, prompt) in self._wanted or self._store.has(origin, prompt):
            return False
        self._wanted.add((origin, prompt))
        return True

    def _count_known(self, event: Known) -> None:
        if event.reason:
            self.summary.skipped.append((event.item.source, event.reason))
        self._count("faceless" if event.reason else "known", event.origin, event.pictures)

    def _count(self, what: str, origin: str, pictures: int = 1) -> None:
        """Count pictures under a number of the summary, or as copies if they are not new and appeared before."""
        if what != "new" and origin in self._met:
            what = "copies"
        self._met.add(origin)
        setattr(self.summary, what, getattr(self.summary, what) + pictures)

    def _end(self, ended: list[End]) -> None:
        """Record the items that are completely perceived."""
        done = {}
        for event in ended:
            clip = self._clips.pop(event.number, None)
            reason = "; ".join(filter(None, [event.reason, clip.without_face if clip is not None else ""]))
            if reason:
                self.summary.skipped.append((event.item.source, reason))
            copied = event.origin and event.origin in self._met
            self.summary.copies += event.unreadable if copied else 0
            self.summary.unreadable += 0 if copied else event.unreadable
            if event.done_key:
                self._met.add(event.origin)
                done[event.done_key] = Processed(reason, event.pictures)
            self.items_done = event.number + 1
        if done:
            self._store.mark_processed(done)
        for number, clip in self._clips.items():
            self.items_done = number + clip.frames / max(clip.expected, clip.frames + 1)

    def _clip(self, shot: Shot) -> _Clip:
        """Return the clip of a shot, advanced by one frame."""
        if shot.number not in self._clips:
            self._clips[shot.number] = _Clip(self._shapes)
        clip = self._clips[shot.number]
        clip.frames += 1
        clip.expected = shot.item.media.expected
        return clip

    def _append(
        self, shots: list[Shot], wanted: list[tuple[int, str]], perceptions: Perceptions, first: dict[int, int]
    ) -> int:
        """Append the first face of the wanted shots with their prompts, and return the number of new samples."""
        if not wanted:
            return 0
        faces = perceptions.select([first[index] for index, _ in wanted])
        chosen, prompts = [shots[index] for index, _ in wanted], [prompt for _, prompt in wanted]
        embeddings, sdxl_targets = vectors_of(prompts, self._store, self._encoder)
        return self._store.append(
            Samples(
                faces.vectors.numpy(),
                faces.image_sizes.numpy(),
                prompts,
                embeddings.numpy(),
                [shot.item.group for shot in chosen],
                [shot.name for shot in chosen],
                [shot.origin for shot in chosen],
                labels=[shot.item.label for shot in chosen],
                splits=[shot.item.split for shot in chosen],
                scores=faces.scores.numpy(),
                sdxl_targets={name: values.numpy() for name, values in sdxl_targets.items()},
            )
        )


class _Clip:
    """The state of a video or folder of frames while it is being read."""

    def __init__(self, shapes: ExpressionModel | None) -> None:
        self.frames = 0  # seen so far
        self.expected = 0
        self.faceless: list[int] = []
        self._changes = None if shapes is None else ExpressionChanges(shapes)

    def is_new(self, perceptions: Perceptions, row: int) -> bool:
        """Return whether to keep the face: always, or only if its expression differs from the last one kept."""
        return self._changes is None or self._changes.is_new(perceptions.landmarks[row], perceptions.image_sizes[row])

    @property
    def without_face(self) -> str:
        """A text about the frames without a face; empty if every frame has one."""
        if not self.faceless:
            return ""
        return (
            f"no face was found in {len(self.faceless)} of {counted(self.frames, 'frame')} (first in frame "
            f"{self.faceless[0]})"
        )


def _bytes_of(event: Shot | Known | End) -> int:
    return event.picture.numel() if isinstance(event, Shot) else 0


class ExpressionChanges:
    """Detects changes of expression in the frames of one video; head movements do not count as changes.

    Two expressions differ if their aligned landmarks are at least `change` apart (root mean square, in units of the
    distance between the outer eye corners, without depth, which is noisy).
    """

    def __init__(self, model: ExpressionModel, change: float = CHANGE) -> None:
        self._model = model
        self._change = change
        self._last: Tensor | None = None  # (478, 2) of the last face reported as new

    def is_new(self, landmarks: Tensor, image_size: Tensor) -> bool:
        """Return whether landmarks (478, 3), in a picture of (height, width) (2,), differ from the last new ones."""
        shape = self._model.align(landmarks[None], image_size[None]).points[0, :, :2]
        shape = shape / (shape[EYES[0]] - shape[EYES[1]]).norm().clamp_min(torch.finfo(shape.dtype).tiny)
        if self._last is not None:
            difference = (shape - self._last).square().sum(dim=1).mean().sqrt()
            if float(difference) < self._change:
                return False
        self._last = shape
        return True
