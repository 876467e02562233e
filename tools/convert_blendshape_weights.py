"""Make perception/weights/actions.safetensors from MediaPipe's Face Landmarker, float16/1.

    pip install tflite
    python tools/convert_blendshape_weights.py face_landmarker.task

https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task holds
face_blendshapes.tflite. Its numbers, float16, are copied bit by bit: the same file gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import zipfile
from pathlib import Path

import tflite
from convert_mediapipe_weights import State, check, read_constants
from safetensors.torch import save

from perception_clip.perception import weight_files
from perception_clip.perception.actions.names import ACTIONS
from perception_clip.perception.actions.network import BLOCKS, ActionNetwork

MEMBER = "face_blendshapes.tflite"
MODEL = "model_1/GhumMarkerPoserMlpMixerGeneral"
MIXER = f"{MODEL}/MLPMixer"
# Our layer → where the original keeps its kernel and, below another name, its bias.
LAYERS = {
    "tokens": f"{MODEL}/conv2d",
    "channels": f"{MIXER}/input_tokens_embedding",
    "output": f"{MODEL}/output_blendweights",
}
for block in range(BLOCKS):
    for kind, name in (("token", "tokens"), ("channel", "channels")):
        LAYERS[f"blocks.{block}.{name}_in"] = f"{MIXER}/MixerBlock_{block}/mlp_{kind}_mixing/Mlp_1"
        LAYERS[f"blocks.{block}.{name}_out"] = f"{MIXER}/MixerBlock_{block}/mlp_{kind}_mixing/Mlp_2"
NORMS = {
    f"blocks.{block}.{kind}_norm.weight": f"{MIXER}/MixerBlock_{block}/layer_norm{number}/batchnorm/mul/ReadVariableOp"
    for block in range(BLOCKS)
    for number, kind in ((1, "token"), (2, "channel"))
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", type=Path, help="face_landmarker.task")
    parser.add_argument("--out", type=Path, default=weight_files.FOLDER / "actions.safetensors")
    arguments = parser.parse_args()
    with zipfile.ZipFile(arguments.task) as bundle:
        content = bundle.read(MEMBER)
    state = convert(content)
    origin = {
        "bundle": arguments.task.name,
        "bundle_sha256": hashlib.sha256(arguments.task.read_bytes()).hexdigest(),
        "file": MEMBER,
        "file_sha256": hashlib.sha256(content).hexdigest(),
        "licence": "Apache-2.0, Copyright The MediaPipe Authors",
    }
    arguments.out.write_bytes(save(state, metadata={"origin": json.dumps(origin, sort_keys=True)}))
    count = sum(tensor.numel() for tensor in state.values())
    digest = hashlib.sha256(arguments.out.read_bytes()).hexdigest()
    print(f"{arguments.out}: {count:,} parameters, SHA-256 {digest}")


def convert(content: bytes) -> State:
    """Return the network's state. Raises KeyError or ValueError if the file holds another network."""
    constants = read_constants(tflite.Model.GetRootAsModel(content, 0))
    state: State = {}
    for layer, source in LAYERS.items():
        weight = constants[f"{source}/Conv2D"]  # (out, 1, 1, in)
        state[f"{layer}.weight"] = weight.flatten(1)
        state[f"{layer}.bias"] = constants[f"{source}/BiasAdd/ReadVariableOp"]
    state |= {name: constants[source] for name, source in NORMS.items()}
    state["summary"] = constants[f"{MIXER}/AddExtraTokens/strided_slice_1"].flatten()
    [scale] = [name for name in constants if name.startswith(f"{MODEL}/tf.math.truediv")]
    state["scale"] = constants[scale]
    return check(ActionNetwork(len(ACTIONS)), state)


if __name__ == "__main__":
    main()
