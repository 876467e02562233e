"""Make perception/weights/{blazeface,face_mesh}.safetensors from the mediapipe 0.10.21 wheel.

    pip download mediapipe==0.10.21 --no-deps     # needs Python 3.9 to 3.12
    pip install tflite
    python tools/convert_mediapipe_weights.py mediapipe-0.10.21-*.whl

The numbers are copied bit by bit (they are float16 in the wheel); only the axes are put in torch's order. The
same wheel gives the same bytes. Any platform's wheel holds the same two models.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import zipfile
from pathlib import Path

import numpy as np
import tflite
import torch
from safetensors.torch import save
from torch import Tensor, nn

from perception_clip.perception import weight_files
from perception_clip.perception.blazeface import BlazeFace
from perception_clip.perception.face_mesh import FaceMesh

MODELS = {
    "blazeface": (BlazeFace, "mediapipe/modules/face_detection/face_detection_short_range.tflite"),
    "face_mesh": (FaceMesh, "mediapipe/modules/face_landmark/face_landmark_with_attention.tflite"),
}
# The output layers have names of their own in the original; all others are numbered by kind, in the order in
# which the network was built, which is the order of our modules.
OUTPUT_LAYERS = {
    "fine_head.score": "classificator_8",
    "fine_head.points": "regressor_8",
    "coarse_head.score": "classificator_16",
    "coarse_head.points": "regressor_16",
    "mesh": "output_mesh",
    "face_flag": "conv_faceflag",
    "lips.decoders.lips.output": "conv_lips",
    "left_eye.decoders.eye.output": "conv_left_eye",
    "left_eye.decoders.iris.output": "conv_left_iris",
    "right_eye.decoders.eye.output": "conv_right_eye",
    "right_eye.decoders.iris.output": "conv_right_iris",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="the mediapipe 0.10.21 wheel")
    parser.add_argument("--out", type=Path, default=weight_files.FOLDER, help="folder for the two files")
    arguments = parser.parse_args()
    wheel_digest = hashlib.sha256(arguments.wheel.read_bytes()).hexdigest()
    with zipfile.ZipFile(arguments.wheel) as wheel:
        for name, (network_type, member) in MODELS.items():
            content = wheel.read(member)
            state = convert(network_type(), read_constants(content))
            origin = {
                "wheel": arguments.wheel.name,
                "wheel_sha256": wheel_digest,
                "file": member,
                "file_sha256": hashlib.sha256(content).hexdigest(),
                "licence": "Apache-2.0, Copyright The MediaPipe Authors",
            }
            path = arguments.out / f"{name}.safetensors"
            # One entry only: safetensors writes several in no fixed order.
            path.write_bytes(save(state, metadata={"origin": json.dumps(origin, sort_keys=True)}))
            count = sum(tensor.numel() for tensor in state.values())
            print(f"{path}: {count:,} parameters, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


def read_constants(content: bytes) -> dict[str, Tensor]:
    """The float16 constants of a .tflite file by name."""
    model = tflite.Model.GetRootAsModel(content, 0)
    graph = model.Subgraphs(0)
    constants = {}
    for index in range(graph.TensorsLength()):
        tensor = graph.Tensors(index)
        buffer = model.Buffers(tensor.Buffer())
        if tensor.Type() == tflite.TensorType.FLOAT16 and buffer.DataLength():
            values = np.frombuffer(buffer.DataAsNumpy().tobytes(), np.float16).reshape(tensor.ShapeAsNumpy())
            constants[tensor.Name().decode()] = torch.from_numpy(values.copy())
    return constants


def convert(network: nn.Module, constants: dict[str, Tensor]) -> dict[str, Tensor]:
    """Lay the constants out as the network's state. Raises KeyError or ValueError if they do not match."""
    counts = {"conv2d": 0, "depthwise_conv2d": 0, "p_re_lu": 0}
    state: dict[str, Tensor] = {}
    left = dict(constants)

    def layer(name: str, kind: str) -> str:
        if name in OUTPUT_LAYERS:
            return OUTPUT_LAYERS[name]
        number = counts[kind]
        counts[kind] += 1
        return f"{kind}_{number}" if number else kind

    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            depthwise = module.groups > 1
            source = layer(name, "depthwise_conv2d" if depthwise else "conv2d")
            # (1, height, width, channels) or (out, height, width, in) → torch's (out, in / groups, height, width)
            order = (3, 0, 1, 2) if depthwise else (0, 3, 1, 2)
            state[f"{name}.weight"] = left.pop(f"{source}/Kernel").permute(order).contiguous()
            state[f"{name}.bias"] = left.pop(f"{source}/Bias")
        elif isinstance(module, nn.PReLU):
            state[f"{name}.weight"] = left.pop(f"{layer(name, 'p_re_lu')}/Alpha").flatten()
    expected = network.state_dict()
    wrong = [name for name in expected if name not in state or state[name].shape != expected[name].shape]
    if wrong:
        raise ValueError(f"these do not fit {type(network).__name__}: {wrong}")
    if any(name.endswith(("/Kernel", "/Bias", "/Alpha")) for name in left):
        raise ValueError(f"the file holds layers that {type(network).__name__} lacks: {sorted(left)}")
    return state


if __name__ == "__main__":
    main()
