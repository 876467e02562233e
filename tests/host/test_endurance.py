"""A ComfyUI that runs for long, for several users, and is cancelled: nothing grows, mixes or hangs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .server import Graph, Host, Result, entry
from .websocket import listen, text_on_node

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not show a process's files"),
]

SETTLED, ALL = 100, 300  # prompts after which the server is measured
MEMORY = 100e6  # bytes that may come or go
MANY = 300  # small pictures, which take far longer than a cancelled run needs to end


@dataclass(frozen=True)
class Usage:
    """What the server's process holds."""

    memory: int  # bytes in RAM
    threads: int
    handles: int

    @classmethod
    def of(cls, host: Host) -> Usage:
        """Once the requests of the test itself are closed."""
        time.sleep(1)
        process = Path("/proc") / str(host.process.pid)
        [memory] = [line.split()[1] for line in (process / "status").read_text().splitlines() if "VmRSS" in line]
        return cls(int(memory) * 1024, *(len(list((process / folder).iterdir())) for folder in ("task", "fd")))


@pytest.fixture(scope="module")
def faces(host: Host, astronaut: np.ndarray, grace_hopper: np.ndarray) -> dict[str, str]:
    """Small pictures of one face each, which are quick to perceive."""
    return {
        "astronaut": host.put_picture("small_astronaut.png", astronaut[0:256:2, 96:352:2].copy()),
        "grace_hopper": host.put_picture("small_hopper.png", grace_hopper[0:512:4, 0:512:4].copy()),
    }


def perceiving(photo: str, **widgets: Any) -> Graph:
    perceive = {"image": ["photo", 0], "detector": "fast"} | widgets
    shown = {"perception": ["faces", 0], "face": 0, "missing": "error"}
    return {
        "photo": entry("LoadImage", image=photo),
        "faces": entry("PerceptionClip_FacePerception", **perceive),
        "info": entry("PerceptionClip_PerceptionInfo", **shown),
    }


@pytest.fixture
def steering(host: Host, faces: dict[str, str], weights: str, checkpoint: str) -> Iterator[Graph]:
    """Graphs without end from a photo to conditionings, each with other values, so that every node runs again."""

    def graphs() -> Iterator[Graph]:
        for number in count():
            graph = perceiving(list(faces.values())[number % 2], max_faces=1 + number % 100)
            strength = {"strength": round(0.01 * (number % 150), 2)}
            project = host_defaults["PerceptionClip_Projection"] | {"checkpoint": checkpoint} | strength
            prompts = host_defaults["PerceptionClip_EmotionPrompts"] | strength
            graph |= {
                "model": entry("CheckpointLoaderSimple", ckpt_name=weights),
                "words": entry("Probe_Conditioning", width=768, blocks=1),
                "projection": entry(
                    "PerceptionClip_Projection", **project, perception=["faces", 0], conditioning=["words", 0]
                ),
                "prompts": entry(
                    "PerceptionClip_EmotionPrompts", **prompts, perception=["faces", 0], clip=["model", 1]
                ),
                "both": entry("ConditioningCombine", conditioning_1=["projection", 0], conditioning_2=["prompts", 0]),
                "saved": entry("Probe_SaveConditioning", conditioning=["both", 0], name="endured"),
            }
            yield graph

    host_defaults = {
        node: host.defaults(node) for node in ("PerceptionClip_Projection", "PerceptionClip_EmotionPrompts")
    }
    yield graphs()  # type: ignore[misc]


def run_all(host: Host, graphs: Iterator[Graph], number: int) -> None:
    prompts = [host.queue(next(graphs)) for _ in range(number)]
    for prompt in prompts:
        result = host.wait(prompt)
        assert result.succeeded, result.message


def test_hundreds_of_prompts_leave_nothing_behind(host: Host, steering: Iterator[Graph]) -> None:
    run_all(host, steering, SETTLED)
    settled = Usage.of(host)
    run_all(host, steering, ALL - SETTLED)
    after = Usage.of(host)
    print(f"{settled} → {after}")  # shown by pytest -rP
    assert abs(after.memory - settled.memory) < MEMORY, (settled, after)
    assert after.threads <= settled.threads and after.handles <= settled.handles, (settled, after)


def test_two_users_do_not_mix(host: Host, faces: dict[str, str]) -> None:
    """The same graph with the same node ids, queued by two clients in turn; each gets its own face's numbers."""
    alone = {name: host.run(perceiving(photo)).text("info") for name, photo in faces.items()}
    assert alone["astronaut"] != alone["grace_hopper"]
    heard: dict[str, set[str]] = {name: set() for name in faces}
    with listen(host.port, "astronaut") as hers, listen(host.port, "grace_hopper") as his:
        queued = [
            (name, host.queue(perceiving(photo, max_faces=2 + turn), client=name))
            for turn in range(15)
            for name, photo in faces.items()
        ]
        for name, prompt in queued:
            assert host.wait(prompt).text("info") == alone[name]
        for name, payloads in (("astronaut", hers), ("grace_hopper", his)):
            told = [text for payload in payloads if (text := text_on_node(payload))]
            heard[name] = {text for node, text in told if node == "info"}
    [hers_said], [his_said] = heard["astronaut"], heard["grace_hopper"]
    assert hers_said.startswith("0: picture 0, happy") and his_said.startswith("0: picture 0, neutral")


def many(photo: str) -> Graph:
    return {
        "photo": entry("LoadImage", image=photo),
        "batch": entry("RepeatImageBatch", image=["photo", 0], amount=MANY),
        "film": entry("CreateVideo", images=["batch", 0], fps=24.0),
    }


def of_pictures(host: Host, photo: str) -> Graph:
    return many(photo) | {"slow": entry("PerceptionClip_FacePerception", image=["batch", 0], detector="thorough")}


def of_a_video(host: Host, photo: str) -> Graph:
    return many(photo) | {"slow": entry("PerceptionClip_FacePerceptionVideo", video=["film", 0], detector="thorough")}


def cancelled(host: Host, graph: Graph) -> Result:
    """Run a graph, and cancel it when its node `slow` has begun."""
    with listen(host.port, "cancelling", silence=60) as payloads:
        prompt = host.queue(graph, client="cancelling")
        next(payload for payload in payloads if b'"progress"' in payload and b'"slow"' in payload)
    host.post("/interrupt", {})
    return host.wait(prompt)


@pytest.mark.parametrize("work", [of_pictures, of_a_video])
def test_a_cancelled_run_frees_the_queue(host: Host, faces: dict[str, str], work: Any) -> None:
    before = {path for path in host.base.rglob("*") if path.suffix in (".safetensors", ".pth", ".db-journal")}
    result = cancelled(host, work(host, faces["astronaut"]))
    assert "execution_interrupted" in result.events and "execution_error" not in result.events
    queue = host.get("/queue")
    assert not queue["queue_running"] and not queue["queue_pending"]
    assert host.run(perceiving(faces["astronaut"])).text("faces").startswith("1 face in 1 picture")
    after = {path for path in host.base.rglob("*") if path.suffix in (".safetensors", ".pth", ".db-journal")}
    assert after == before
