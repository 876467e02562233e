"""The shipped graph, from photo to picture, with a random-weight Stable Diffusion 1.5."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from .server import Graph, Host

Steered = Callable[..., Graph]


@pytest.fixture
def steered(graphs: Callable[[str], Graph], weights: str, checkpoint: str, photos: dict[str, str]) -> Steered:
    """The graph, small and short, with a photo and changed widgets of the projection."""

    def make(photo: str = "astronaut", seed: int = 1, **widgets: object) -> Graph:
        graph = graphs("face_to_expression")
        graph["model"]["inputs"]["ckpt_name"] = weights
        graph["photo"]["inputs"]["image"] = photos[photo]
        graph["latent"]["inputs"] |= {"width": 64, "height": 64}
        graph["sampler"]["inputs"] |= {"steps": 2, "seed": seed}
        graph["projection"]["inputs"] |= {"checkpoint": checkpoint} | widgets
        return graph

    return make


def test_two_faces_give_two_pictures_at_the_same_seed(host: Host, steered: Steered) -> None:
    one = host.run(steered("astronaut")).picture("save")
    other = host.run(steered("grace_hopper")).picture("save")
    assert one.shape == other.shape == (64, 64, 3)
    assert np.abs(one.astype(int) - other.astype(int)).mean() > 0.5


def test_strength_zero_is_the_picture_without_the_node(host: Host, steered: Steered) -> None:
    off = host.run(steered(strength=0)).picture("save")
    without = steered()
    without["sampler"]["inputs"]["positive"] = ["positive", 0]
    assert np.array_equal(off, host.run(without).picture("save"))


def test_second_run_loads_no_model_again(host: Host, steered: Steered) -> None:
    first = host.run(steered(seed=2)).picture("save")
    loads = host.loads()
    second = host.run(steered(seed=3)).picture("save")
    assert loads and host.loads() == loads
    assert not np.array_equal(first, second)
