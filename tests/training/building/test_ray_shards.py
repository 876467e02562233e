"""A build over a local Ray cluster of two workers holds what a plain build holds."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.training.building import ray_shards
from perception_clip.training.building.item_reader import BuildOptions
from perception_clip.training.building.ray_shards import Job, build_shard
from perception_clip.training.cli import main
from perception_clip.training.dataset.samples import Samples
from perception_clip.training.dataset.store import Store
from perception_clip.training.encoders.base import KnownPrompts
from perception_clip.training.encoders.loading import load_encoder
from perception_clip.training.prompts.templates import Templates
from perception_clip.training.sources.items import SourceItem
from perception_clip.training.sources.media import PictureFile

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

SHARD_SIZE = 16  # items
PICTURES = 3 * SHARD_SIZE + 10  # four shards


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, astronaut: np.ndarray, grace_hopper: np.ndarray) -> Path:
    """A folder per label; a few pictures show no face, one cannot be read, two are the same in different shards."""
    root = tmp_path_factory.mktemp("sharding") / "faces"
    for number in range(PICTURES):
        path = root / ("angry", "happy", "sad", "surprise")[number * 4 // PICTURES] / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        photo = Image.fromarray((astronaut, grace_hopper)[number % 2]).rotate(number % 9 - 4).resize((192, 192))
        (Image.new("RGB", (32, 32)) if number % 20 == 7 else photo).save(path)
    (root / "happy" / "broken.png").write_text("no picture")
    first = sorted((root / "angry").iterdir())[0]
    (root / "angry" / "zzz.png").write_bytes(first.read_bytes())
    return root


def build(photos: Path, out: Path, *more: str) -> Samples:
    assert main(["build", str(photos), "--out", str(out), "--text-encoder", "random", *more]) == 0
    with Store(out, create=False) as store:
        (samples,) = store.iterate()
    return samples


def assert_equal_rows(one: Samples, other: Samples) -> None:
    for name in ("prompts", "groups", "sources", "labels", "splits", "origins"):
        assert getattr(one, name) == getattr(other, name), name
    np.testing.assert_array_equal(one.image_sizes, other.image_sizes)
    # The pictures perceived together, threads, and prompts encoded together may differ, and so the order of sums:
    # 1e-4 of a picture's width is a fiftieth of a pixel here, and far less than what tells two faces apart.
    for name in ("perceptions", "embeddings", "scores"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), atol=1e-4)


def test_two_workers_of_which_one_is_killed_make_the_same_rows(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = build(photos, tmp_path / "plain.db", "--detector", "fast")
    capsys.readouterr()
    killed = []

    def kill() -> None:
        """Kill one worker once the first shard is there."""
        while not any((tmp_path / "ray.shards").glob("*.json")):
            time.sleep(0.02)
        for process in Path("/proc").glob("[0-9]*"):
            name = (process / "cmdline").read_bytes()
            if name.startswith(b"ray::") and b"MapWorker" in name and _is_ours(process):
                killed.append(int(process.name))
                os.kill(killed[0], signal.SIGKILL)
                return

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    monkeypatch.setattr("perception_clip.training.commands.build.SHARD_SIZE", SHARD_SIZE)
    monkeypatch.chdir(photos.parent)  # the workers have a working directory of their own
    ray = ("--detector", "fast", "--engine", "ray", "--workers", "2")
    assert_equal_rows(build(Path(photos.name), tmp_path / "ray.db", *ray), plain)
    killer.join(timeout=120)
    assert killed
    assert "skipped faces/happy/broken.png: this is not a picture" in capsys.readouterr().out
    assert "no face was found in it" in (tmp_path / "skipped.csv").read_text()
    # The shards are there, so that only the merging is done again; nothing is doubled.
    assert_equal_rows(build(photos, tmp_path / "ray.db", *ray), plain)
    assert "0 new samples" in capsys.readouterr().out
    shards = sorted((tmp_path / "ray.shards").glob("*.npz"))
    assert len(shards) == 4
    assert main(["merge", *map(str, shards), "--out", str(tmp_path / "merged.db")]) == 0
    with Store(tmp_path / "merged.db") as store:
        (merged,) = store.iterate()
    assert_equal_rows(merged, plain)


def test_a_shard_is_made_again_when_a_file_has_changed(photos: Path, tmp_path: Path) -> None:
    """In this process, as one of Ray's workers does it."""
    picture = tmp_path / "a.png"
    picture.write_bytes((photos / "angry" / "000.png").read_bytes())
    items = [SourceItem(PictureFile(picture), source="a.png", group="a", prompts=("angry",))]
    pipeline = PerceptionPipeline()
    job = Job(
        items=items,
        options=BuildOptions(Templates.load()),
        encoded=KnownPrompts.encoded(load_encoder("random"), ["angry"]),
        make_pipeline=lambda: pipeline,
        folder=tmp_path / "shards",
        landmarker=pipeline.landmarker.identity,
        emotion_model=pipeline.emotion_model.identity,
        order=pipeline.selection.order,
        batch=16,
    )
    perceptions, calls = [], 0
    for content in ("000.png", "000.png", "001.png"):
        picture.write_bytes((photos / "angry" / content).read_bytes())
        before = job.shard(0).stat().st_mtime_ns if job.shard(0).exists() else 0
        assert build_shard(job, 0, pipeline).samples == 1
        calls += job.shard(0).stat().st_mtime_ns != before
        perceptions.append(np.load(job.shard(0))["perception_embeddings"][0])
    assert calls == 2  # made for the first file and for the third
    assert np.array_equal(perceptions[0], perceptions[1]) and not np.allclose(perceptions[1], perceptions[2])


def test_a_dataset_made_with_other_models_is_noticed_before_the_work(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], tiny_clip: Path
) -> None:
    picture, out = str(photos / "angry" / "000.png"), str(tmp_path / "a.db")
    assert main(["build", picture, "--prompt", "p", "--out", out, "--text-encoder", str(tiny_clip)]) == 0
    capsys.readouterr()
    more = ["--text-encoder", "random", "--engine", "ray", "--workers", "2"]
    assert main(["build", str(photos), "--out", out, *more]) == 1
    assert "use another dataset name" in capsys.readouterr().err
    assert not (tmp_path / "a.shards").exists()


def test_a_pack_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray.data  # noqa: F401  # before nothing can be found any more

    monkeypatch.setattr(sys, "meta_path", [])
    with pytest.raises(ImportError, match="pip install --no-deps"), ray_shards._ray(workers=1, address=None):
        pass


def _is_ours(process: Path) -> bool:
    """Whether a process descends from this one."""
    number = process.name
    while number not in ("0", "1"):
        if int(number) == os.getpid():
            return True
        number = Path("/proc", number, "stat").read_text().rpartition(")")[2].split()[1]
    return False
