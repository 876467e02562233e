from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.perception.sequences.videos import Frame, write_video
from perception_clip.training.building.build import NO_FACE, BuildError, BuildSummary, build
from perception_clip.training.building.item_reader import Plan
from perception_clip.training.dataset.store import Store, StoreError
from perception_clip.training.encoders.base import PROBE, TextEncoder
from perception_clip.training.encoders.loading import load_encoder
from perception_clip.training.prompts.templates import Templates
from perception_clip.training.sources import find_items
from perception_clip.training.sources.items import Item
from perception_clip.training.sources.media import FrameFolder, media_of


@pytest.fixture(scope="module")
def pipeline() -> PerceptionPipeline:
    return PerceptionPipeline()


PLAN = Plan(Templates.load(None))
KINDS = ("new", "known", "copies", "faceless", "unchanged", "unreadable")


def item(path: Path, prompt: str = "p", group: str = "g") -> Item:
    return Item(media_of(path), source=path.name, group=group, prompts=(prompt,))


def counts(summary: BuildSummary) -> dict[str, int]:
    """The numbers, of those that add up to all pictures, that are not 0."""
    numbers = {name: getattr(summary, name) for name in KINDS}
    assert sum(numbers.values()) == summary.pictures
    return {name: number for name, number in numbers.items() if number}


class Counting:
    """The random-weight stand-in, remembering what it was asked to encode."""

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder = encoder
        self.identity, self.dim, self.space = encoder.identity, encoder.dim, encoder.space
        self.asked: list[str] = []

    def encode(self, prompts: Sequence[str]) -> Tensor:
        self.asked.extend(prompts)
        return self.encoder.encode(prompts)

    def sdxl_targets(self, prompts: Sequence[str]) -> dict[str, Tensor]:
        return self.encoder.sdxl_targets(prompts)


