"""The image network that reads emotions: its original's answers, its calibration, and everything a user may feed it."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from perception_clip.perception import weight_files
from perception_clip.perception.emotions.crops import upright_crops
from perception_clip.perception.emotions.face_expression import NEUTRAL_LOGITS, FaceExpressionModel
from perception_clip.perception.emotions.face_expression_network import CROP_SIZE, FaceExpressionNet
from perception_clip.perception.engines import Faces
from perception_clip.perception.landmarks.bundled import BundledLandmarker
from perception_clip.perception.landmarks.networks import load
from perception_clip.perception.vector import EMOTIONS, NEUTRAL

ROOT = Path(__file__).resolve().parents[3]
HAPPY = EMOTIONS.index("happy")


@pytest.fixture(scope="module")
def model() -> FaceExpressionModel:
    return FaceExpressionModel()


@pytest.fixture(scope="module")
def landmarker() -> BundledLandmarker:
    return BundledLandmarker()


@pytest.fixture(scope="module")
def photo(astronaut: np.ndarray) -> Tensor:
    return torch.tensor(astronaut)


@pytest.fixture(scope="module")
def faces(landmarker: BundledLandmarker, photo: Tensor) -> Faces:
    return landmarker.detect([photo])[0]


def moved(faces: Faces, *, scale: float = 1, by: tuple[float, float] = (0, 0), count: int = 1) -> Faces:
    """The first face, smaller or larger around its middle, elsewhere in the picture, several times."""
    landmarks = faces.landmarks[:1].clone()
    middle = landmarks.mean(dim=1, keepdim=True)
    landmarks = (landmarks - middle) * scale + middle + torch.tensor([*by, 0])
    return Faces(landmarks.expand(count, -1, -1), torch.zeros(count, 4), torch.ones(count))


def reference_photos(folder: Path) -> Iterator[tuple[str, Tensor, Tensor]]:
    """Name, crops (F, 3, 112, 112) in 0…1, and the original's probabilities (F, 7) in the order of EMOTIONS."""
    with np.load(folder / "reference_face_expression.npz") as data:
        order = [data["labels"].tolist().index(emotion) for emotion in EMOTIONS]
        for name in (key.removesuffix(":crops") for key in data.files if key.endswith(":crops")):
            crops = torch.from_numpy(data[f"{name}:crops"]).permute(0, 3, 1, 2) / 255
            yield name, crops, torch.from_numpy(data[f"{name}:probabilities"])[:, order]


def test_the_original_gives_the_same_probabilities_for_its_crops(shared_data: Path) -> None:
    network = load(FaceExpressionNet, "face_expression", torch.device("cpu"), weight_files.FOLDER)
    differences = []
    for _, crops, expected in reference_photos(shared_data / "faces"):
        with torch.no_grad():
            differences.append((network(crops)[0].softmax(dim=1) - expected).abs().max())
    assert len(differences) == 23 and max(differences) < 0.001


def test_the_original_gives_the_same_answers_for_photos(
    model: FaceExpressionModel, landmarker: BundledLandmarker, shared_data: Path
) -> None:
    distances = []
    for name, crops, expected in reference_photos(shared_data / "faces"):
        with Image.open(shared_data / "faces" / name) as image:
            picture = torch.from_numpy(np.array(image.convert("RGB")))
        found = landmarker.detect([picture])
        ours = upright_crops([picture], found, CROP_SIZE)
        same = torch.cdist(ours.flatten(1), crops.flatten(1)).argmin(dim=1)
        assert sorted(same.tolist()) == list(range(len(crops)))
        distances.append(float((ours - crops[same]).abs().mean()) * 255)
        answers = model.network_logits([picture], found).argmax(dim=1)
        assert answers.tolist() == expected[same].argmax(dim=1).tolist(), name
    assert np.mean(distances) < 1.5  # gray levels: a crop half a pixel beside differs by four


@pytest.fixture(scope="module")
def calibration() -> Iterator[ModuleType]:
    """The script that the calibration is from."""
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        specification = importlib.util.find_spec("calibrate_face_expression")
        assert specification is not None and specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        sys.modules[specification.name] = module
        specification.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(ROOT / "tools"))


@pytest.mark.slow
def test_calibration_on_the_faces_that_it_was_not_fitted_to(
    model: FaceExpressionModel, calibration: ModuleType, shared_data: Path
) -> None:
    path = shared_data / "fer2013_public_test.npz"
    _, held_out = calibration.halves(path)
    faces = calibration.read_faces(path, held_out[::2])
    labels = faces.labels
    assert len(held_out) == 1775 and len(labels) > 840
    probabilities = model.calibrated(faces.logits).softmax(dim=1)
    recall = calibration.recalls(probabilities, labels)
    assert recall.mean() >= 0.55 and recall[EMOTIONS.index("fear")] >= 0.25
    assert calibration.calibration_error(probabilities, labels) <= 0.06


def test_a_batch_equals_single_faces(
    model: FaceExpressionModel, landmarker: BundledLandmarker, photo: Tensor, grace_hopper: np.ndarray
) -> None:
    other = torch.tensor(grace_hopper)
    empty = torch.zeros(20, 30, 3, dtype=torch.uint8)
    two = torch.cat([photo[:400, :400], other[:400, 56:456]], dim=1)
    pictures = [photo, empty, two, other]
    found = landmarker.detect(pictures)
    assert [len(each) for each in found] == [1, 0, 2, 1]
    together = model.classify(pictures * 5, found * 5)
    assert together.shape == (20, 7) and together.dtype == torch.float32
    torch.testing.assert_close(together.sum(dim=1), torch.ones(20))
    singles = torch.cat([model.classify([one], [each]) for one, each in zip(pictures, found, strict=True)])
    torch.testing.assert_close(together, singles.repeat(5, 1), atol=1e-5, rtol=0)
    assert singles.argmax(dim=1).tolist() == [HAPPY, NEUTRAL, HAPPY, NEUTRAL]


