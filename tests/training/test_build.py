from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.training.build import BuildError, build
from perception_clip.training.encoders import PROBE, TextEncoder, load_encoder
from perception_clip.training.npz import load
from perception_clip.training.prompts import wordings
from perception_clip.training.sources import Item, find_items
from perception_clip.training.store import Store, StoreError


@pytest.fixture(scope="module")
def pipeline() -> PerceptionPipeline:
    return PerceptionPipeline()


class Counting:
    """The random-weight stand-in, remembering what it was asked to encode."""

    def __init__(self, encoder: TextEncoder) -> None:
        self.encoder = encoder
        self.identity, self.dim = encoder.identity, encoder.dim
        self.asked: list[str] = []

    def encode(self, prompts: Sequence[str]) -> Tensor:
        self.asked.extend(prompts)
        return self.encoder.encode(prompts)


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
        summary = build(items, store, pipeline, encoder, batch=2, progress=False)
        samples = next(store.iterate())
        assert (summary.samples, summary.faces, summary.pictures) == (3, 3, 5)
        reasons = dict(summary.skipped)
        assert set(reasons) == {
            *("faces/happy/corrupt.png", "faces/happy/text.jpg", "faces/calm/one_pixel.png", "faces/calm/wall.bmp")
        }
        assert reasons["faces/calm/wall.bmp"] == "no face was found in it"
        assert reasons["faces/happy/corrupt.png"].startswith("the picture cannot be read")
        assert samples.sources == ["faces/calm/grace.webp", "faces/happy/astronaut.png", "faces/happy/grey.jpg"]
        assert samples.groups == samples.sources
        assert samples.image_sizes.tolist() == [[600, 512], [512, 512], [512, 512]]
        assert samples.prompts[0] in wordings("neutral") and samples.prompts[1] in wordings("happy")
        torch.testing.assert_close(torch.tensor(samples.embeddings), encoder.encoder.encode(samples.prompts))
        alone = pipeline([torch.tensor(np.asarray(Image.open(photos / "happy" / "astronaut.png")))])
        # Which pictures share a chunk may move a landmark by rounding, not by more.
        np.testing.assert_allclose(samples.perceptions[1], alone.vectors[0].numpy(), atol=1e-4)
        binding = store.binding
        assert binding is not None
        assert (binding.encoder, binding.landmarker) == (encoder.identity, pipeline.landmarker.identity)
        assert binding.emotion_model == pipeline.emotion_model.identity

        again = build(items, store, pipeline, encoder, batch=2, progress=False)
        assert (again.samples, again.faces, again.known, len(store)) == (0, 0, 3, 3)
        assert len(again.skipped) == 4


def test_files_that_are_added_do_not_make_the_others_new(
    photos: Path, tmp_path: Path, pipeline: PerceptionPipeline, encoder: Counting
) -> None:
    sources = [photos / "happy" / "astronaut.png", photos / "happy" / "grey.jpg", photos / "calm" / "grace.webp"]
    items = [Item(path, "p", "g") for path in sources]
    with Store(tmp_path / "a.db") as store:
        assert build(items[1:], store, pipeline, encoder, batch=2, progress=False).samples == 2
        # In another company in its chunk, a picture's landmarks are rounded otherwise.
        assert build(items, store, pipeline, encoder, batch=2, progress=False).samples == 1
        (tmp_path / "renamed.png").write_bytes(sources[0].read_bytes())
        renamed = build([Item(tmp_path / "renamed.png", "p", "g")], store, pipeline, encoder, progress=False)
        assert (renamed.samples, renamed.known, len(store)) == (0, 1, 3)


