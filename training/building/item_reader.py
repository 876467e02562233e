"""Reading of items: the decoded pictures that are not samples yet, read ahead by threads."""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from torch import Tensor

from ...perception.pictures import PictureError
from ...perception.selection import ORDERS
from ...perception.sequences.videos import VideoError
from ..dataset.store import Store
from ..prompts.templates import Templates
from ..sources.items import SourceItem
from ..sources.media import Media, origin_of

AHEAD = 256 << 20  # maximum bytes of pictures decoded ahead
CHUNK = 32 << 20  # bytes of pictures after which a thread pauses reading an item
CHUNK_EVENTS = 32  # likewise, so that a build can be stopped quickly
ITEMS_AHEAD = 64


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
    """One decoded picture or frame, for one of its items."""

    number: int  # of its item
    item: SourceItem
    frame: int
    content: bytes  # SHA-256 of the item's content
    prompts: dict[str, str]  # those without a sample yet → key to store when the sample exists; "" if none is needed
    faceless_key: str  # the key to store if there is no face
    picture: Tensor  # (H, W, 3) uint8
    items_done: float = 0.0  # how many items are read so far, including fractions

    @property
    def origin(self) -> str:
        """The origin of its largest face, by which the picture is recognized."""
        return origin_of(self.content, self.frame)

    @property
    def name(self) -> str:
        return f"{self.item.source}#frame={self.frame}" if self.item.media.is_sequence else self.item.source


@dataclass(frozen=True)
class AlreadyStored:
    """A picture or clip that is not processed again: it has all its samples, has no face, or is a finished clip."""

    item: SourceItem
    origin: str  # as in ItemFrame; for a clip, its content
    pictures: int = 1
    reason: str = ""  # why it has no samples, or fewer than pictures


@dataclass(frozen=True)
class ItemDone:
    """The last event of every item."""

    number: int
    item: SourceItem
    done_key: str = ""  # the key to store, for a sequence that was just read to its end
    origin: str = ""  # of such a sequence
    pictures: int = 0  # number in such a sequence, including unreadable ones
    unreadable: int = 0  # pictures that could not be read now
    reason: str = ""  # why the item, or a part of it, has no pictures


Event = ItemFrame | AlreadyStored | ItemDone
NumberedItem = tuple[int, SourceItem]


class ItemReader:
    """Reads items for a build that writes to the dataset at `path`, which must exist. Any thread may call it.

    `order` decides which face of a picture is used. That of the first order, the largest, has a known origin, so its
    samples are found in the dataset; other faces are only known after detection, so a key records them.
    """

    def __init__(self, path: Path, options: BuildOptions, order: str) -> None:
        self._path, self._options, self._order = path, options, order
        self._stores = threading.local()  # a store belongs to the thread that opened it

    def __call__(self, items: Sequence[NumberedItem]) -> Iterator[Event]:
        """Yield the pictures of items that are not in the dataset yet, and at the end an ItemDone for each item.

        The items are the rows of one picture or clip, which is decoded once.
        """
        first, media = items[0][0], items[0][1].media
        prompts = {number: self._options.prompts(item) for number, item in items}
        ends = {number: ItemDone(number, item) for number, item in items}
        unfinished = dict(items)
        only_changes = self._options.only_changes and media.is_sequence
        try:
            content = media.digest()
            faceless_key = self._faceless_key(content)
            for number, item in items:
                if (stored := self._stored(item, prompts[number], content)) is not None:
                    yield stored
                    del unfinished[number]
            count = 0
            for frame in media.frames(self._options.every or (1 if only_changes else None)) if unfinished else ():
                count += 1
                done = first + len(items) * (count - 1) / max(media.expected, count)
                for number, item in unfinished.items():
                    missing = self._missing(prompts[number], content, frame.number)
                    # Changes only show compared with earlier frames, so with `only_changes` all frames are processed.
                    if missing or only_changes:
                        yield ItemFrame(number, item, frame.number, content, missing, faceless_key, frame.picture, done)
                    else:
                        yield AlreadyStored(item, origin_of(content, frame.number))
            for number, item in unfinished.items() if media.is_sequence else ():
                key, pictures = self._clip_key(content, prompts[number]), count + media.unreadable
                ends[number] = ItemDone(number, item, key, content.hex(), pictures, media.unreadable, media.problem)
        except (PictureError, VideoError, OSError) as error:
            for number, item in unfinished.items():
                reason = _reason(media, error)
                ends[number] = ItemDone(number, item, unreadable=media.unreadable or 1, reason=reason)
        yield from ends.values()

    def _stored(self, item: SourceItem, prompts: Sequence[str], content: bytes) -> AlreadyStored | None:
        """Return what need not be read again: a finished clip, a picture with all its samples or without a face."""
        if item.media.is_sequence:
            clip = self._store.processed(self._clip_key(content, prompts))
            return AlreadyStored(item, content.hex(), clip.pictures, clip.reason) if clip else None
        origin = origin_of(content, 0)
        if not self._missing(prompts, content, 0):
            return AlreadyStored(item, origin)
        faceless = self._store.processed(self._faceless_key(content))
        return AlreadyStored(item, origin, reason=faceless.reason) if faceless else None

    def _faceless_key(self, content: bytes) -> str:
        return _key(content, "no face", self._options.finding)

    def _clip_key(self, content: bytes, prompts: Sequence[str]) -> str:
        selection = f"every {self._options.every}, {'changes' if self._options.only_changes else 'all'}, {self._order}"
        return _key(content, selection, self._options.finding, *prompts)

    def _missing(self, prompts: Sequence[str], content: bytes, frame: int) -> dict[str, str]:
        """Return the prompts without a sample of the frame's chosen face, each with the key that will record it."""
        if self._order == ORDERS[0]:
            origin = origin_of(content, frame)
            return {prompt: "" for prompt in prompts if not self._store.has(origin, prompt)}
        keys = {prompt: _key(content, f"{frame} {self._order}", self._options.finding, prompt) for prompt in prompts}
        return {prompt: key for prompt, key in keys.items() if self._store.processed(key) is None}

    @property
    def _store(self) -> Store:
        if not hasattr(self._stores, "store"):
            self._stores.store = Store(self._path, create=False)
        store: Store = self._stores.store
        return store


