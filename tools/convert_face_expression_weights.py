"""Make perception/weights/face_expression.safetensors from the npm package @vladmandic/face-api 1.7.15.

    npm pack @vladmandic/face-api@1.7.15
    python tools/convert_face_expression_weights.py vladmandic-face-api-1.7.15.tgz

The numbers are bytes with a scale and an offset for each tensor in the package; here they are float16. The axes are put
in torch's order and the outputs in that of our emotions; the division of pixels by 255 is left to the crop. The same
package gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import tarfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from perception_clip.perception import weight_files
from perception_clip.perception.emotions.face_expression_network import FaceExpressionNet
from perception_clip.perception.vector import EMOTIONS

NAME = "face_expression"
MODEL = f"package/model/{NAME}_model"
MEMBERS = f"{MODEL}-weights_manifest.json", f"{MODEL}.bin"
LABELS = ("neutral", "happy", "sad", "angry", "fear", "disgust", "surprise")  # the original's order
LICENCE = "MIT, Copyright (c) 2018 Vincent Mühler (face-api.js), Copyright (c) Vladimir Mandic (@vladmandic/face-api)"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="the package @vladmandic/face-api 1.7.15, a .tgz")
    parser.add_argument("--out", type=Path, default=weight_files.FOLDER, help="folder for the file")
    arguments = parser.parse_args()
    with tarfile.open(arguments.package) as package:
        manifest, numbers = (read_member(package, name) for name in MEMBERS)
    state = convert(read_tensors(json.loads(manifest), numbers))
    FaceExpressionNet().load_state_dict(state)  # names and shapes are right
    origin = {
        "package": arguments.package.name,
        "package_sha256": hashlib.sha256(arguments.package.read_bytes()).hexdigest(),
        "file": MEMBERS[1],
        "file_sha256": hashlib.sha256(numbers).hexdigest(),
        "licence": LICENCE,
    }
    path = arguments.out / f"{NAME}.safetensors"
    # One entry only: safetensors writes several in no fixed order.
    path.write_bytes(save(state, metadata={"origin": json.dumps(origin, sort_keys=True, ensure_ascii=False)}))
    count = sum(tensor.numel() for tensor in state.values())
    print(f"{path}: {count:,} parameters, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


def read_member(package: tarfile.TarFile, name: str) -> bytes:
    file = package.extractfile(name)
    if file is None:
        raise ValueError(f"{name} is not a file in the package")
    return file.read()


def read_tensors(manifest: list[dict], numbers: bytes) -> dict[str, Tensor]:
    """The tensors of a TensorFlow.js weights file by name, float32."""
    tensors = {}
    offset = 0
    for entry in (entry for group in manifest for entry in group["weights"]):
        count, quantization = math.prod(entry["shape"]), entry.get("quantization")
        kind = np.dtype(quantization["dtype"] if quantization else entry["dtype"])
        values = np.frombuffer(numbers, kind, count, offset).astype(np.float32)
        offset += count * kind.itemsize
        if quantization:
            values = values * np.float32(quantization["scale"]) + np.float32(quantization["min"])
        tensors[entry["name"]] = torch.from_numpy(values).reshape(entry["shape"])
    if offset != len(numbers):
        raise ValueError(f"the manifest describes {offset} bytes, but the weights file has {len(numbers)}")
    return tensors


def convert(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state of FaceExpressionNet, float16."""
    state = {}
    for block in range(4):
        for number in range(4):
            source = f"dense{block}/conv{number}"
            target = f"blocks.{block}." + (f"others.{number - 1}" if number else "first")
            if f"{source}/filters" in tensors:
                state[f"{target}.weight"] = tensors[f"{source}/filters"].permute(3, 2, 0, 1)
                state[f"{target}.bias"] = tensors[f"{source}/bias"]
            else:
                state[f"{target}.depthwise.weight"] = tensors[f"{source}/depthwise_filter"].permute(2, 3, 0, 1)
                state[f"{target}.pointwise.weight"] = tensors[f"{source}/pointwise_filter"].permute(3, 2, 0, 1)
                state[f"{target}.pointwise.bias"] = tensors[f"{source}/bias"]
    order = [LABELS.index(emotion) for emotion in EMOTIONS]
    state["logits.weight"], state["logits.bias"] = tensors["fc/weights"].T[order], tensors["fc/bias"][order]
    return {name: tensor.half().contiguous() for name, tensor in state.items()}


if __name__ == "__main__":
    main()