@pytest.fixture
def encoder() -> Counting:
    return Counting(load_encoder("random"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, astronaut: np.ndarray, grace_hopper: np.ndarray) -> Path:
    """A folder per label: two photos, one of them twice, among files that cannot be used."""
    root = tmp_path_factory.mktemp("build") / "faces"
    for label in ("happy", "calm"):
        (root / label).mkdir(parents=True)
    Image.fromarray(astronaut).save(root / "happy" / "astronaut.png")
    Image.fromarray(astronaut).convert("L").save(root / "happy" / "grey.jpg")
    Image.fromarray(grace_hopper).save(root / "calm" / "grace.webp", lossless=True)
    whole = (root / "happy" / "astronaut.png").read_bytes()
    (root / "happy" / "corrupt.png").write_bytes(whole[: len(whole) // 2])
    (root / "happy" / "text.jpg").write_text("no picture")
    Image.new("RGB", (1, 1)).save(root / "calm" / "one_pixel.png")
    Image.new("RGB", (64, 64), "grey").save(root / "calm" / "wall.bmp")
    return root


def test_a_folder_becomes_a_dataset(
    photos: Path, tmp_path: Path, pipeline: PerceptionPipeline, encoder: Counting
) -> None:
    items = find_items(photos).items
    with Store(tmp_path / "a.db") as store:
        summary = build(items, store, pipeline, encoder, PLAN, batch=2)
        samples = next(store.iterate())
        assert (summary.samples, summary.faces, summary.perceived) == (3, 3, 5)
        reasons = dict(summary.skipped)
        assert set(reasons) == {
            *("faces/happy/corrupt.png", "faces/happy/text.jpg", "faces/calm/one_pixel.png", "faces/calm/wall.bmp")
        }
        assert reasons["faces/calm/wall.bmp"] == "no face was found in it"
        assert reasons["faces/happy/corrupt.png"].startswith("the picture cannot be read")
        assert samples.sources == ["faces/calm/grace.webp", "faces/happy/astronaut.png", "faces/happy/grey.jpg"]
        assert samples.groups == samples.sources
        assert samples.image_sizes.tolist() == [[600, 512], [512, 512], [512, 512]]
        assert samples.prompts == [PLAN.prompts(items[row])[0] for row in (0, 3, 5)]
        assert samples.labels == ["calm", "happy", "happy"] and samples.splits == ["", "", ""]
        assert all(0.5 <= score <= 1 for score in samples.scores)
        torch.testing.assert_close(torch.tensor(samples.embeddings), encoder.encoder.encode(samples.prompts))
        alone = pipeline([torch.tensor(np.asarray(Image.open(photos / "happy" / "astronaut.png")))])
        # Which pictures share a chunk may move a landmark by rounding, not by more.
        np.testing.assert_allclose(samples.perceptions[1], alone.vectors[0].numpy(), atol=1e-4)
        provenance = store.provenance
        assert provenance is not None
        assert (provenance.encoder, provenance.landmarker) == (encoder.identity, pipeline.landmarker.identity)
        assert provenance.emotion_model == pipeline.emotion_model.identity

        again = build(items, store, pipeline, encoder, PLAN, batch=2)
        assert (again.samples, again.faces, again.known, again.perceived, len(store)) == (0, 0, 3, 0, 3)
        assert sorted(again.skipped) == sorted(summary.skipped)  # those without a face were not looked at again
        other = replace(PLAN, finding="with another detector")
        assert build(items, store, pipeline, encoder, other, batch=2).perceived == 2


def test_files_that_are_added_do_not_make_the_others_new(
    photos: Path, tmp_path: Path, pipeline: PerceptionPipeline, encoder: Counting
) -> None:
    sources = [photos / "happy" / "astronaut.png", photos / "happy" / "grey.jpg", photos / "calm" / "grace.webp"]
    items = [item(path) for path in sources]
    with Store(tmp_path / "a.db") as store:
        assert build(items[1:], store, pipeline, encoder, PLAN, batch=2).samples == 2
        # In another company in its chunk, a picture's landmarks are rounded otherwise.
        assert build(items, store, pipeline, encoder, PLAN, batch=2).samples == 1
        (tmp_path / "renamed.png").write_bytes(sources[0].read_bytes())
        renamed = build([item(tmp_path / "renamed.png")], store, pipeline, encoder, PLAN)
        assert (renamed.samples, renamed.known, len(store)) == (0, 1, 3)


def test_each_prompt_is_encoded_once(
    photos: Path, tmp_path: Path, pipeline: PerceptionPipeline, encoder: Counting
) -> None:
    happy, calm = photos / "happy" / "astronaut.png", photos / "calm" / "grace.webp"
    wall = photos / "calm" / "wall.bmp"
    listed = [(happy, "smiling"), (calm, "smiling"), (wall, "never needed"), (calm, "calm"), (happy, "smiling")]
    items = [item(path, prompt) for path, prompt in listed]
    for _ in range(2):
        with Store(tmp_path / "a.db") as store:
            build(items, store, pipeline, encoder, PLAN, batch=2)
            assert len(store) == 3
    assert encoder.asked == [PROBE, "smiling", "calm", PROBE]


def test_the_largest_face_of_a_picture_is_kept(
    tmp_path: Path, pipeline: PerceptionPipeline, encoder: Counting, astronaut: np.ndarray
) -> None:
    small = np.asarray(Image.fromarray(astronaut).resize((256, 256)))
    canvas = np.zeros((512, 800, 3), dtype=np.uint8)
    canvas[100:356, :256], canvas[:, 288:] = small, astronaut
    Image.fromarray(canvas).save(tmp_path / "two.png")
    with Store(tmp_path / "a.db") as store:
        summary = build([item(tmp_path / "two.png")], store, pipeline, encoder, PLAN)
        (samples,) = store.iterate()
    assert summary.samples == len(samples) == 1
    assert samples.perceptions[0, :1434:3].mean() > 288 / 800  # the one on the right


def test_frames_of_a_video_are_one_group(
    tmp_path: Path, pipeline: PerceptionPipeline, encoder: Counting, astronaut: np.ndarray
) -> None:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=4)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 256, 256, "yuv420p", 4_000_000
        for shift in range(9):
            part = np.ascontiguousarray(astronaut[: 256 + 0, 100 + 8 * shift : 356 + 8 * shift])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(part, format="rgb24")))
        container.mux(stream.encode())
    (tmp_path / "broken.mp4").write_text("no video")
    items = [item(tmp_path / "broken.mp4", group="b"), item(path, "smiling", "clip 1")]
    with Store(tmp_path / "a.db") as store:
        summary = build(items, store, pipeline, encoder, replace(PLAN, every=4))
        (samples,) = store.iterate()
    assert (summary.pictures, summary.new, summary.unreadable) == (4, 3, 1)
    assert samples.sources == ["clip.mp4#frame=0", "clip.mp4#frame=4", "clip.mp4#frame=8"]
    assert set(samples.groups) == {"clip 1"} and set(samples.prompts) == {"smiling"}
    assert [which for which, _ in summary.skipped] == ["broken.mp4"]


def moving(path: Path, astronaut: np.ndarray, shifts: Sequence[int]) -> Path:
    """A video of 4 frames per second in which the photo moves."""
    frames = (
        Frame(number, number / 4, torch.tensor(astronaut[:256, 100 + shift : 356 + shift].copy()))
        for number, shift in enumerate(shifts)
    )
    write_video(path, frames, rate=4)
    return path