def by_picture(items: Iterable[SourceItem]) -> Iterator[list[NumberedItem]]:
    """Yield the items in lists, with their numbers: neighbors that are rows of one picture or clip."""
    for _, rows in groupby(enumerate(items), key=lambda row: row[1].media):
        yield list(rows)


def picture_bytes(events: Iterable[Event]) -> int:
    """Return the bytes of the pictures; one that several rows share counts once."""
    return sum({id(event.picture): event.picture.nbytes for event in events if isinstance(event, ItemFrame)}.values())


def read_ahead(
    items: Sequence[SourceItem], read: Callable[[Sequence[NumberedItem]], Iterator[Event]], workers: int
) -> Generator[Event]:
    """Yield the events of `read` for each picture or clip, in the order of the items, while `workers` threads read on.

    Memory is limited: a clip is read in chunks, the second after the first is consumed, and no further one is started
    while more than AHEAD bytes are waiting. Errors are raised where the event would have been consumed. Closing the
    generator ends the threads after their current chunks.
    """
    upcoming = by_picture(items)
    reading: deque[tuple[Iterator[Event], int, Future[list[Event]]]] = deque()  # with the number of the last item
    pool = ThreadPoolExecutor(workers)
    try:
        while True:
            while len(reading) < ITEMS_AHEAD and sum(_bytes_of(future) for *_, future in reading) < AHEAD:
                if (following := next(upcoming, None)) is None:
                    break
                events = read(following)
                reading.append((events, following[-1][0], pool.submit(_chunk, events)))
            if not reading:
                return
            events, last, future = reading.popleft()
            chunk = future.result()
            if not (isinstance(chunk[-1], ItemDone) and chunk[-1].number == last):
                reading.appendleft((events, last, pool.submit(_chunk, events)))
            yield from chunk
    finally:
        pool.shutdown(cancel_futures=True)


def _chunk(events: Iterator[Event]) -> list[Event]:
    """Return the next events of an item: all that are left, or a chunk of them."""
    chunk: list[Event] = []
    for event in events:
        chunk.append(event)
        if len(chunk) == CHUNK_EVENTS or picture_bytes(chunk) >= CHUNK:
            break
    return chunk


def _bytes_of(future: Future[list[Event]]) -> int:
    """Return the bytes of a chunk's pictures; at least CHUNK while it is being read."""
    if not future.done() or future.exception() is not None:
        return CHUNK
    return picture_bytes(future.result())


def _key(content: bytes, *words: str) -> str:
    return hashlib.sha256(content + "\0".join(words).encode()).hexdigest()


def _reason(media: Media, error: Exception) -> str:
    """Return the message of an error without the picture's name or path, because the item's name is next to it."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    name = getattr(media, "name", getattr(media, "path", ""))
    return str(error).removeprefix(f"{name}: ")
