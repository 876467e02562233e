"""Measure how much faces that act in place change a sampled picture, inside and outside of their heads.

    python benchmarks/in_place.py [--comfyui ~/ComfyUI] [--steps 2 8]

A real ComfyUI samples a picture of two people (256 × 128, Stable Diffusion 1.5 with random weights) with and without
their faces, with the same noise. Needs the checkout and the random weights of tests/host.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from inputs import need
from matplotlib.cbook import get_sample_data
from PIL import Image
from skimage.data import astronaut

from perception_clip.tests.host.conftest import RANDOM_WEIGHTS, link_weights
from perception_clip.tests.host.server import Host
from perception_clip.tests.host.test_face_regions import changes, side_by_side
from perception_clip.tests.host.test_text_encode_face import checkpoint_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comfyui", type=Path, default=Path("~/ComfyUI"))
    parser.add_argument("--steps", type=int, nargs="+", default=[2, 8])
    arguments = parser.parse_args()
    checkout = arguments.comfyui.expanduser()
    need(checkout / "main.py", "give ComfyUI's checkout with --comfyui")
    venv_python = checkout / ".venv" / "bin" / "python"
    with tempfile.TemporaryDirectory() as folder, get_sample_data("grace_hopper.jpg") as file:
        host = Host(checkout, venv_python if venv_python.is_file() else Path(sys.executable), Path(folder))
        if not link_weights(host):
            weights = checkout / "models" / "checkpoints" / RANDOM_WEIGHTS
            need(weights, "put a Stable Diffusion 1.5 checkpoint there; random weights are enough")
        host.start()
        try:
            people = side_by_side(astronaut(), np.asarray(Image.open(file).convert("RGB")))
            picture = host.put_picture("two_people.png", people)
            host.training(
                "starter", "--text-encoder", "random", "--out-dir", host.models, "--samples", 700, "--epochs", 5
            )
            checkpoint = checkpoint_of(host, "best_model.safetensors", "sd15")
            print("| steps | left head | right head | outside of both |\n|---|---|---|---|")
            for steps in arguments.steps:
                (left, right), outside = changes(host, picture, checkpoint, RANDOM_WEIGHTS, steps)
                print(f"| {steps} | {left:.1f} | {right:.1f} | {outside:.1f} |", flush=True)
        finally:
            host.stop()


if __name__ == "__main__":
    main()