def test_a_finished_video_is_not_looked_at_again(
    tmp_path: Path, pipeline: PerceptionPipeline, encoder: Counting, astronaut: np.ndarray
) -> None:
    clip = moving(tmp_path / "clip.mp4", astronaut, range(0, 48, 8))
    plan = replace(PLAN, every=2)
    with Store(tmp_path / "a.db") as store:
        assert build([item(clip)], store, pipeline, encoder, plan).perceived == 3
        again = build([item(clip)], store, pipeline, encoder, plan)
        assert (again.perceived, again.known, again.samples) == (0, 3, 0)
        # Other frames of it are another matter; those that are samples already are not perceived.
        more = build([item(clip)], store, pipeline, encoder, replace(plan, every=1))
        assert (more.perceived, more.known, more.samples) == (3, 3, 3)


def test_only_frames_with_another_expression(
    tmp_path: Path, pipeline: PerceptionPipeline, encoder: Counting, astronaut: np.ndarray, grace_hopper: np.ndarray
) -> None:
    """A head that only moves shows nothing new; another face does."""
    hopper = np.asarray(Image.fromarray(grace_hopper).resize((512, 600)))[60:316, 120:376]
    faces = [astronaut[:256, 100 + shift : 356 + shift] for shift in (0, 4, 8)] + [hopper, hopper]
    paths = []
    for number, face in enumerate(faces):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(np.ascontiguousarray(face)).save(paths[-1])
    clip = Item(FrameFolder(tuple(paths)), source="clip", group="clip", prompts=("p",))
    plan = replace(PLAN, only_changes=True)
    with Store(tmp_path / "a.db") as store:
        summary = build([clip], store, pipeline, encoder, plan)
        (samples,) = store.iterate()
    assert (summary.pictures, summary.samples, summary.new, summary.unchanged) == (5, 2, 2, 3)
    assert samples.sources == ["clip#frame=0", "clip#frame=3"]


def test_what_is_wrong_with_a_clip_is_told_once(
    tmp_path: Path, pipeline: PerceptionPipeline, encoder: Counting, astronaut: np.ndarray
) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(5)]
    for number in (0, 2):
        Image.fromarray(astronaut).save(paths[number])
    for number in (1, 3):
        Image.new("RGB", (64, 64)).save(paths[number])
    paths[4].write_text("no picture")
    clip = Item(FrameFolder(tuple(paths)), source="clip", group="clip", prompts=("p",))
    with Store(tmp_path / "a.db") as store:
        for once in ({"new": 2, "faceless": 2, "unreadable": 1}, {"known": 5}):
            summary = build([clip], store, pipeline, encoder, PLAN)
            assert counts(summary) == once
            ((which, why),) = summary.skipped
            assert which == "clip" and why.startswith("1 of 5 frames could not be read; the first: ")
            assert why.endswith("no face was found in 2 of 4 frames (first in frame 1)")
        assert len(store) == 2


@pytest.mark.parametrize("batch", [1, 2, 16])
def test_every_picture_is_accounted_for(
    photos: Path, tmp_path: Path, pipeline: PerceptionPipeline, encoder: Counting, astronaut: np.ndarray, batch: int
) -> None:
    """Copies, several prompts, a clip and its copy, what shows no face or cannot be read; whatever is read together."""
    happy, wall = photos / "happy" / "astronaut.png", photos / "calm" / "wall.bmp"
    for name, path in (("copy.png", happy), ("again.png", happy), ("wall.bmp", wall)):
        (tmp_path / name).write_bytes(path.read_bytes())
    frames = []
    for number, picture in enumerate([astronaut, astronaut, np.zeros((64, 64, 3), np.uint8)]):
        frames.append(tmp_path / f"{number}.png")
        Image.fromarray(picture).save(frames[-1])
    (tmp_path / "3.png").write_text("no picture")
    folder = FrameFolder((*frames, tmp_path / "3.png"))
    same = FrameFolder(folder.paths)
    items = [
        Item(media_of(happy), source="happy", group="g", prompts=("p", "q")),
        item(tmp_path / "copy.png", "p"),  # all of its samples are those of the first
        item(tmp_path / "again.png", "another prompt"),
        item(photos / "calm" / "grace.webp"),
        item(wall),
        item(tmp_path / "wall.bmp"),
        item(photos / "happy" / "text.jpg"),
        item(tmp_path / "missing.png"),
        Item(folder, source="clip", group="c", prompts=("p",)),
        Item(same, source="the same clip", group="c", prompts=("p",)),
    ]
    pictures = 8 + 4 + 4
    first = {"new": 3 + 2, "copies": 2 + 4, "faceless": 1 + 1, "unreadable": 2 + 1}
    with Store(tmp_path / "a.db") as store:
        summary = build(items, store, pipeline, encoder, PLAN, batch=batch)
        assert counts(summary) == first and summary.pictures == pictures
        assert (summary.samples, len(store)) == (4 + 2, 6)
        again = build(items, store, pipeline, encoder, PLAN, batch=batch)
        assert counts(again) == {"known": 2 + 4, "copies": 3 + 4, "faceless": 1, "unreadable": 2}
        assert (again.pictures, again.samples, again.perceived) == (pictures, 0, 0)
    with Store(tmp_path / "b.db") as store:  # one that was stopped, and goes on
        part = build(items[1:4], store, pipeline, encoder, PLAN, batch=batch)
        assert counts(part) == {"new": 3}
        rest = build(items, store, pipeline, encoder, PLAN, batch=batch)
        assert counts(rest) == {"new": 1 + 2, "known": 1, "copies": 3 + 4, "faceless": 2, "unreadable": 3}
        assert (rest.pictures, len(store)) == (pictures, 6)


