"""The walk through the training guide, command by command as they stand there, and every source it names."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from perception_clip.perception.sequences.videos import Frame, write_video
from perception_clip.projection.checkpoint import load as load_checkpoint
from perception_clip.training.cli import main
from perception_clip.training.dataset.store import Store
from perception_clip.training.encoders import clip

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "training.md"
SD15 = "your_sd15.safetensors"
Pictures = list[Image.Image]


@pytest.fixture(scope="module")
def pictures(astronaut: np.ndarray, grace_hopper: np.ndarray) -> Pictures:
    """Ten pictures of two people, no two alike."""
    people = [Image.fromarray(photo).resize((300, 320)) for photo in (astronaut, grace_hopper)]
    return [people[number % 2].rotate(3 * (number // 2 - 2)) for number in range(10)]


@pytest.fixture
def desk(tmp_path: Path, tiny_clip: Path, pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what the guide's commands name; the tokenizer lies where ComfyUI has its own."""
    for number, picture in enumerate(pictures):
        label = ("happy", "sad", "a person looking surprised")[number % 3]
        save(picture, tmp_path / "my_faces" / label / f"{number}.jpg")
        save(picture.convert("L"), tmp_path / "gray" / f"{number}.png")
    lines = [f'gray/{number}.png,"person {number}, in gray",person {number}' for number in range(10)]
    (tmp_path / "faces.csv").write_text("\n".join(["path,prompt,group", *lines]))
    film(tmp_path / "smiling.mp4", pictures)
    (tmp_path / "prompts.txt").write_text("a woman smiling\na calm face\n")
    tower = load_file(tiny_clip / "model.safetensors")
    names = {name: "cond_stage_model.transformer.text_model." + name.removeprefix("text_model.") for name in tower}
    save_file({names[name]: value for name, value in tower.items()}, tmp_path / SD15)
    monkeypatch.setattr(clip, "comfyui_tokenizers", lambda: [tiny_clip])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def save(picture: Image.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


def film(path: Path, pictures: Pictures) -> Path:
    """A video of ten seconds; each picture stands for one."""
    frames = (
        Frame(number, number / 4, torch.tensor(np.asarray(pictures[number // 4].convert("RGB"))))
        for number in range(40)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, frames, rate=4)
    return path


def commands() -> list[str]:
    """The guide's commands, in order."""
    blocks = re.findall(r"```bash\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    assert all(line.startswith("python -m training ") for line in lines)
    return [line.removeprefix("python -m training ") for line in lines]


def test_the_walk(desk: Path, pictures: Pictures, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    node_dataset(desk, pictures)
    walked = commands()
    assert [command.split()[0] for command in walked] == [
        *("build", "build", "build", "capture", "info", "info", "filter", "merge", "export", "train", "evaluate"),
    ]
    for command in walked:
        # What no test can do: stand before a camera, watch a window, and train for long.
        typed = command.replace("--camera 0", "--video smiling.mp4 --no-window --seconds 3 --countdown 0.5")
        typed = typed.replace("--epochs 100", "--epochs 2 --out_dir checkpoints")
        if typed.startswith("evaluate"):
            typed += " --checkpoint checkpoints/best_model.safetensors"
        assert main(shlex.split(typed)) == 0, f"{typed}\n{capsys.readouterr().err}"
    with Store(desk / "my_faces.db", create=False) as store:
        prompts, total = {text for samples in store.iterate() for text in samples.prompts}, len(store)
    assert {"a woman smiling", "a calm face", "person 3, in gray"} <= prompts
    assert total > 20 + 2
    with np.load(desk / "training_data.npz") as data:
        assert data["perception_embeddings"].shape[1:] == (1441,) and data["clip_embeddings"].shape[1:] == (768,)
        assert 10 < len(data["clip_embeddings"]) <= total + 1
    assert load_checkpoint(desk / "checkpoints" / "best_model.safetensors").metadata.encoder.startswith("sd15-file")
    assert any(path.suffix == ".png" for path in (desk / "report").iterdir())
    assert "nearest neighbor" in (desk / "checkpoints" / "report.html").read_text(encoding="utf-8")


def table(desk: Path, pictures: Pictures) -> Path:
    lines = [{"path": f"gray/{number}.png", "label": "happy", "intensity": "strong"} for number in range(3)]
    (desk / "faces.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return desk / "faces.jsonl"


def captions(desk: Path, pictures: Pictures) -> Path:
    for number in range(3):
        save(pictures[number], desk / "captioned" / "10_laughing" / f"{number}.jpg")
        (desk / "captioned" / "10_laughing" / f"{number}.txt").write_text(f"picture {number}\nof a person\n")
    return desk / "captioned"


def ravdess(desk: Path, pictures: Pictures) -> Path:
    for emotion in ("02", "03"):
        film(desk / "ravdess" / "Actor_01" / f"01-01-{emotion}-02-01-01-01.mp4", pictures)
    return desk / "ravdess"


def fer2013(desk: Path, pictures: Pictures) -> Path:
    face = np.asarray(pictures[0].convert("L").crop((85, 20, 215, 150)).resize((48, 48)))
    rows = [f"3,{' '.join(map(str, np.roll(face, shift, axis=1).flat))},Training" for shift in range(3)]
    (desk / "fer2013.csv").write_text("\n".join(["emotion,pixels,Usage", *rows]))
    return desk / "fer2013.csv"


def fer2013_folders(desk: Path, pictures: Pictures) -> Path:
    for number, part in enumerate(("train", "train", "test")):
        save(pictures[number], desk / "fer" / part / "happy" / f"{number}.jpg")
    return desk / "fer"


def frames(desk: Path, pictures: Pictures) -> Path:
    for number in range(4):
        save(pictures[number], desk / "frames" / f"{number + 1:04d}.png")
    return desk / "frames"


def node_dataset(desk: Path, pictures: Pictures) -> Path:
    save(pictures[0].transpose(Image.Transpose.FLIP_LEFT_RIGHT), desk / "others" / "calm" / "1.png")
    assert main(["build", "others", "--out", "other_faces.db", "--text-encoder", SD15]) == 0
    return desk / "other_faces.db"


@pytest.mark.parametrize(
    ("make", "more", "samples"),
    [
        (table, (), 3),
        (captions, (), 6),
        (ravdess, ("--every", "20"), 4),
        (fer2013, (), 3),
        (fer2013_folders, (), 3),
        (frames, ("--label", "happy", "--prompts-per-picture", "2"), 8),
        (node_dataset, (), 1),
    ],
)
def test_every_source(
    desk: Path,
    pictures: Pictures,
    make: Callable[[Path, Pictures], Path],
    more: tuple[str, ...],
    samples: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = make(desk, pictures)
    assert main(["build", str(source), "--out", "one.npz", "--text-encoder", SD15, *more]) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    with np.load(desk / "one.npz") as data:
        assert len(data["clip_embeddings"]) == samples
        if make is ravdess:
            assert set(data["labels"]) == {"happy", "neutral"} and set(data["groups"]) == {"Actor 01"}
            assert "calm" in shown and "neutral" in shown
        if make in (fer2013, fer2013_folders):
            assert set(data["labels"]) == {"happy"} and "train" in data["splits"]


def test_an_npz_of_anyones(desk: Path) -> None:
    vectors = np.zeros((4, 1441), np.float32)
    vectors[:, 0], vectors[:, -1] = np.arange(4), 1
    np.savez(desk / "anyone.npz", perception_embeddings=vectors, clip_embeddings=np.eye(4, 768, dtype=np.float32))
    assert main(["import", "anyone.npz", "--out", "anyone.db"]) == 0
    assert main(["info", "anyone.db"]) == 0
