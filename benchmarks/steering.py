"""Time Perception→CLIP Projection in ComfyUI after warm-up, compared with ComfyUI's own ConditioningAverage.

    python benchmarks/steering.py [--comfyui ~/ComfyUI] [--rounds 200]

A real ComfyUI runs a graph with a node that calls Perception→CLIP Projection repeatedly with the inputs from the graph,
as if only the strength had changed, and averages the same conditioning with itself, taking turns. Needs the checkout
and the random Stable Diffusion 1.5 of tests/host.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
from inputs import need
from skimage.data import astronaut

from perception_clip.projection.conditioning import MODES
from perception_clip.tests.host.conftest import RANDOM_WEIGHTS, link_weights
from perception_clip.tests.host.server import Graph, Host

FRAMES = 16


def graph(photo: str, weights: str, checkpoint: str, mode: str, faces: str, rounds: int) -> Graph:
    many = faces == "per frame"
    return {
        "photo": {"class_type": "LoadImage", "inputs": {"image": photo}},
        "model": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": weights}},
        "prompt": {"class_type": "CLIPTextEncode", "inputs": {"clip": ["model", 1], "text": "portrait of a person"}},
        "perception": {
            "class_type": "PerceptionClip_FacePerception",
            "inputs": {"image": ["photo", 0], "max_faces": 1, "min_confidence": 0.5, "missing": "skip"},
        },
        "spread": {
            "class_type": "PerceptionClip_PerceptionSchedule",
            "inputs": {"perception": ["perception", 0], "frames": FRAMES if many else 1, "easing": "linear"},
        },
        "time": {
            "class_type": "Probe_TimeProjection",
            "inputs": {
                "perception": ["spread", 0],
                "conditioning": ["prompt", 0],
                "checkpoint": checkpoint,
                "mode": mode,
                "faces": faces,
                "rounds": rounds,
            },
        },
    }


def spread(values: np.ndarray) -> str:
    """Return the median (10 % to 90 %)."""
    low, middle, high = np.quantile(values, (0.1, 0.5, 0.9))
    return f"{middle:.1f} ({low:.1f} to {high:.1f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comfyui", type=Path, default=Path("~/ComfyUI"))
    parser.add_argument("--rounds", type=int, default=200)
    arguments = parser.parse_args()
    checkout = arguments.comfyui.expanduser()
    need(checkout / "main.py", "give ComfyUI's checkout with --comfyui")
    venv_python = checkout / ".venv" / "bin" / "python"
    with tempfile.TemporaryDirectory() as folder:
        host = Host(checkout, venv_python if venv_python.is_file() else Path(sys.executable), Path(folder))
        if not link_weights(host):
            weights = checkout / "models" / "checkpoints" / RANDOM_WEIGHTS
            need(weights, "put a Stable Diffusion 1.5 checkpoint there; random weights are enough")
        host.start()
        try:
            photo = host.put_picture("astronaut.png", astronaut())
            host.training(
                "starter", "--text-encoder", "random", "--out-dir", host.models, "--samples", 700, "--epochs", 5
            )
            print("| mode | one face, × | ms | 16 frames, × | ms |\n|---|---|---|---|---|")
            for mode in MODES:
                cells = []
                for faces in ("first", "per frame"):
                    run = graph(photo, RANDOM_WEIGHTS, "best_model.safetensors", mode, faces, arguments.rounds)
                    own_times, averages = np.array(json.loads(host.run(run).text("time")))
                    cells += [spread(own_times / averages), spread(own_times)]
                print(f"| {mode} | {' | '.join(cells)} |", flush=True)
        finally:
            host.stop()


if __name__ == "__main__":
    main()
