from __future__ import annotations

import pytest
import torch

from perception_clip.perception.origins import unknown
from perception_clip.perception.vector import EMOTIONS, PERCEPTION_DIM, Perceptions, pack, split, validate


def faces(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return (
        torch.rand(count, 478, 3, generator=generator),
        torch.rand(count, 7, generator=generator).softmax(dim=1),
    )


def perceptions(frames: list[int], frame_count: int) -> Perceptions:
    count = len(frames)
    return Perceptions(
        vectors=pack(*faces(count)),
        image_sizes=torch.tensor([[600, 512]] * count, dtype=torch.int32).reshape(-1, 2),
        frames=torch.tensor(frames, dtype=torch.int64),
        boxes=torch.arange(4 * count, dtype=torch.float32).reshape(-1, 4),
        scores=torch.full((count,), 0.9),
        tracks=torch.arange(count),
        origins=unknown(count),
        frame_count=frame_count,
        landmarker="a",
        emotion_model="b",
    )


def test_layout() -> None:
    landmarks, emotions = faces(2)
    vectors = pack(landmarks, emotions)
    assert vectors.shape == (2, PERCEPTION_DIM) == (2, 1441)
    assert vectors.dtype == torch.float32
    assert EMOTIONS == ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
    assert vectors[1, 3 * 10 + 2] == landmarks[1, 10, 2]  # row-major: landmark 10's z
    assert torch.equal(vectors[:, 1434:], emotions)
    back = split(vectors)
    assert torch.equal(back[0], landmarks) and torch.equal(back[1], emotions)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v[2].fill_(float("nan")), "row 2 contains NaN"),
        (lambda v: v[1, 5:6].fill_(float("inf")), "row 1 contains NaN or infinite"),
        (lambda v: v[3, 1440:].fill_(0.9), "row 3 has emotion probabilities that do not sum to 1"),
        (lambda v: v[0, 1434:1436].copy_(torch.tensor([-0.5, 0.5])), "row 0 has a negative emotion"),
        (lambda v: v[1:, 0].fill_(float("nan")), r"row 1 .*\(and 2 more rows\)"),
    ],
)
def test_bad_rows_are_named(change, message: str) -> None:  # type: ignore[no-untyped-def]
    vectors = pack(*faces(4))
    change(vectors)
    with pytest.raises(ValueError, match=message):
        validate(vectors)


def test_wrong_shapes_are_refused() -> None:
    landmarks, emotions = faces(2)
    with pytest.raises(ValueError, match=r"\(N, 478, 3\)"):
        pack(landmarks[:, :468], emotions)
    with pytest.raises(ValueError, match=r"\(2, 7\)"):
        pack(landmarks, emotions[:1])
    for shape in ((0, 0), (3, 1440), (1, 1442)):
        with pytest.raises(ValueError, match="1441"):
            validate(torch.zeros(shape))
    with pytest.raises(ValueError, match="boxes must have the shape"):
        Perceptions(**{**vars(perceptions([0], 1)), "boxes": torch.zeros(2, 4)})


def test_batch_of_faces() -> None:
    batch = perceptions([0, 0, 2], frame_count=4)
    assert len(batch) == 3
    assert batch.empty_frames == [1, 3]
    face = batch[2]
    assert (face.frame, face.image_size, face.box) == (2, (600, 512), (8.0, 9.0, 10.0, 11.0))
    assert torch.equal(face.vector, batch.vectors[2])
    assert [face.frame for face in batch] == [0, 0, 2]
    picked = batch.select([2, 0])
    assert picked.frames.tolist() == [2, 0]
    assert torch.equal(picked.vectors, batch.vectors[[2, 0]])
    assert picked.frame_count == 4
    nobody = perceptions([], frame_count=2)
    assert len(nobody) == 0 and nobody.empty_frames == [0, 1]
    assert nobody.landmarks.shape == (0, 478, 3) and nobody.emotions.shape == (0, 7)
