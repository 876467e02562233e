"""Networks run in batches, with one thread inside an operation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from perception_clip.perception.landmarks.bundled import BundledLandmarker
from perception_clip.perception.landmarks.networks import CPU_BATCH, full_precision, run


@pytest.fixture(autouse=True)
def three_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


class Recorder(nn.Module):
    """Doubles its input, and notes how many come at a time, and how many threads there are."""

    def __init__(self) -> None:
        super().__init__()
        self.batches: list[int] = []
        self.threads: set[int] = set()

    def forward(self, inputs: Tensor) -> tuple[Tensor]:
        self.batches.append(len(inputs))
        self.threads.add(torch.get_num_threads())
        return (2 * inputs,)


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 40])
def test_few_go_one_by_one_and_many_in_batches_on_one_thread_each(count: int) -> None:
    network, inputs = Recorder(), torch.rand(count, 3, 4, 4)
    (doubled,) = run(network, inputs)
    assert torch.equal(doubled, 2 * inputs)
    assert sum(network.batches) == count
    assert max(network.batches) == (1 if 0 < count < 8 else min(-(-count // 3), CPU_BATCH))
    assert network.threads == {1} or count == 0
    assert torch.get_num_threads() == 3


def test_a_landmarker_uses_one_thread_and_leaves_the_callers_alone(astronaut: Tensor) -> None:
    landmarker = BundledLandmarker()
    seen: set[int] = set()
    for network in landmarker.networks:
        network.register_forward_hook(lambda *_: seen.add(torch.get_num_threads()))
    picture = torch.as_tensor(astronaut)
    assert [len(faces) for faces in landmarker.detect([picture, picture])] == [1, 1]
    assert seen == {1}
    assert torch.get_num_threads() == 3


def test_convolutions_on_a_card_are_not_rounded() -> None:
    before = torch.backends.cudnn.allow_tf32
    with pytest.raises(KeyError), full_precision(torch.device("cuda")):
        assert not torch.backends.cudnn.allow_tf32
        raise KeyError
    assert torch.backends.cudnn.allow_tf32 == before
    with full_precision(torch.device("cpu")):
        assert torch.backends.cudnn.allow_tf32 == before