def test_several_prompts_for_each_picture(
    photos: Path, tmp_path: Path, pipeline: PerceptionPipeline, encoder: Counting
) -> None:
    items = find_items(photos).items
    plan = replace(PLAN, prompts_per_picture=3)
    with Store(tmp_path / "a.db") as store:
        assert build(items, store, pipeline, encoder, PLAN).samples == 3
        summary = build(items, store, pipeline, encoder, plan)  # two prompts more for each
        assert (summary.samples, len(store)) == (6, 9)
        samples = next(store.iterate())
    assert len(set(zip(samples.sources, samples.prompts, strict=True))) == 9
    by_source = {source: samples.perceptions[samples.sources.index(source)] for source in samples.sources}
    for source, perception in zip(samples.sources, samples.perceptions, strict=True):
        np.testing.assert_allclose(perception, by_source[source], atol=1e-4)


def test_progress(photos: Path, tmp_path: Path, pipeline: PerceptionPipeline, encoder: Counting) -> None:
    items = find_items(photos).items
    done = []
    with Store(tmp_path / "a.db") as store:
        build(items, store, pipeline, encoder, PLAN, batch=2, progress=lambda items, _: done.append(items))
    assert done == sorted(done) and done[-1] == len(items) and len(done) >= 3


def test_a_build_that_is_stopped_goes_on(
    photos: Path, tmp_path: Path, pipeline: PerceptionPipeline, encoder: Counting
) -> None:
    items = find_items(photos).items
    summary = BuildSummary()

    def stop(_: float, __: BuildSummary) -> None:
        raise KeyboardInterrupt

    with Store(tmp_path / "a.db") as store:
        with pytest.raises(KeyboardInterrupt):
            build(items, store, pipeline, encoder, PLAN, batch=2, progress=stop, summary=summary)
        assert summary.perceived == 2 and len(store) == summary.samples
        build(items, store, pipeline, encoder, PLAN, batch=2)
        assert len(store) == 3


def test_no_face_at_all_is_an_error(
    photos: Path, tmp_path: Path, pipeline: PerceptionPipeline, encoder: Counting
) -> None:
    with Store(tmp_path / "a.db") as store:
        items = [item(photos / "calm" / "wall.bmp"), item(photos / "happy" / "text.jpg")]
        summary = build(items, store, pipeline, encoder, PLAN)
        assert summary.skipped[0] == ("wall.bmp", NO_FACE)
        with pytest.raises(BuildError, match=r"in any of 2 files \(2 pictures\); the first: wall\.bmp: no face"):
            summary.check(2)
        assert len(store) == 0 and store.provenance is None
        with pytest.raises(BuildError, match="the list: it is empty"):
            build([], store, pipeline, encoder, PLAN).check(0)


def test_another_encoder_is_noticed(
    photos: Path, tmp_path: Path, pipeline: PerceptionPipeline, encoder: Counting, tiny_clip: Path
) -> None:
    items = [item(photos / "happy" / "astronaut.png")]
    with Store(tmp_path / "a.db") as store:
        build(items, store, pipeline, encoder, PLAN)
        with pytest.raises(StoreError, match=r"text encoder 'random-weight stand-in.*use another dataset name"):
            build(items, store, pipeline, load_encoder(str(tiny_clip)), PLAN)
        assert len(store) == 1
