"""Write tests/perception/reference_detections.npz: the original full-range detector's output for two photos.

    pip install ai-edge-litert
    python tools/measure_reference_detections.py mediapipe-0.10.21-*.whl

The pictures are letterboxed by the pack's code, so that only the network is compared.
"""

from __future__ import annotations

import argparse
import zipfile
from pathlib import Path

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from matplotlib import cbook
from PIL import Image
from skimage import data

from perception_clip.perception.landmarks.blazeface_full_range import INPUT_SIZE
from perception_clip.perception.landmarks.boxes import letterbox

MEMBER = "mediapipe/modules/face_detection/face_detection_full_range_sparse.tflite"
OUT = Path(__file__).resolve().parents[1] / "tests" / "perception" / "reference_detections.npz"
CELLS = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="the mediapipe 0.10.21 wheel")
    arguments = parser.parse_args()
    with zipfile.ZipFile(arguments.wheel) as wheel:
        interpreter = Interpreter(model_content=wheel.read(MEMBER))
    interpreter.allocate_tensors()
    with cbook.get_sample_data("grace_hopper.jpg") as file, Image.open(file) as image:
        photos = {"astronaut": data.astronaut(), "grace_hopper": np.array(image.convert("RGB"))}
    arrays = {}
    for name, photo in photos.items():
        box = letterbox([torch.from_numpy(photo)], INPUT_SIZE).permute(0, 2, 3, 1).contiguous().numpy()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], box)
        interpreter.invoke()
        outputs = [interpreter.get_tensor(detail["index"])[0] for detail in interpreter.get_output_details()]
        points, logits = sorted(outputs, key=lambda output: -output.shape[1])  # (2304, 16) and (2304, 1)
        cells = np.argsort(-logits[:, 0])[:CELLS]
        arrays |= {f"{name}_cells": cells, f"{name}_logits": logits[cells, 0], f"{name}_points": points[cells[0]]}
    np.savez(OUT, **arrays)
    print(f"{OUT}: {', '.join(arrays)}")


if __name__ == "__main__":
    main()