def test_no_pictures_no_faces_and_many_faces(model: FaceExpressionModel, photo: Tensor, faces: Faces) -> None:
    none = Faces(faces.landmarks[:0], faces.boxes[:0], faces.scores[:0])
    assert model.classify([], []).shape == model.classify([photo], [none]).shape == (0, 7)
    many = model.classify([photo], [moved(faces, count=70)])
    torch.testing.assert_close(many, many[:1].expand(70, -1), atol=1e-5, rtol=0)


def test_the_head_may_be_tilted(model: FaceExpressionModel, landmarker: BundledLandmarker, photo: Tensor) -> None:
    upright = model.classify([photo], landmarker.detect([photo]))
    for degrees in (-30, 30, 90):
        turned = torch.from_numpy(np.array(Image.fromarray(photo.numpy()).rotate(degrees, Image.Resampling.BICUBIC)))
        tilted = model.classify([turned], landmarker.detect([turned]))
        assert (tilted - upright).abs().max() < 0.06


def test_faces_of_all_sizes(model: FaceExpressionModel, photo: Tensor, faces: Faces) -> None:
    """The same picture, reduced or enlarged, reads the same until hardly anything of the face is left."""
    expected = model.classify([photo], [faces])
    for side, tolerance in ((2048, 0.05), (1024, 0.05), (384, 0.05), (256, 0.1)):
        resized = Image.fromarray(photo.numpy()).resize((side, side), Image.Resampling.LANCZOS)
        found = model.classify([torch.from_numpy(np.array(resized))], [faces])
        assert (found - expected).abs().max() < tolerance, side
    tiny = Image.fromarray(photo.numpy()).resize((48, 48), Image.Resampling.LANCZOS)  # the face: 10 pixels
    assert model.classify([torch.from_numpy(np.array(tiny))], [faces]).isfinite().all()
    assert model.classify([photo[:1, :1]], [faces]).isfinite().all()
    assert model.classify([photo[:1]], [faces]).isfinite().all()


def test_faces_at_and_beyond_the_edge(model: FaceExpressionModel, photo: Tensor, faces: Faces) -> None:
    left, top, right, bottom = faces.boxes[0].round().int().tolist()
    cut = photo[top:bottom, (left + right) // 2 - 15 :]  # a part of the left half is missing
    height, width = cut.shape[:2]
    points = (faces.landmarks * 512 - torch.tensor([(left + right) // 2 - 15, top, 0])) / torch.tensor(
        [width, height, 512]
    )
    assert model.classify([cut], [Faces(points, faces.boxes, faces.scores)])[0].argmax() == HAPPY
    everywhere = [moved(faces, by=by, scale=scale) for by in ((3, 0), (-3, -3), (0, 1e4)) for scale in (1, 1e-4, 50)]
    found = model.classify([photo] * len(everywhere), everywhere)
    assert found.shape == (9, 7) and found.isfinite().all()


def test_nan_landmarks_name_the_face(model: FaceExpressionModel, photo: Tensor, faces: Faces) -> None:
    bad = moved(faces, count=3).landmarks.clone()
    bad[2, 5, 1] = torch.nan
    with pytest.raises(ValueError, match="the landmarks of face 2 contain NaN or infinite values"):
        model.classify([photo], [Faces(bad, torch.zeros(3, 4), torch.ones(3))])


def test_relative_to_a_neutral_face(model: FaceExpressionModel, photo: Tensor, faces: Faces) -> None:
    average = torch.tensor(NEUTRAL_LOGITS).softmax(dim=0)
    alone = model.classify([photo], [faces])
    same = model.relative_to(average)
    assert same.identity == f"{model.identity}+neutral" and same.networks is model.networks
    torch.testing.assert_close(same.classify([photo], [faces]), alone, atol=1e-5, rtol=0)
    # Of a person whose neutral face reads as happy, this smile says less; of one who then reads as sad, more.
    happy, sad = (
        (torch.tensor(NEUTRAL_LOGITS) + 2 * torch.eye(7)[EMOTIONS.index(emotion)]).softmax(dim=0)
        for emotion in ("happy", "sad")
    )
    less, more = (model.relative_to(neutral).classify([photo], [faces])[0] for neutral in (happy, sad))
    assert less[HAPPY] < alone[0, HAPPY] - 0.02 and more[HAPPY] > alone[0, HAPPY]
    # A person's own neutral face moves toward neutral; certainty does no harm.
    own = model.relative_to(alone[0]).classify([photo], [faces])[0]
    assert own[NEUTRAL] > alone[0, NEUTRAL] + 0.05
    assert model.relative_to(torch.eye(7)[HAPPY]).classify([photo], [faces]).isfinite().all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_an_accelerator_gives_the_same_probabilities(model: FaceExpressionModel, photo: Tensor, faces: Faces) -> None:
    on_device = FaceExpressionModel(device="cuda").classify([photo.cuda()] * 20, [faces] * 20)
    assert on_device.device.type == "cpu"
    torch.testing.assert_close(on_device, model.classify([photo] * 20, [faces] * 20), atol=1e-4, rtol=0)
