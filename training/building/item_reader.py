"""Reading of items: the decoded pictures that are not samples yet. It can be called from many threads."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ...perception.pictures import PictureError
from ...perception.sequences.videos import VideoError
from ..dataset.store import Store
from ..prompts.templates import Templates
from ..sources.items import Item
from ..sources.media import origin_of


@dataclass(frozen=True)
class Plan:
    """How items become samples; the same for every item of a build."""

    templates: Templates
    prompts_per_picture: int = 1  # generated from an item's label; the prompts that a source states are all used
    every: int | None = None  # every n-th frame of a sequence; None: the default selection
    only_changes: bool = False  # only frames of a sequence in which the expression has changed
    finding: str = ""  # how faces are found; pictures without a face are processed again when it changes

    def prompts(self, item: Item) -> tuple[str, ...]:
        """Return the item's own prompts, or those generated from its label."""
        return item.prompts or self.templates.prompts(item.label, item.columns, item.source, self.prompts_per_picture)


@dataclass(frozen=True)
class Shot:
    """One decoded picture or frame."""

    number: int  # of its item
    item: Item
    frame: int
    prompts: tuple[str, ...]  # those without a sample yet
    origin: str  # the same for the same file content and frame
    done_key: str  # the same for the same file content and the same way to find faces
    picture: Tensor  # (H, W, 3) uint8

    @property
    def name(self) -> str:
        return f"{self.item.source}#frame={self.frame}" if self.item.media.is_sequence else self.item.source


@dataclass(frozen=True)
class Known:
    """A picture or clip that is not processed again: it has all its samples, has no face, or is a finished clip."""

    item: Item
    origin: str  # as in Shot; for a clip, the same for the same content
    pictures: int = 1
    reason: str = ""  # why a picture produces no sample


@dataclass(frozen=True)
class End:
    """The end of an item."""

    number: int
    item: Item
    done_key: str = ""  # of a sequence that was just read to its end
    origin: str = ""  # of such a sequence
    pictures: int = 0  # number in such a sequence, including unreadable ones
    unreadable: int = 0  # pictures that could not be read now
    reason: str = ""  # why the item, or a part of it, has no pictures


class ItemReader:
    """Reads items for a build that writes to the dataset at `path`, which must exist."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self._path = path
        self._plan = plan
        self._stores = threading.local()  # a store belongs to the thread that opened it

    def __call__(self, numbered: tuple[int, Item]) -> Iterator[Shot | Known | End]:
        """Yield the pictures of an item that are not in the dataset yet, and finally an End."""
        number, item = numbered
        try:
            prompts, content = self._plan.prompts(item), item.media.digest()
            read = self._sequence if item.media.is_sequence else self._picture
            yield from read(number, item, prompts, content)
        except (PictureError, VideoError, OSError) as error:
            yield End(number, item, unreadable=item.media.unreadable or 1, reason=_reason(item, error))

    def _picture(self, number: int, item: Item, prompts: Sequence[str], content: bytes) -> Iterator[Shot | Known | End]:
        origin = origin_of(content, 0)
        missing = self._missing(prompts, origin)
        done_key = _key(content, "no face", self._plan.finding)
        faceless = self._store.processed(done_key) if missing else None
        if faceless is not None:
            yield Known(item, origin, reason=faceless.reason)
        elif not missing:
            yield Known(item, origin)
        else:
            for frame in item.media.frames():
                yield Shot(number, item, frame.number, missing, origin, done_key, frame.picture)
        yield End(number, item)

    def _sequence(
        self, number: int, item: Item, prompts: Sequence[str], content: bytes
    ) -> Iterator[Shot | Known | End]:
        plan = self._plan
        taken = f"every {plan.every}, {'changes' if plan.only_changes else 'all'}"
        done_key = _key(content, taken, plan.finding, *prompts)
        whole = content.hex()
        finished = self._store.processed(done_key)
        if finished is not None:
            yield Known(item, whole, finished.pictures)
            yield End(number, item, reason=finished.reason)
            return
        pictures = 0
        for frame in item.media.frames(plan.every or (1 if plan.only_changes else None)):
            pictures += 1
            origin = origin_of(content, frame.number)
            missing = self._missing(prompts, origin)
            # Changes only show compared with earlier frames, so with `only_changes` all frames are processed.
            if missing or plan.only_changes:
                yield Shot(number, item, frame.number, missing, origin, done_key, frame.picture)
            else:
                yield Known(item, origin)
        unreadable = item.media.unreadable
        yield End(number, item, done_key, whole, pictures + unreadable, unreadable, item.media.problem)

    def _missing(self, prompts: Sequence[str], origin: str) -> tuple[str, ...]:
        """Return the prompts without a sample of the face of that origin."""
        return tuple(prompt for prompt in prompts if not self._store.has(origin, prompt))

    @property
    def _store(self) -> Store:
        if not hasattr(self._stores, "store"):
            self._stores.store = Store(self._path, create=False)
        store: Store = self._stores.store
        return store


def _key(content: bytes, *words: str) -> str:
    return hashlib.sha256(content + "\0".join(words).encode()).hexdigest()


def _reason(item: Item, error: Exception) -> str:
    """Return the message of an error without the file's path, because the item's name appears next to it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).removeprefix(f"{getattr(item.media, 'path', '')}: ")
