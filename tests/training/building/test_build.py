from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from perception_clip.perception.pictures import read_picture
from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.perception.selection import Selection
from perception_clip.perception.sequences.videos import Frame, Video, write_video
from perception_clip.training.building.build import NO_FACE, BuildError, BuildSummary, build
from perception_clip.training.building.item_reader import BuildOptions
from perception_clip.training.dataset.samples import Samples
from perception_clip.training.dataset.store import Store, StoreError
from perception_clip.training.encoders.base import PROBE, TextEncoder
from perception_clip.training.encoders.loading import load_encoder
from perception_clip.training.prompts.templates import Templates
from perception_clip.training.sources import find_items, media
from perception_clip.training.sources.items import SourceItem
from perception_clip.training.sources.media import FrameFolder, media_of

OPTIONS = BuildOptions(Templates.load(None))
KINDS = ("new", "known", "copies", "faceless", "unchanged", "unreadable")


class Counting:
    """The placeholder encoder, remembering what it was asked to encode."""

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder = encoder
        self.identity, self.space = encoder.identity, encoder.space
        self.has_subject = encoder.has_subject
        self.asked: list[str] = []

    def encode(self, prompts: Sequence[str]) -> Tensor:
        self.asked.extend(prompts)
        return self.encoder.encode(prompts)

    def added_targets(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        return self.encoder.added_targets(prompts)


@dataclass
class Bench:
    """Builds into datasets of one folder, and reads them."""

    folder: Path
    pipeline: PerceptionPipeline
    encoder: Counting

    def build(self, items: Sequence[SourceItem], options: BuildOptions = OPTIONS, **more: Any) -> BuildSummary:
        name, pipeline = more.pop("name", "a"), more.pop("pipeline", self.pipeline)
        with Store(self.folder / f"{name}.db") as store:
            return build(items, store, pipeline, more.pop("encoder", self.encoder), options, **more)

    def samples(self, name: str = "a") -> Samples:
        with Store(self.folder / f"{name}.db", create=False) as store:
            (samples,) = store.iterate()
        return samples

    def count(self, name: str = "a") -> int:
        with Store(self.folder / f"{name}.db", create=False) as store:
            return len(store)


@pytest.fixture(scope="module")
def pipeline() -> PerceptionPipeline:
    return PerceptionPipeline()


@pytest.fixture
def bench(tmp_path: Path, pipeline: PerceptionPipeline) -> Bench:
    return Bench(tmp_path, pipeline, Counting(load_encoder("random")))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, astronaut: np.ndarray, grace_hopper: np.ndarray) -> Path:
    """A folder per label: two photos, one of them twice, among files that cannot be used."""
    root = tmp_path_factory.mktemp("build") / "faces"
    for label in ("happy", "calm"):
        (root / label).mkdir(parents=True)
    Image.fromarray(astronaut).save(root / "happy" / "astronaut.png")
    Image.fromarray(astronaut).convert("L").save(root / "happy" / "gray.jpg")
    Image.fromarray(grace_hopper).save(root / "calm" / "grace.webp", lossless=True)
    whole = (root / "happy" / "astronaut.png").read_bytes()
    (root / "happy" / "corrupt.png").write_bytes(whole[: len(whole) // 2])
    (root / "happy" / "text.jpg").write_text("no picture")
    Image.new("RGB", (1, 1)).save(root / "calm" / "one_pixel.png")
    Image.new("RGB", (64, 64), "gray").save(root / "calm" / "wall.bmp")
    return root


def item(path: Path, prompt: str = "p", group: str = "g") -> SourceItem:
    return SourceItem(media_of(path), source=path.name, group=group, prompts=(prompt,))


def counts(summary: BuildSummary) -> dict[str, int]:
    """The numbers, of those that add up to all pictures, that are not 0."""
    numbers = {name: getattr(summary, name) for name in KINDS}
    assert sum(numbers.values()) == summary.pictures
    return {name: number for name, number in numbers.items() if number}


def test_a_folder_becomes_a_dataset(photos: Path, bench: Bench) -> None:
    items = find_items(photos).items
    summary = bench.build(items, batch=2)
    samples = bench.samples()
    assert (summary.samples, summary.faces, summary.perceived) == (3, 3, 5)
    reasons = dict(summary.skipped)
    assert set(reasons) == {
        *("faces/happy/corrupt.png", "faces/happy/text.jpg", "faces/calm/one_pixel.png", "faces/calm/wall.bmp")
    }
    assert reasons["faces/calm/wall.bmp"] == "no face was found in it"
    assert reasons["faces/happy/corrupt.png"] == "the end of the file is missing; copy or download it again"
    assert samples.sources == ["faces/calm/grace.webp", "faces/happy/astronaut.png", "faces/happy/gray.jpg"]
    assert samples.groups == samples.sources
    assert samples.image_sizes.tolist() == [[600, 512], [512, 512], [512, 512]]
    assert samples.prompts == [OPTIONS.prompts(items[row])[0] for row in (0, 3, 5)]
    assert samples.labels == ["neutral", "happy", "happy"] and samples.splits == ["", "", ""]
    assert all(0.5 <= score <= 1 for score in samples.scores)
    torch.testing.assert_close(torch.tensor(samples.embeddings), bench.encoder.encoder.encode(samples.prompts))
    alone = bench.pipeline([torch.tensor(np.asarray(Image.open(photos / "happy" / "astronaut.png")))])
    # Which pictures share a chunk may move a landmark by rounding, not by more.
    np.testing.assert_allclose(samples.perceptions[1], alone.vectors[0].numpy(), atol=1e-4)
    with Store(bench.folder / "a.db") as store:
        provenance = store.provenance
    assert provenance is not None
    assert (provenance.encoder, provenance.landmarker) == (bench.encoder.identity, bench.pipeline.landmarker.identity)
    assert provenance.emotion_model == bench.pipeline.emotion_model.identity

    again = bench.build(items, batch=2)
    assert (again.samples, again.faces, again.known, again.perceived, bench.count()) == (0, 0, 3, 0, 3)
    assert sorted(again.skipped) == sorted(summary.skipped)  # those without a face were not looked at again
    assert bench.build(items, replace(OPTIONS, finding="with another detector"), batch=2).perceived == 2


def test_files_that_are_added_do_not_make_the_others_new(photos: Path, bench: Bench) -> None:
    sources = [photos / "happy" / "astronaut.png", photos / "happy" / "gray.jpg", photos / "calm" / "grace.webp"]
    items = [item(path) for path in sources]
    assert bench.build(items[1:], batch=2).samples == 2
    assert bench.build(items, batch=2).samples == 1  # in other company, a picture's landmarks are rounded otherwise
    (bench.folder / "renamed.png").write_bytes(sources[0].read_bytes())
    renamed = bench.build([item(bench.folder / "renamed.png")])
    assert (renamed.samples, renamed.known, bench.count()) == (0, 1, 3)


def test_each_prompt_is_encoded_once(photos: Path, bench: Bench) -> None:
    happy, calm = photos / "happy" / "astronaut.png", photos / "calm" / "grace.webp"
    wall = photos / "calm" / "wall.bmp"
    listed = [(happy, "smiling"), (calm, "smiling"), (wall, "never needed"), (calm, "calm"), (happy, "smiling")]
    for _ in range(2):
        bench.build([item(path, prompt) for path, prompt in listed], batch=2)
        assert bench.count() == 3
    assert bench.encoder.asked == [PROBE, "smiling", "calm", PROBE]


@pytest.mark.parametrize("clip", [False, True], ids=["picture", "clip"])
def test_each_order_adds_its_own_face(clip: bool, bench: Bench, shared_data: Path) -> None:
    """Of a photo with two people, the right one is larger: it is the largest and the last from left to right."""
    photo = shared_data / "faces" / "two_people.jpg"
    media = FrameFolder((photo,)) if clip else media_of(photo)
    items = [SourceItem(media, source="two", group="g", prompts=("p", "q"))]
    right, left = bench.pipeline([read_picture(photo)]).boxes[:, 0] / 1126
    assert right > left

    def chosen(order: str) -> PerceptionPipeline:
        return PerceptionPipeline(bench.pipeline.landmarker, selection=Selection(order, max_faces=1))

    def check(order: str, count: int, expected: dict[str, int], perceived: int = 1) -> None:
        summary = bench.build(items, pipeline=chosen(order))
        assert (counts(summary), bench.count(), summary.perceived) == (expected, count, perceived)

    check("largest", 2, {"new": 1})
    check("left to right", 4, {"new": 1})
    check("highest score", 4, {"known": 1})  # one of the two
    for order in ("largest", "left to right", "highest score"):
        check(order, 4, {"known": 1}, perceived=0)
    starts = bench.samples().perceptions[:, :1434:3].min(axis=1)
    np.testing.assert_allclose(starts, [right, right, left, left], atol=2e-3)
    if not clip:
        (bench.folder / "copy.jpg").write_bytes(photo.read_bytes())
        copy = replace(items[0], media=media_of(bench.folder / "copy.jpg"), prompts=("p", "q", "r"))
        assert bench.build([copy], pipeline=chosen("left to right")).samples == 1


def moving(path: Path, astronaut: np.ndarray, shifts: Sequence[int]) -> Path:
    """A video of 4 frames per second in which the photo moves."""
    frames = (
        Frame(number, number / 4, torch.tensor(astronaut[:256, 100 + shift : 356 + shift].copy()))
        for number, shift in enumerate(shifts)
    )
    write_video(path, frames, rate=4)
    return path


def test_frames_of_a_video_are_one_group(bench: Bench, astronaut: np.ndarray) -> None:
    path = moving(bench.folder / "clip.mp4", astronaut, range(0, 72, 8))
    (bench.folder / "broken.mp4").write_text("no video")
    items = [item(bench.folder / "broken.mp4", group="b"), item(path, "smiling", "clip 1")]
    summary = bench.build(items, replace(OPTIONS, every=4))
    samples = bench.samples()
    assert (summary.pictures, summary.new, summary.unreadable) == (4, 3, 1)
    assert samples.sources == ["clip.mp4#frame=0", "clip.mp4#frame=4", "clip.mp4#frame=8"]
    assert set(samples.groups) == {"clip 1"} and set(samples.prompts) == {"smiling"}
    assert [which for which, _ in summary.skipped] == ["broken.mp4"]


def test_a_finished_video_is_not_looked_at_again(bench: Bench, astronaut: np.ndarray) -> None:
    clip = [item(moving(bench.folder / "clip.mp4", astronaut, range(0, 48, 8)))]
    assert bench.build(clip, replace(OPTIONS, every=2)).perceived == 3
    again = bench.build(clip, replace(OPTIONS, every=2))
    assert (again.perceived, again.known, again.samples) == (0, 3, 0)
    # Other frames of it are another matter; those that are samples already are not perceived.
    more = bench.build(clip, replace(OPTIONS, every=1))
    assert (more.perceived, more.known, more.samples) == (3, 3, 3)


def test_only_frames_with_another_expression(bench: Bench, astronaut: np.ndarray, grace_hopper: np.ndarray) -> None:
    """A head that only moves shows nothing new; another face does."""
    hopper = np.asarray(Image.fromarray(grace_hopper).resize((512, 600)))[60:316, 120:376]
    faces = [astronaut[:256, 100 + shift : 356 + shift] for shift in (0, 4, 8)] + [hopper, hopper]
    paths = tuple(bench.folder / f"{number}.png" for number in range(5))
    for path, face in zip(paths, faces, strict=True):
        Image.fromarray(np.ascontiguousarray(face)).save(path)
    clip = SourceItem(FrameFolder(paths), source="clip", group="clip", prompts=("p",))
    summary = bench.build([clip], replace(OPTIONS, only_changes=True))
    assert (counts(summary), summary.samples) == ({"new": 2, "unchanged": 3}, 2)
    assert bench.samples().sources == ["clip#frame=0", "clip#frame=3"]


def test_what_is_wrong_with_a_clip_is_told_once(bench: Bench, astronaut: np.ndarray) -> None:
    paths = tuple(bench.folder / f"{number}.png" for number in range(5))
    for number in range(4):
        (Image.new("RGB", (64, 64)) if number % 2 else Image.fromarray(astronaut)).save(paths[number])
    paths[4].write_text("no picture")
    clip = SourceItem(FrameFolder(paths), source="clip", group="clip", prompts=("p",))
    for once in ({"new": 2, "faceless": 2, "unreadable": 1}, {"known": 5}):
        summary = bench.build([clip])
        assert counts(summary) == once
        ((which, why),) = summary.skipped
        assert which == "clip" and why.startswith("1 of 5 frames could not be read; the first: ")
        assert why.endswith("no face was found in 2 of 4 frames (first in frame 1)")
    assert bench.count() == 2


@pytest.mark.parametrize("batch", [1, 2, 16])
def test_every_picture_is_accounted_for(photos: Path, bench: Bench, astronaut: np.ndarray, batch: int) -> None:
    """Copies, several prompts, a clip and its copy, what shows no face or cannot be read; whatever is read together."""
    folder = bench.folder
    happy, wall = photos / "happy" / "astronaut.png", photos / "calm" / "wall.bmp"
    for name, path in (("copy.png", happy), ("again.png", happy), ("wall.bmp", wall)):
        (folder / name).write_bytes(path.read_bytes())
    frames = []
    for number, picture in enumerate([astronaut, astronaut, np.zeros((64, 64, 3), np.uint8)]):
        frames.append(folder / f"{number}.png")
        Image.fromarray(picture).save(frames[-1])
    (folder / "3.png").write_text("no picture")
    clip = FrameFolder((*frames, folder / "3.png"))
    same = FrameFolder(clip.paths)
    items = [
        SourceItem(media_of(happy), source="happy", group="g", prompts=("p", "q")),
        item(folder / "copy.png", "p"),  # all of its samples are those of the first
        item(folder / "again.png", "another prompt"),
        item(photos / "calm" / "grace.webp"),
        item(wall),
        item(folder / "wall.bmp"),
        item(photos / "happy" / "text.jpg"),
        item(folder / "missing.png"),
        SourceItem(clip, source="clip", group="c", prompts=("p",)),
        SourceItem(same, source="the same clip", group="c", prompts=("p",)),
    ]
    pictures = 8 + 4 + 4
    first = {"new": 3 + 2, "copies": 2 + 4, "faceless": 1 + 1, "unreadable": 2 + 1}
    summary = bench.build(items, batch=batch)
    assert counts(summary) == first and summary.pictures == pictures
    assert (summary.samples, bench.count()) == (4 + 2, 6)
    again = bench.build(items, batch=batch)
    assert counts(again) == {"known": 2 + 4, "copies": 3 + 4, "faceless": 1, "unreadable": 2}
    assert (again.pictures, again.samples, again.perceived) == (pictures, 0, 0)
    part = bench.build(items[1:4], name="b", batch=batch)  # one that was stopped, and goes on
    assert counts(part) == {"new": 3}
    rest = bench.build(items, name="b", batch=batch)
    assert counts(rest) == {"new": 1 + 2, "known": 1, "copies": 3 + 4, "faceless": 2, "unreadable": 3}
    assert (rest.pictures, bench.count("b")) == (pictures, 6)


def test_several_prompts_for_each_picture(photos: Path, bench: Bench) -> None:
    items = find_items(photos).items
    assert bench.build(items).samples == 3
    summary = bench.build(items, replace(OPTIONS, prompts_per_picture=3))  # two prompts more for each
    samples = bench.samples()
    assert (summary.samples, len(set(zip(samples.sources, samples.prompts, strict=True)))) == (6, 9)
    by_source = {source: samples.perceptions[samples.sources.index(source)] for source in samples.sources}
    for source, perception in zip(samples.sources, samples.perceptions, strict=True):
        np.testing.assert_allclose(perception, by_source[source], atol=1e-4)


def test_progress_and_a_build_that_is_stopped_and_goes_on(photos: Path, bench: Bench) -> None:
    items = find_items(photos).items
    summary, done = BuildSummary(), []

    def stop(_: float, __: BuildSummary) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.build(items, batch=2, progress=stop, summary=summary)
    assert summary.perceived == 2 and bench.count() == summary.samples
    bench.build(items, batch=1, progress=lambda items, _: done.append(items))
    assert bench.count() == 3
    assert done == sorted(done) and done[-1] == len(items) and len(done) >= 3


def test_no_face_at_all_is_an_error(photos: Path, bench: Bench) -> None:
    summary = bench.build([item(photos / "calm" / "wall.bmp"), item(photos / "happy" / "text.jpg")])
    assert summary.skipped[0] == ("wall.bmp", NO_FACE)
    with pytest.raises(BuildError, match=r"in any of 2 files \(2 pictures\); the first: wall\.bmp: no face"):
        summary.check(2)
    with Store(bench.folder / "a.db") as store:
        assert len(store) == 0 and store.provenance is None
    with pytest.raises(BuildError, match="the list: it is empty"):
        bench.build([]).check(0)


def test_another_encoder_is_noticed(photos: Path, bench: Bench, tiny_clip: Path) -> None:
    items = [item(photos / "happy" / "astronaut.png")]
    bench.build(items)
    with pytest.raises(StoreError, match=r"text encoder 'random-weight placeholder.*use another dataset name"):
        bench.build(items, encoder=load_encoder(str(tiny_clip)))
    assert bench.count() == 1


def test_a_picture_with_several_labels_is_decoded_and_perceived_once(
    bench: Bench, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(media, "read_picture", lambda path: read.append(path) or read_picture(path))
    items = [
        SourceItem(media_of(photo), photo.name, "ann", label=f"{label} {word}")
        for photo in (photos / "happy" / "astronaut.png", photos / "calm" / "grace.webp")
        for label in ("happy", "surprise", "smirk", "sad")
        for word in ("grin", "look", "frown", "wink", "gaze")
    ]
    summary = bench.build(items, batch=2)
    assert (summary.perceived, summary.faces, summary.samples, summary.new) == (2, 2, 40, 40)
    assert sorted(path.name for path in read) == ["astronaut.png", "grace.webp"]
    assert bench.samples().labels == [item.label for item in items]
    assert (bench.samples().perceptions[:20] == bench.samples().perceptions[0]).all()
    assert bench.build(items, batch=2).samples == 0 and len(read) == 2


@pytest.mark.parametrize("workers", [1, 3])
def test_a_clip_with_several_labels_is_decoded_and_perceived_once(
    bench: Bench, astronaut: np.ndarray, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    opened: list[Path] = []
    monkeypatch.setattr(media, "Video", lambda path: opened.append(path) or Video(path))
    path = moving(bench.folder / "clip.mp4", astronaut, range(0, 48, 8))
    items = [SourceItem(media_of(path), "clip.mp4", "ann", label=label) for label in ("happy", "sad", "smirk grin")]
    done: list[float] = []
    summary = bench.build(items, replace(OPTIONS, every=2), workers=workers, progress=lambda n, _: done.append(n))
    assert (counts(summary), summary.perceived, summary.samples, len(opened)) == ({"new": 9}, 3, 9, 1)
    samples = bench.samples()
    assert samples.labels == ["happy", "sad", "smirk grin"] * 3
    assert samples.sources == [f"clip.mp4#frame={frame}" for frame in (0, 2, 4) for _ in items]
    assert done == sorted(done) and done[-1] == 3
    more = [*items, SourceItem(media_of(path), "clip.mp4", "ann", label="afraid")]
    summary = bench.build(more, replace(OPTIONS, every=2), batch=1)
    assert (summary.new, summary.samples, summary.perceived, len(opened)) == (3, 3, 3, 2)
    assert bench.build(more, replace(OPTIONS, every=2)).perceived == 0 and len(opened) == 2
