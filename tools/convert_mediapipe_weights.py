"""Write perception/weights/{blazeface,blazeface_full_range,face_mesh}.safetensors from the mediapipe 0.10.21 wheel.

    pip download mediapipe==0.10.21 --no-deps     # needs Python 3.9 to 3.12
    pip install tflite
    python tools/convert_mediapipe_weights.py mediapipe-0.10.21-*.whl

The numbers are copied bit by bit (they are float16 in the wheel); only the axes are put in torch's order. The
same wheel gives the same bytes. Any platform's wheel holds the same three models.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tflite
import torch
from safetensors.torch import save
from torch import Tensor, nn

from perception_clip.perception import weight_files
from perception_clip.perception.landmarks.blazeface import BlazeFace
from perception_clip.perception.landmarks.blazeface_full_range import INPUT_SIZE, BlazeFaceFullRange
from perception_clip.perception.landmarks.face_mesh import FaceMesh

State = dict[str, Tensor]
FOLDER = "mediapipe/modules"
# The original names its output layers; all others are numbered by kind, in the order in which the network was built,
# which is also the order of the pack's modules.
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
    parser.add_argument("--out", type=Path, default=weight_files.FOLDER, help="folder for the three files")
    arguments = parser.parse_args()
    wheel_digest = hashlib.sha256(arguments.wheel.read_bytes()).hexdigest()
    with zipfile.ZipFile(arguments.wheel) as wheel:
        for name, (member, convert) in MODELS.items():
            content = wheel.read(member)
            state = convert(tflite.Model.GetRootAsModel(content, 0))
            origin = {
                "wheel": arguments.wheel.name,
                "wheel_sha256": wheel_digest,
                "file": member,
                "file_sha256": hashlib.sha256(content).hexdigest(),
                "licence": "Apache-2.0, Copyright The MediaPipe Authors",
            }
            path = arguments.out / f"{name}.safetensors"
            # One metadata entry only: safetensors writes several in no fixed order.
            path.write_bytes(save(state, metadata={"origin": json.dumps(origin, sort_keys=True)}))
            count = sum(tensor.numel() for tensor in state.values())
            print(f"{path}: {count:,} parameters, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


def by_name(network: nn.Module, model: tflite.Model) -> State:
    """Return the state of a network whose original has layer names. Raises KeyError or ValueError on a mismatch."""
    counts = {"conv2d": 0, "depthwise_conv2d": 0, "p_re_lu": 0}
    state: State = {}
    left = read_constants(model)

    def layer(name: str, kind: str) -> str:
        if name in OUTPUT_LAYERS:
            return OUTPUT_LAYERS[name]
        number = counts[kind]
        counts[kind] += 1
        return f"{kind}_{number}" if number else kind

    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            source = layer(name, "depthwise_conv2d" if module.groups > 1 else "conv2d")
            state[f"{name}.weight"] = kernel(module, left.pop(f"{source}/Kernel"))
            state[f"{name}.bias"] = left.pop(f"{source}/Bias")
        elif isinstance(module, nn.PReLU):
            state[f"{name}.weight"] = left.pop(f"{layer(name, 'p_re_lu')}/Alpha").flatten()
    if any(name.endswith(("/Kernel", "/Bias", "/Alpha")) for name in left):
        raise ValueError(f"the file holds layers that {type(network).__name__} lacks: {sorted(left)}")
    return check(network, state)


def by_order(network: nn.Module, model: tflite.Model, size: int) -> State:
    """Return the state of a network that runs its convolutions in the original order; otherwise raise ValueError."""
    running: list[tuple[str, nn.Conv2d]] = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_pre_hook(lambda module, _, name=name: running.append((name, module)))
    with torch.no_grad():
        network(torch.zeros(1, 3, size, size))
    constants = read_convolutions(model)
    state: State = {}
    for (name, module), (weight, bias) in zip(running, constants, strict=True):
        state[f"{name}.weight"], state[f"{name}.bias"] = kernel(module, weight), bias
    return check(network, state)


def kernel(module: nn.Conv2d, weight: Tensor) -> Tensor:
    """Return for torch a TensorFlow kernel, (1, H, W, channels) if depthwise, else (out, H, W, in)."""
    return weight.permute((3, 0, 1, 2) if module.groups > 1 else (0, 3, 1, 2)).contiguous()


def check(network: nn.Module, state: State) -> State:
    expected = network.state_dict()
    wrong = [name for name in expected if name not in state or state[name].shape != expected[name].shape]
    if wrong:
        raise ValueError(f"these do not fit {type(network).__name__}: {wrong}")
    return state


def read_constants(model: tflite.Model) -> State:
    """Return the float16 constants of a .tflite file by name."""
    graph = model.Subgraphs(0)
    tensors = [graph.Tensors(index) for index in range(graph.TensorsLength())]
    return {tensor.Name().decode(): read_constant(model, tensor) for tensor in tensors if is_constant(model, tensor)}


def read_convolutions(model: tflite.Model) -> list[tuple[Tensor, Tensor]]:
    """Return kernel and bias of every convolution of a .tflite file, in execution order."""
    graph = model.Subgraphs(0)
    operators = [graph.Operators(index) for index in range(graph.OperatorsLength())]
    makers = {operator.Outputs(0): operator for operator in operators}

    def constant(index: int) -> Tensor:
        while not is_constant(model, graph.Tensors(index)):  # it passes through DENSIFY and DEQUANTIZE first
            index = makers[index].Inputs(0)
        return read_constant(model, graph.Tensors(index))

    kinds = (tflite.BuiltinOperator.CONV_2D, tflite.BuiltinOperator.DEPTHWISE_CONV_2D)
    convolutions = [o for o in operators if model.OperatorCodes(o.OpcodeIndex()).DeprecatedBuiltinCode() in kinds]
    return [(constant(operator.Inputs(1)), constant(operator.Inputs(2))) for operator in convolutions]


def is_constant(model: tflite.Model, tensor: tflite.Tensor) -> bool:
    return tensor.Type() == tflite.TensorType.FLOAT16 and model.Buffers(tensor.Buffer()).DataLength() > 0


def read_constant(model: tflite.Model, tensor: tflite.Tensor) -> Tensor:
    values = np.frombuffer(model.Buffers(tensor.Buffer()).DataAsNumpy().tobytes(), np.float16)
    if tensor.Sparsity() is not None:
        values = densify(values, tensor.Sparsity(), tensor.ShapeAsNumpy())
    shape = tensor.ShapeAsNumpy() if tensor.ShapeLength() else ()  # a single number has no shape
    return torch.from_numpy(values.reshape(shape).copy())


def densify(values: np.ndarray, sparsity: tflite.SparsityParameters, shape: np.ndarray) -> np.ndarray:
    """Return a dense tensor (out, 1, 1, in) from compressed rows, which store only nonzero entries."""
    *dense, last = (sparsity.DimMetadata(axis) for axis in range(sparsity.DimMetadataLength()))
    plain = sparsity.TraversalOrderAsNumpy().tolist() == [0, 1, 2, 3] and not sparsity.BlockMapLength()
    if not plain or any(d.Format() != tflite.DimensionType.DENSE for d in dense) or shape[1:3].tolist() != [1, 1]:
        raise ValueError(f"a sparse tensor of shape {shape.tolist()} is stored in a way that is not read here")
    ends = read_indices(last.ArraySegmentsType(), last.ArraySegments())
    columns = read_indices(last.ArrayIndicesType(), last.ArrayIndices())
    full = np.zeros((shape[0], shape[3]), values.dtype)
    full[np.repeat(np.arange(shape[0]), np.diff(ends)), columns] = values
    return full


def read_indices(kind: int, table: tflite.Table) -> np.ndarray:
    """Return a list of integers of a sparse tensor, stored in as few bytes as possible."""
    readers = {
        tflite.SparseIndexVector.Int32Vector: tflite.Int32Vector,
        tflite.SparseIndexVector.Uint16Vector: tflite.Uint16Vector,
        tflite.SparseIndexVector.Uint8Vector: tflite.Uint8Vector,
    }
    vector = readers[kind]()
    vector.Init(table.Bytes, table.Pos)
    return vector.ValuesAsNumpy().astype(np.int64)


MODELS: dict[str, tuple[str, Callable[[tflite.Model], State]]] = {
    "blazeface": (
        f"{FOLDER}/face_detection/face_detection_short_range.tflite",
        lambda model: by_name(BlazeFace(), model),
    ),
    "blazeface_full_range": (
        f"{FOLDER}/face_detection/face_detection_full_range_sparse.tflite",
        lambda model: by_order(BlazeFaceFullRange(), model, INPUT_SIZE),
    ),
    "face_mesh": (
        f"{FOLDER}/face_landmark/face_landmark_with_attention.tflite",
        lambda model: by_name(FaceMesh(), model),
    ),
}


if __name__ == "__main__":
    main()
