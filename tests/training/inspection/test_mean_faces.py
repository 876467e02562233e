"""The mean face of each label or prompt."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.vector import EMOTIONS, pack, split
from perception_clip.training.dataset.samples import Samples
from perception_clip.training.dataset.store import Store
from perception_clip.training.inspection.mean_faces import MeanFaces, mean_faces

MODEL = ExpressionModel.load()
PER_EMOTION = 40


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Happy, sad and a few angry faces in every pose, labeled, and one without a label."""
    path = tmp_path_factory.mktemp("mean") / "a.db"
    with Store(path) as store:
        store.set_provenance("encoder", torch.ones(768), "landmarker", "emotion model")
        for emotion, count in (("sad", PER_EMOTION), ("happy", PER_EMOTION + 1), ("angry", 3), ("", 1)):
            generator = torch.Generator().manual_seed(count)
            wanted = torch.full((count,), EMOTIONS.index(emotion or "fear"))
            landmarks, sizes = MODEL.sample(wanted, torch.ones(count), generator)
            vectors = pack(landmarks, MODEL.probabilities(landmarks, sizes))
            prompts = [f"{emotion or 'no'} face {row % 2}" for row in range(count)]
            store.append(Samples(vectors, sizes, prompts, torch.ones(count, 768), labels=[emotion] * count))
    return path


def means_of(path: Path, most: int) -> MeanFaces:
    with Store(path, create=False) as store, store.snapshot() as snapshot:
        return mean_faces(snapshot, MODEL.template, most)


def test_means_look_like_their_labels_however_the_faces_are_turned(dataset: Path) -> None:
    found = means_of(dataset, most=10)
    assert (found.names, found.counts) == (["happy", "sad", "angry"], [PER_EMOTION + 1, PER_EMOTION, 3])
    landmarks, emotions = split(found.vectors)
    sizes = torch.ones(3, 2, dtype=torch.int32)
    likeliest = MODEL.probabilities(landmarks, sizes).argmax(dim=1)
    assert [EMOTIONS[index] for index in likeliest[:2]] == ["happy", "sad"]
    assert torch.allclose(emotions.sum(dim=1), torch.ones(3))
    assert (landmarks - MODEL.template).norm(dim=2).mean() < 0.15  # upright, in inter-ocular distances


def test_only_the_largest_are_kept_and_progress_is_told(dataset: Path) -> None:
    done: list[int] = []
    with Store(dataset, create=False) as store, store.snapshot() as snapshot:
        found = mean_faces(snapshot, MODEL.template, 1, done.append)
    assert found.names == ["happy"] and torch.equal(found.vectors, means_of(dataset, 3).vectors[:1])
    assert done == [2 * PER_EMOTION + 5]


def test_without_labels_prompts_count_and_an_empty_dataset_has_none(dataset: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "b.db") as store:
        store.set_provenance("encoder", torch.ones(768), "landmarker", "emotion model")
        with store.snapshot() as snapshot:
            empty = mean_faces(snapshot, MODEL.template, 3)
        assert (empty.names, empty.vectors.shape) == ([], (0, 1441))
        vectors = torch.cat([torch.tensor(batch.perceptions) for batch in Store(dataset).iterate()])[:3]
        store.append(Samples(vectors, torch.zeros(3, 2, dtype=torch.int32), ["b", "a", "b"], torch.ones(3, 768)))
    found = means_of(tmp_path / "b.db", 5)
    assert (found.names, found.counts) == (["b", "a"], [2, 1])
