"""Write perception/weights/tesselation.safetensors: the triangles of MediaPipe's face mesh.

    pip download mediapipe==0.10.21 --no-deps     # needs Python 3.9 to 3.12
    python tools/extract_tesselation.py mediapipe-0.10.21-*.whl

The wheel lists the three edges of each triangle one after another; their start points are the triangle. The same wheel
gives the same bytes. No code from the wheel is run.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import zipfile
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from perception_clip.perception import weight_files

MEMBER = "mediapipe/python/solutions/face_mesh_connections.py"
NAME = "FACEMESH_TESSELATION"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="the mediapipe 0.10.21 wheel")
    parser.add_argument("--out", type=Path, default=weight_files.FOLDER, help="folder for the file")
    arguments = parser.parse_args()
    with zipfile.ZipFile(arguments.wheel) as wheel:
        content = wheel.read(MEMBER)
    triangles = read_triangles(content.decode())
    origin = {
        "wheel": arguments.wheel.name,
        "wheel_sha256": hashlib.sha256(arguments.wheel.read_bytes()).hexdigest(),
        "file": MEMBER,
        "file_sha256": hashlib.sha256(content).hexdigest(),
        "licence": "Apache-2.0, Copyright The MediaPipe Authors",
    }
    path = arguments.out / "tesselation.safetensors"
    path.write_bytes(save({"triangles": triangles}, metadata={"origin": json.dumps(origin, sort_keys=True)}))
    print(f"{path}: {len(triangles)} triangles, SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


def read_triangles(source: str) -> Tensor:
    """Return the (T, 3) int16 triangles in the text of MediaPipe's module. Raises ValueError if they are missing."""
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == NAME:
            call = statement.value
            if isinstance(call, ast.Call) and len(call.args) == 1:
                edges = torch.tensor(ast.literal_eval(call.args[0]), dtype=torch.int16).reshape(-1, 3, 2)
                if not torch.equal(edges[:, :, 1], edges[:, :, 0].roll(-1, dims=1)):
                    raise ValueError(f"the edges of {NAME} in {MEMBER} are not in triangles, three by three")
                return edges[:, :, 0].contiguous()
    raise ValueError(f"{MEMBER} has no list of edges called {NAME}")


if __name__ == "__main__":
    main()