def test_each_prompt_is_encoded_once(
    photos: Path, tmp_path: Path, pipeline: PerceptionPipeline, encoder: Counting
) -> None:
    happy, calm = photos / "happy" / "astronaut.png", photos / "calm" / "grace.webp"
    wall = photos / "calm" / "wall.bmp"
    listed = [(happy, "smiling"), (calm, "smiling"), (wall, "never needed"), (calm, "calm"), (happy, "smiling")]
    items = [Item(path, prompt, group="g") for path, prompt in listed]
    for _ in range(2):
        with Store(tmp_path / "a.db") as store:
            build(items, store, pipeline, encoder, batch=2, progress=False)
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
        summary = build([Item(tmp_path / "two.png", "p", "g")], store, pipeline, encoder, progress=False)
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
    items = [Item(tmp_path / "broken.mp4", "p", "b"), Item(path, "smiling", "clip 1")]
    with Store(tmp_path / "a.db") as store:
        summary = build(items, store, pipeline, encoder, every=4, progress=False)
        (samples,) = store.iterate()
    assert summary.pictures == 3
    assert samples.sources == ["clip.mp4#frame=0", "clip.mp4#frame=4", "clip.mp4#frame=8"]
    assert set(samples.groups) == {"clip 1"} and set(samples.prompts) == {"smiling"}
    assert [which for which, _ in summary.skipped] == ["broken.mp4"]


def test_no_face_at_all_is_an_error(
    photos: Path, tmp_path: Path, pipeline: PerceptionPipeline, encoder: Counting
) -> None:
    with Store(tmp_path / "a.db") as store:
        items = [Item(photos / "calm" / "wall.bmp", "p", "g"), Item(photos / "happy" / "text.jpg", "p", "g")]
        with pytest.raises(BuildError, match=r"in any of 2 files \(1 pictures\); the first: text\.jpg: this is not a"):
            build(items, store, pipeline, encoder, progress=False)
        assert len(store) == 0 and store.binding is None
        with pytest.raises(BuildError, match="the list: it is empty"):
            build([], store, pipeline, encoder, progress=False)


def test_another_encoder_is_noticed(
    photos: Path, tmp_path: Path, pipeline: PerceptionPipeline, encoder: Counting, tiny_clip: Path
) -> None:
    items = [Item(photos / "happy" / "astronaut.png", "p", "g")]
    with Store(tmp_path / "a.db") as store:
        build(items, store, pipeline, encoder, progress=False)
        with pytest.raises(StoreError, match=r"text encoder 'random-weight stand-in.*use another dataset name"):
            build(items, store, pipeline, load_encoder(str(tiny_clip)), progress=False)
        assert len(store) == 1


def run(command: str, *arguments: str) -> int:
    module = importlib.import_module(f"perception_clip.training.commands.{command}")
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    code: int = module.run(parser.parse_args(arguments))
    return code


def test_the_commands(photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "my.npz"
    assert run("build", str(photos), "--out", str(path), "--text-encoder", "random") == 0
    shown = capsys.readouterr().out
    assert "3 faces in 5 pictures; 3 samples are new, 0 were there before, 4 files or frames skipped" in shown
    assert "skipped faces/happy/corrupt.png: the picture cannot be read" in shown
    assert f"3 samples in {tmp_path / 'my.db'}, prompts encoded by: random-weight stand-in" in shown
    assert f"3 samples exported to {path}" in shown
    assert run("export", str(tmp_path / "my.db"), "--out", str(tmp_path / "again.npz")) == 0
    assert (tmp_path / "again.npz").read_bytes() == path.read_bytes()
    assert run("import", str(path), "--out", str(tmp_path / "other.db")) == 0
    assert "3 new samples; 3 in" in capsys.readouterr().out
    assert len(load(path)) == 3


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("build", "x", "--out", "a.csv"), ValueError, r"a\.csv must end in \.db or \.npz"),
        (("build", "missing", "--out", "a.db"), FileNotFoundError, "no such folder or file"),
        (("export", "missing.db"), FileNotFoundError, "there is no such dataset"),
        (("export", "x.db", "--out", "x.zip"), ValueError, r"must end in \.npz"),
        (("import", "x.npz", "--out", "x"), ValueError, r"must end in \.db"),
    ],
)
def test_commands_say_what_is_wrong(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...],
    error: type[Exception],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        run(*arguments)
    assert list(tmp_path.iterdir()) == []
