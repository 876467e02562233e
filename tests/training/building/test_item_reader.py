from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
import torch

from perception_clip.training.building import item_reader
from perception_clip.training.building.item_reader import Event, ItemDone, ItemFrame, NumberedItem, read_ahead
from perception_clip.training.sources.items import SourceItem
from perception_clip.training.sources.media import PictureFile

ITEMS = [SourceItem(PictureFile(Path(str(number))), str(number), "g") for number in range(40)]
PICTURE = torch.zeros(10, 10, 3, dtype=torch.uint8)  # 300 bytes


def frames(items: Sequence[NumberedItem], count: int | None = None) -> Iterator[Event]:
    ((number, item),) = items
    for frame in range(number % 4 if count is None else count):
        time.sleep(0.001 * (number % 3))
        yield ItemFrame(number, item, frame, b"", {}, "", PICTURE.clone())
    yield ItemDone(number, item)


def place(event: Event) -> tuple[int, int | None]:
    assert isinstance(event, (ItemFrame, ItemDone))
    return event.number, event.frame if isinstance(event, ItemFrame) else None


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("chunk", [1, 700, 1 << 20])  # bytes: every picture alone, three together, whole items
def test_events_keep_the_order_of_the_items(workers: int, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_reader, "CHUNK", chunk)
    expected = [place(event) for item in enumerate(ITEMS) for event in frames([item])]
    assert [place(event) for event in read_ahead(ITEMS, frames, workers)] == expected
    assert list(read_ahead([], frames, workers)) == []


def test_memory_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_reader, "CHUNK", 600)  # two pictures
    monkeypatch.setattr(item_reader, "AHEAD", 1800)
    decoded = consumed = most = 0

    def counting(items: Sequence[NumberedItem]) -> Iterator[Event]:
        nonlocal decoded, most
        for event in frames(items, count=5):
            decoded += isinstance(event, ItemFrame)
            most = max(most, decoded - consumed)
            yield event

    for event in read_ahead(ITEMS, counting, 3):
        consumed += isinstance(event, ItemFrame)
        time.sleep(0.001)
    # At most three chunks wait and one is being read; the consumer has taken another, of which it may count none yet.
    assert consumed == 5 * len(ITEMS) and 4 <= most <= 2 * (3 + 1 + 1)


def test_an_error_is_raised_where_its_event_is_due() -> None:
    def failing(items: Sequence[NumberedItem]) -> Iterator[Event]:
        if items[0][0] == 3:
            raise KeyError("three")
        yield from frames(items, count=0)

    seen = []
    with pytest.raises(KeyError, match="three"):
        for event in read_ahead(ITEMS, failing, 2):
            seen.append(place(event)[0])
    assert seen == [0, 1, 2]


def test_closing_ends_the_threads() -> None:
    before = threading.active_count()
    with closing(read_ahead(ITEMS, lambda items: frames(items, count=1000), 3)) as events:
        assert place(next(events)) == (0, 0)
    assert threading.active_count() == before
