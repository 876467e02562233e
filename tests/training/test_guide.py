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
        typed = command.replace("--camera 0", "--video smiling.mp4 --no-window --seconds 2 --countdown 0.5")
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
        (captions, (), 6),
        (ravdess, ("--every", "20"), 4),
        (fer2013, (), 3),
        (frames, ("--label", "happy", "--prompts-per-picture", "2"), 8),
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
            assert set(data["labels"]) == {"happy", "neutral"} and set(data["groups"]) == {"RAVDESS 01"}
            assert "calm" in shown and "neutral" in shown
        if make is fer2013:
            assert set(data["labels"]) == {"happy"} and "train" in data["splits"]


PIXELS = " ".join(["7"] * 48 * 48)
CODES = {"AN": "angry", "HA": "happy", "NE": "neutral"}
TABLE = [{"path": f"gray/{number}.png", "label": label} for number, label in enumerate(CODES.values())]


def parquet(path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table({"image": [b""] * 3, "label": list(CODES.values())}), path)


Content = str | np.ndarray | Callable[[Path], None] | None
LAYOUTS: dict[str, dict[str, Content]] = {  # what the guide calls a source or a data set → its files
    "a folder per label": dict.fromkeys(f"my_faces/{label}/1.jpg" for label in CODES.values()),
    "pictures named after emotions": dict.fromkeys(f"pictures/anna-{label}-1.jpg" for label in CODES.values()),
    "pictures in any other arrangement": {"photos/IMG_2301.jpg": None},
    "a table": {"faces.jsonl": "\n".join(map(json.dumps, TABLE)), **dict.fromkeys(row["path"] for row in TABLE)},
    "captions": {"captioned/10_laughing/1.jpg": None, "captioned/10_laughing/1.txt": "a grin"},
    "a video": {"smiling.mp4": None},
    "a folder of numbered frames": dict.fromkeys(f"frames/000{number}.png" for number in range(4)),
    "Hugging Face's imagefolder": {
        "my_pictures/metadata.csv": "file_name,label\n1.png,angry\n2.png,happy\n3.png,neutral\n",
        **dict.fromkeys(f"my_pictures/{number}.png" for number in (1, 2, 3)),
    },
    "Hugging Face's Parquet": {"my_dataset/data/train-00000-of-00001.parquet": parquet},
    "a dataset written by the node": {"my_faces.db": lambda path: Store(path).close()},
    "FER2013": {"fer2013.csv": f"emotion,pixels,Usage\n0,{PIXELS},Training\n3,{PIXELS},\n6,{PIXELS},Training"},
    "FER2013 in folders": dict.fromkeys(f"fer2013/train/{label}/1.jpg" for label in CODES.values()),
    "RAF-DB": {
        "basic/EmoLabel/list_patition_label.txt": "train_00001.jpg 6\ntrain_00002.jpg 4\ntest_0001.jpg 7\n",
        **dict.fromkeys(f"basic/Image/aligned/{n}_aligned.jpg" for n in ("train_00001", "train_00002", "test_0001")),
    },
    "RAF-DB in folders": dict.fromkeys(f"DATASET/train/{n}/train_0000{n}_aligned.jpg" for n in (4, 6, 7)),
    "AffectNet": {
        f"AffectNet/train_set/{name}": content
        for number, code in enumerate("610")
        for name, content in {f"images/{number}.jpg": None, f"annotations/{number}_exp.npy": np.array(code)}.items()
    },
    "AffectNet, older": {
        "training.csv": "subDirectory_filePath,face_x,expression\n1/a.jpg,0,6\n1/b.jpg,0,1\n1/c.jpg,0,0\n",
        **dict.fromkeys(f"Manually_Annotated_Images/1/{name}.jpg" for name in "abc"),
    },
    "KDEF": dict.fromkeys(f"KDEF/AF01/AF01{code}S.JPG" for code in CODES),
    "JAFFE": dict.fromkeys(f"jaffe/KA.{code}1.29.tiff" for code in CODES),
    "RaFD": dict.fromkeys(f"RaFD/Rafd090_01_Caucasian_female_{label}_frontal.jpg" for label in CODES.values()),
    "CK+": {
        "CK+/Emotion/S005/001/S005_001_00000002_emotion.txt": "1.0000000e+00",
        "CK+/Emotion/S005/002/S005_002_00000002_emotion.txt": "5.0000000e+00",
        **dict.fromkeys(
            f"CK+/cohn-kanade-images/S005/{take}/S005_{take}_0000000{n}.png" for take in ("001", "002") for n in (1, 2)
        ),
    },
    "CK+48": dict.fromkeys(f"CK+48/{label}/S010_006_00000014.png" for label in CODES.values()),
    "RAVDESS": dict.fromkeys(f"RAVDESS/Actor_01/01-01-{number}-01-01-01-01.mp4" for number in ("01", "03", "05")),
    "CREMA-D": dict.fromkeys(f"VideoFlash/1001_DFA_{code}_XX.flv" for code in ("ANG", "HAP", "NEU")),
    "MEAD": dict.fromkeys(f"MEAD/M003/video/front/{label}/level_1/001.mp4" for label in CODES.values()),
    "AFEW, SFEW": dict.fromkeys(f"AFEW/Train_AFEW/{label.title()}/000046280.avi" for label in CODES.values()),
    "ExpW": {
        "ExpW/label.lst": "a.jpg 0 1 1 9 9 50.0 0\na.jpg 1 1 20 30 9 50.0 3\nb.jpg 0 1 1 9 9 50.0 6\n",
        "ExpW/image/a.jpg": None,
        "ExpW/image/b.jpg": None,
    },
}  # fmt: skip


SHOWN = {  # where it is not the three labels
    "pictures in any other arrangement": "labels: happy 1",
    "captions": "labels: laughing 1",
    "a video": "labels: none; prompts are given",
    "a folder of numbered frames": "labels: happy 1",
    "a dataset written by the node": "read as dataset: 0 samples",
}


def layouts() -> dict[str, str]:
    """The sources and data sets that the guide names, and the command of each."""
    rows = re.findall(r"^\| ([^|]+) \| .* \| `(build [^`]+)` \|$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(rows)


def test_the_guide_names_every_layout() -> None:
    assert layouts().keys() == LAYOUTS.keys()


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    for file, content in LAYOUTS[name].items():
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, np.ndarray):
            np.save(path, content)
        elif callable(content):
            content(path)
        else:
            path.write_text(content or "")
    monkeypatch.chdir(tmp_path)
    assert main([*shlex.split(layouts()[name]), "--dry-run"]) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    if name in SHOWN:
        assert SHOWN[name] in shown
        return
    (labels,) = (line for line in shown.splitlines() if line.startswith("labels: "))
    found = {part.rsplit(" ", 1)[0] for part in labels.removeprefix("labels: ").split(", ")}
    assert found == set(CODES.values())


def test_an_npz_of_anyones(desk: Path) -> None:
    vectors = np.zeros((4, 1441), np.float32)
    vectors[:, 0], vectors[:, -1] = np.arange(4), 1
    np.savez(desk / "anyone.npz", perception_embeddings=vectors, clip_embeddings=np.eye(4, 768, dtype=np.float32))
    assert main(["import", "anyone.npz", "--out", "anyone.db"]) == 0
    assert main(["info", "anyone.db"]) == 0
