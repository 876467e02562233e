"""The tests' own ComfyUI: a prompt that takes too long fails its test alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .server import Graph, Host

ENDLESS = 10_000  # steps, an hour at least


def test_a_prompt_that_is_too_slow_does_not_hold_up_the_next(
    host: Host, graphs: Callable[[str], Graph], weights: str, photos: dict[str, str], checkpoint: str
) -> None:
    graph = graphs("face_to_expression")
    graph["model"]["inputs"]["ckpt_name"] = weights
    graph["photo"]["inputs"]["image"] = photos["astronaut"]
    graph["projection"]["inputs"]["checkpoint"] = checkpoint
    graph["latent"]["inputs"] |= {"width": 64, "height": 64, "batch_size": 1}
    graph["sampler"]["inputs"]["steps"] = ENDLESS
    slow = host.queue(graph)
    graph["sampler"]["inputs"]["seed"] = 1
    host.queue(graph)  # waits behind it, and is not left to run either
    with pytest.raises(TimeoutError, match=f"prompt {slow} took more than 5 s"):
        host.wait(slow, seconds=5)
    queue = host.get("/queue")
    assert not queue["queue_running"] and not queue["queue_pending"]
    graph["sampler"]["inputs"]["steps"] = 2
    assert host.run(graph).succeeded
