"""Emotion classifiers of transformers: labels by name, the face as the model wants it, and clear refusals.

The classifiers are small random vision transformers; where a test needs to know the answer, the bias of the last
layer decides it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from perception_clip.perception.emotions.transformers_classifier import (
    BATCH,
    EmotionModelError,
    TransformersEmotions,
    face_crops,
)
from perception_clip.perception.engines import Faces
from perception_clip.perception.landmarks.bundled import BundledLandmarker
from perception_clip.perception.vector import EMOTIONS

SHUFFLED = ("Sadness", "ANGER", "joy", "Fearful", "disgusted", "Neutral", "surprised ")
MEANT = ("sad", "angry", "happy", "fear", "disgust", "neutral", "surprise")


def save_classifier(
    folder: Path,
    labels: Sequence[str] = SHUFFLED,
    *,
    winner: int | None = None,
    channels: int = 3,
    mean: float = 0.5,
    size: int = 32,
) -> Path:
    """Save a random classifier; if a winner is given, it answers with that label whatever it sees."""
    from transformers import ViTConfig, ViTForImageClassification

    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=size,
        patch_size=8,
        num_channels=channels,
        initializer_range=0.5,  # large, so that a random network tells faces apart
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
    )
    network = ViTForImageClassification(config)
    with torch.no_grad():
        if winner is None:
            network.classifier.weight.div_(2)
        else:
            network.classifier.weight.zero_()
            network.classifier.bias.copy_(torch.eye(len(labels))[winner] * 4)
    network.save_pretrained(folder)
    preprocessor = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": size, "width": size},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [mean] * channels,
        "image_std": [0.5] * channels,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor), encoding="utf-8")
    return folder


def edit(path: Path, **entries: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | entries), encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_classifier(tmp_path_factory.mktemp("models") / "random-emotions")


@pytest.fixture(scope="module")
def photos(astronaut: np.ndarray, grace_hopper: np.ndarray) -> list[Tensor]:
    pair = np.concatenate([astronaut[:300, 72:372], grace_hopper[100:400, 100:400]], axis=1)
    return [torch.tensor(astronaut), torch.zeros(20, 30, 3, dtype=torch.uint8), torch.tensor(pair)]


@pytest.fixture(scope="module")
def faces(photos: list[Tensor]) -> list[Faces]:
    detected = BundledLandmarker().detect(photos)
    assert [len(each) for each in detected] == [1, 0, 2]
    return detected


@pytest.mark.parametrize("winner", range(7))
def test_each_label_reaches_its_emotion(tmp_path: Path, photos: list[Tensor], faces: list[Faces], winner: int) -> None:
    model = TransformersEmotions(save_classifier(tmp_path, winner=winner))
    probabilities = model.classify(photos, faces)
    assert probabilities.shape == (3, 7) and probabilities.dtype == torch.float32
    top = np.exp(4) / (np.exp(4) + 6)  # softmax of 4 and six zeros
    expected = [top if emotion == MEANT[winner] else (1 - top) / 6 for emotion in EMOTIONS]
    torch.testing.assert_close(probabilities, torch.tensor([expected] * 3, dtype=torch.float32), atol=1e-6, rtol=0)


def test_result_depends_on_the_face_and_not_on_the_batch(
    folder: Path, photos: list[Tensor], faces: list[Faces]
) -> None:
    model = TransformersEmotions(folder)
    together = model.classify(photos * 7, faces * 7)  # 21 faces: more than one pass
    assert len(together) == 21 > BATCH
    torch.testing.assert_close(together.sum(dim=1), torch.ones(21))
    torch.testing.assert_close(together[:3], together[18:], atol=1e-5, rtol=0)
    for photo, found, expected in ((photos[0], faces[0], together[:1]), (photos[2], faces[2], together[1:3])):
        torch.testing.assert_close(model.classify([photo], [found]), expected, atol=1e-5, rtol=0)
    assert (together[0] - together[2]).abs().max() > 0.01  # two people, two answers
    assert model.classify([], []).shape == model.classify([photos[1]], [faces[1]]).shape == (0, 7)


def test_the_models_own_preparation_is_used(tmp_path: Path, photos: list[Tensor], faces: list[Faces]) -> None:
    from transformers import AutoModelForImageClassification

    folder = save_classifier(tmp_path, mean=0.2)
    (crop,) = face_crops(photos[0], faces[0].landmarks)
    resized = Image.fromarray(crop.numpy()).resize((32, 32), Image.Resampling.BILINEAR)
    pixels = (torch.tensor(np.array(resized)).permute(2, 0, 1)[None] / 255 - 0.2) / 0.5
    network = AutoModelForImageClassification.from_pretrained(folder)
    with torch.no_grad():
        expected = network(pixel_values=pixels).logits.softmax(dim=1)[:, [MEANT.index(name) for name in EMOTIONS]]
    found = TransformersEmotions(folder).classify(photos[:1], faces[:1])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_gray_models_see_gray_faces(tmp_path: Path, photos: list[Tensor], faces: list[Faces]) -> None:
    model = TransformersEmotions(save_classifier(tmp_path, channels=1))
    color = model.classify(photos[:1], faces[:1])
    weights = torch.tensor([0.299, 0.587, 0.114])
    gray = (photos[0].float() @ weights).round().to(torch.uint8)[..., None].expand(-1, -1, 3)
    torch.testing.assert_close(model.classify([gray], faces[:1]), color, atol=5e-3, rtol=0)


def test_half_precision_weights_are_run_in_full(tmp_path: Path, photos: list[Tensor], faces: list[Faces]) -> None:
    from transformers import AutoModelForImageClassification

    folder = save_classifier(tmp_path / "full")
    AutoModelForImageClassification.from_pretrained(folder).half().save_pretrained(tmp_path / "half")
    shutil.copy(folder / "preprocessor_config.json", tmp_path / "half")
    full, half = (TransformersEmotions(tmp_path / name).classify(photos, faces) for name in ("full", "half"))
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, full, atol=0.01, rtol=0)


def test_crops_are_upright_square_and_filled_by_the_face(photos: list[Tensor], faces: list[Faces]) -> None:
    landmarker = BundledLandmarker()
    for degrees in (-40, 0, 40, 90):
        picture = torch.from_numpy(np.array(Image.fromarray(photos[0].numpy()).rotate(degrees)))
        (found,) = landmarker.detect([picture])
        (crop,) = face_crops(picture, found.landmarks)
        side = crop.shape[0]
        assert crop.shape == (side, side, 3) and crop.dtype == torch.uint8
        assert 105 <= side <= 122  # her face is about 104 pixels from hairline to chin
        (again,) = landmarker.detect([torch.nn.functional.pad(crop.permute(2, 0, 1), [60] * 4).permute(1, 2, 0)])
        points = again.landmarks[0, :, :2] * (side + 120) - 60
        left, right = points[[33, 133]].mean(dim=0), points[[362, 263]].mean(dim=0)
        assert abs(float((right - left)[1] / (right - left)[0])) < 0.06  # level eyes, left on the left
        assert points.min() > -3 and points.max() < side + 3  # the whole face, and
        assert points[:, 1].max() - points[:, 1].min() > 0.85 * side  # little else


def test_crops_of_extreme_faces(photos: list[Tensor], faces: list[Faces]) -> None:
    landmarks = faces[0].landmarks
    speck, outside = landmarks.clone(), landmarks.clone()
    speck[..., :2] = speck[..., :2] * 1e-4 + 0.5
    outside[..., :2] += 3
    giant = landmarks.clone()
    giant[..., :2] = (giant[..., :2] - giant[..., :2].mean(dim=1, keepdim=True)) * 30 + 0.5
    sides = [crop.shape[0] for crop in face_crops(photos[0], torch.cat([speck, outside, giant]))]
    assert sides[0] == 1 and 110 <= sides[1] <= 126 and sides[2] == 1024
    assert face_crops(photos[0], landmarks[:0]) == []


def test_identity_tells_weights_and_meaning_apart_but_not_the_folder(tmp_path: Path, folder: Path) -> None:
    identity = TransformersEmotions(folder).identity
    assert re.fullmatch(r"transformers-emotions/1:random-emotions:[0-9a-f]{8}", identity)
    copy = tmp_path / "copy" / "random-emotions"
    shutil.copytree(folder, copy)
    assert TransformersEmotions(str(copy)).identity == identity
    edit(copy / "config.json", id2label=dict(enumerate(reversed(SHUFFLED))))
    assert TransformersEmotions(copy).identity != identity
    other = save_classifier(tmp_path / "other" / "random-emotions", winner=0)
    assert TransformersEmotions(other).identity != identity


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ((*SHUFFLED, "contempt"), "8 labels: .*contempt .unknown: contempt."),
        ([f"LABEL_{i}" for i in range(7)], "7 labels: LABEL_0, .* have no names: add them to .id2label."),
        (SHUFFLED[:6], "6 labels: .*missing: surprise"),
        ((*SHUFFLED[:6], "Joyful"), "missing: surprise; more than once: happy"),
        ([f"thing {i}" for i in range(1000)], "1,000 labels: thing 0, .*thing 11, … .unknown: .*; missing: angry"),
        ((*SHUFFLED, "surprise"), "8 labels: .*more than once: surprise"),
    ],
)
def test_other_labels_are_refused_with_the_list(tmp_path: Path, labels: Sequence[str], reason: str) -> None:
    with pytest.raises(EmotionModelError, match=f"exactly these seven emotions: angry, .*{reason}"):
        TransformersEmotions(save_classifier(tmp_path, labels))


def test_pickled_weights_are_not_read(tmp_path: Path, folder: Path) -> None:
    from safetensors.torch import load_file

    copy = tmp_path / "pickled"
    shutil.copytree(folder, copy)
    torch.save(load_file(copy / "model.safetensors"), copy / "pytorch_model.bin")
    TransformersEmotions(copy)  # with both, the safe one is read
    (copy / "model.safetensors").unlink()
    with pytest.raises(EmotionModelError, match=r"pickled does not contain an emotion model .*weights in safetensors"):
        TransformersEmotions(copy)


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "model.safetensors"])
@pytest.mark.parametrize("content", [None, b"", b'{"a": '])
def test_missing_and_damaged_files_are_refused(tmp_path: Path, folder: Path, name: str, content: bytes | None) -> None:
    copy = tmp_path / "spoilt"
    shutil.copytree(folder, copy)
    (copy / name).unlink()
    if content is not None:
        (copy / name).write_bytes(content)
    with pytest.raises(EmotionModelError, match="spoilt (does not contain an emotion model|cannot be loaded)"):
        TransformersEmotions(copy)


def test_files_that_do_not_go_together_are_refused(tmp_path: Path, folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "spoilt"
    shutil.copytree(folder, copy)
    edit(copy / "preprocessor_config.json", size={"height": 24, "width": 24})
    with pytest.raises(EmotionModelError, match="cannot classify a picture"):
        TransformersEmotions(copy)
    shutil.copy(folder / "preprocessor_config.json", copy)
    tensors = load_file(folder / "model.safetensors")
    headless = {name: tensor for name, tensor in tensors.items() if not name.startswith("classifier")}
    save_file(headless, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EmotionModelError, match=r"is incomplete: its weights lack classifier\.bias"):
        TransformersEmotions(copy)
    tensors["classifier.bias"] = torch.full((7,), torch.nan)
    save_file(tensors, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(EmotionModelError, match="is damaged: its output is NaN"):
        TransformersEmotions(copy)


def test_code_that_comes_with_a_model_is_not_run(tmp_path: Path, folder: Path) -> None:
    copy = tmp_path / "custom"
    shutil.copytree(folder, copy)
    (copy / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n", encoding="utf-8")
    edit(
        copy / "config.json",
        model_type="evil",
        auto_map={"AutoConfig": "evil.Config", "AutoModelForImageClassification": "evil.Model"},
    )
    with pytest.raises(EmotionModelError, match="custom cannot be loaded"):
        TransformersEmotions(copy)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("source", ["/no/such/folder", "owner//name", "../models", ""])
def test_neither_folder_nor_id(source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EmotionModelError, match="there is no folder|does not contain an emotion model"):
        TransformersEmotions(source)


def test_hub_ids_without_a_network(tmp_path: Path, folder: Path) -> None:
    """In a process of its own: the hub's library reads its settings when it is imported."""
    for name in ("whole", "part"):
        repository = tmp_path / "hub" / f"models--owner--{name}"
        shutil.copytree(folder, repository / "snapshots" / ("0" * 40))
        (repository / "refs").mkdir()
        (repository / "refs" / "main").write_text("0" * 40, encoding="ascii")
    for name in ("preprocessor_config.json", "model.safetensors"):
        (repository / "snapshots" / ("0" * 40) / name).unlink()
    code = (
        "import sys\n"
        "from perception_clip.perception.emotions.transformers_classifier import EmotionModelError\n"
        "from perception_clip.perception.emotions.transformers_classifier import TransformersEmotions\n"
        "print('transformers' in sys.modules)\n"
        "for name in 'whole', 'part', 'none':\n"
        "    try: print(TransformersEmotions('owner/' + name).identity)\n"
        "    except EmotionModelError as error: print('refused:', ' '.join(str(error).splitlines()))"
    )
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "1"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    imported, whole, part, none = result.stdout.splitlines()
    assert imported == "False"  # importing the module imports no transformers
    assert re.fullmatch(r"transformers-emotions/1:owner/whole:[0-9a-f]{8}", whole)
    for name, answer in (("part", part), ("none", none)):
        assert re.match(f"refused: the emotion model owner/{name} is not on this machine.*download.*folder", answer)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_an_accelerator_gives_the_same_probabilities(folder: Path, photos: list[Tensor], faces: list[Faces]) -> None:
    expected = TransformersEmotions(folder).classify(photos, faces)
    on_device = TransformersEmotions(folder, device="cuda").classify([photo.cuda() for photo in photos], faces)
    assert on_device.device.type == "cpu"
    torch.testing.assert_close(on_device, expected, atol=0.02, rtol=0)
