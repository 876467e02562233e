"""Items → the pictures in them that are not samples yet, decoded; safe to be called from many threads."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from ..perception.pictures import PictureError
from ..perception.videos import VideoError
from .items import Item
from .media import sample_key
from .prompts import Templates
from .store import Store


@dataclass(frozen=True)
class Plan:
    """How items become samples; the same for every item of a build."""

    templates: Templates
    prompts_per_picture: int = 1  # made from an item's label; the prompts that a source states are all taken
    every: int | None = None  # of a sequence, every n-th frame; None: the usual ones
    only_changes: bool = False  # of a sequence, only frames in which the expression has changed
    finding: str = ""  # how faces are found; pictures without a face are looked at again when it changes

    def prompts(self, item: Item) -> tuple[str, ...]:
        """What the item expresses."""
        return item.prompts or self.templates.prompts(item.label, item.columns, item.source, self.prompts_per_picture)


@dataclass(frozen=True)
class Shot:
    """One picture or frame, decoded."""

    number: int  # of its item
    item: Item
    frame: int
    prompts: tuple[str, ...]
    keys: tuple[str, ...]  # one for each prompt: the same for the same file content, frame and prompt
    done_key: str  # the same for the same file content, and faces found in the same way
    picture: Tensor  # (H, W, 3) uint8

    @property
    def name(self) -> str:
        return f"{self.item.source}#frame={self.frame}" if self.item.media.is_sequence else self.item.source


@dataclass(frozen=True)
class Known:
    """A picture or frame that is in the dataset with all its prompts."""

    number: int


@dataclass(frozen=True)
class End:
    """Nothing more comes of an item."""

    number: int
    item: Item
    done_key: str = ""  # of a sequence that was read to its end now
    reason: str = ""  # why it, or a part of it, gave no pictures


class ItemReader:
    """Reads items for a build into the dataset at `path`, which must exist."""

    def __init__(self, path: Path, plan: Plan) -> None:
        self._path = path
        self._plan = plan
        self._stores = threading.local()  # a store belongs to the thread that opened it

    def __call__(self, numbered: tuple[int, Item]) -> Iterator[Shot | Known | End]:
        """What an item has that is not in the dataset yet; always ends with an End."""
        number, item = numbered
        try:
            prompts, content = self._plan.prompts(item), item.media.digest()
            read = self._sequence if item.media.is_sequence else self._picture
            yield from read(number, item, prompts, content)
        except (PictureError, VideoError, OSError) as error:
            yield End(number, item, reason=_reason(item, error))

    def _picture(self, number: int, item: Item, prompts: Sequence[str], content: bytes) -> Iterator[Shot | Known | End]:
        missing = self._missing(prompts, content, frame=0)
        done_key = _key(content, "no face", self._plan.finding)
        reason = self._store.finished(done_key) if missing else None
        if not missing:
            yield Known(number)
        elif reason is None:
            for frame in item.media.frames():
                yield Shot(number, item, frame.number, *_columns(missing), done_key, frame.picture)
        yield End(number, item, reason=reason or "")

    def _sequence(
        self, number: int, item: Item, prompts: Sequence[str], content: bytes
    ) -> Iterator[Shot | Known | End]:
        plan = self._plan
        taken = f"every {plan.every}, {'changes' if plan.only_changes else 'all'}"
        done_key = _key(content, taken, plan.finding, *prompts)
        reason = self._store.finished(done_key)
        if reason is not None:
            yield Known(number)
            yield End(number, item, reason=reason)
            return
        for frame in item.media.frames(plan.every or (1 if plan.only_changes else None)):
            missing = self._missing(prompts, content, frame.number)
            # What has changed shows only beside the frames before, so then all are looked at.
            if missing or plan.only_changes:
                yield Shot(number, item, frame.number, *_columns(missing), done_key, frame.picture)
            else:
                yield Known(number)
        yield End(number, item, done_key, item.media.problem)

    def _missing(self, prompts: Sequence[str], content: bytes, frame: int) -> list[tuple[str, str]]:
        """The prompts of a frame, each with its key, that it is not a sample with yet."""
        keyed = ((prompt, sample_key(content, frame, prompt)) for prompt in prompts)
        return [(prompt, key) for prompt, key in keyed if not self._store.has(key)]

    @property
    def _store(self) -> Store:
        if not hasattr(self._stores, "store"):
            self._stores.store = Store(self._path, create=False)
        store: Store = self._stores.store
        return store


def _columns(missing: list[tuple[str, str]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(prompt for prompt, _ in missing), tuple(key for _, key in missing)


def _key(content: bytes, *words: str) -> str:
    return hashlib.sha256(content + "\0".join(words).encode()).hexdigest()


def _reason(item: Item, error: Exception) -> str:
    """What is wrong, without the file's path: its name stands beside it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).removeprefix(f"{getattr(item.media, 'path', '')}: ")
