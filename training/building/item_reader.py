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
from ..sources.items import SourceItem
from ..sources.media import origin_of


@dataclass(frozen=True)
class BuildOptions:
    """How items become samples; the same for every item of a build."""

    templates: Templates
    prompts_per_picture: int = 1  # generated from an item's label; the prompts that a source states are all used
    every: int | None = None  # every n-th frame of a sequence; None: the default selection
    only_changes: bool = False  # only frames of a sequence in which the expression has changed
    finding: str = ""  # how faces are found; pictures without a face are processed again when it changes

    def prompts(self, item: SourceItem) -> tuple[str, ...]:
        """Return the item's own prompts, or those generated from its label."""
        return item.prompts or self.templates.prompts(item.label, item.columns, item.source, self.prompts_per_picture)


@dataclass(frozen=True)
class ItemFrame:
    """One decoded picture or frame."""

    number: int  # of its item
    item: SourceItem
    frame: int
    prompts: tuple[str, ...]  # those without a sample yet
    origin: str  # the same for the same file content and frame
    done_key: str  # the same for the same file content and the same way to find faces
    picture: Tensor  # (H, W, 3) uint8

    @property
    def name(self) -> str:
        return f"{self.item.source}#frame={self.frame}" if self.item.media.is_sequence else self.item.source


@dataclass(frozen=True)
class AlreadyStored:
    """A picture or clip that is not processed again: it has all its samples, has no face, or is a finished clip."""

    item: SourceItem
    origin: str  # as in ItemFrame; for a clip, the same for the same content
    pictures: int = 1
    reason: str = ""  # why a picture produces no sample


@dataclass(frozen=True)
class ItemDone:
    """The end of an item."""

    number: int
    item: SourceItem
    done_key: str = ""  # of a sequence that was just read to its end
    origin: str = ""  # of such a sequence
    pictures: int = 0  # number in such a sequence, including unreadable ones
    unreadable: int = 0  # pictures that could not be read now
    reason: str = ""  # why the item, or a part of it, has no pictures


class ItemReader:
    """Reads items for a build that writes to the dataset at `path`, which must exist."""

    def __init__(self, path: Path, options: BuildOptions) -> None:
        self._path = path
        self._options = options
        self._stores = threading.local()  # a store belongs to the thread that opened it

    def __call__(self, numbered: tuple[int, SourceItem]) -> Iterator[ItemFrame | AlreadyStored | ItemDone]:
        """Yield the pictures of an item that are not in the dataset yet, and finally an ItemDone."""
        number, item = numbered
        try:
            prompts, content = self._options.prompts(item), item.media.digest()
            read = self._sequence if item.media.is_sequence else self._picture
            yield from read(number, item, prompts, content)
        except (PictureError, VideoError, OSError) as error:
            yield ItemDone(number, item, unreadable=item.media.unreadable or 1, reason=_reason(item, error))

    def _picture(
        self, number: int, item: SourceItem, prompts: Sequence[str], content: bytes
    ) -> Iterator[ItemFrame | AlreadyStored | ItemDone]:
        origin = origin_of(content, 0)
        missing = self._missing(prompts, origin)
        done_key = _key(content, "no face", self._options.finding)
        faceless = self._store.finished(done_key) if missing else None
        if faceless is not None:
            yield AlreadyStored(item, origin, reason=faceless.reason)
        elif not missing:
            yield AlreadyStored(item, origin)
        else:
            for frame in item.media.frames():
                yield ItemFrame(number, item, frame.number, missing, origin, done_key, frame.picture)
        yield ItemDone(number, item)

    def _sequence(
        self, number: int, item: SourceItem, prompts: Sequence[str], content: bytes
    ) -> Iterator[ItemFrame | AlreadyStored | ItemDone]:
        options = self._options
        taken = f"every {options.every}, {'changes' if options.only_changes else 'all'}"
        done_key = _key(content, taken, options.finding, *prompts)
        whole = content.hex()
        finished = self._store.finished(done_key)
        if finished is not None:
            yield AlreadyStored(item, whole, finished.pictures)
            yield ItemDone(number, item, reason=finished.reason)
            return
        pictures = 0
        for frame in item.media.frames(options.every or (1 if options.only_changes else None)):
            pictures += 1
            origin = origin_of(content, frame.number)
            missing = self._missing(prompts, origin)
            # Changes only show compared with earlier frames, so with `only_changes` all frames are processed.
            if missing or options.only_changes:
                yield ItemFrame(number, item, frame.number, missing, origin, done_key, frame.picture)
            else:
                yield AlreadyStored(item, origin)
        unreadable = item.media.unreadable
        yield ItemDone(number, item, done_key, whole, pictures + unreadable, unreadable, item.media.problem)

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


def _reason(item: SourceItem, error: Exception) -> str:
    """Return the message of an error without the file's path, because the item's name appears next to it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).removeprefix(f"{getattr(item.media, 'path', '')}: ")
