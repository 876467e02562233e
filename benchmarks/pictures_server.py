"""What `pictures.py` asks of a running ComfyUI: its nodes, its files' hashes, and pictures."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open

Graph = dict[str, dict[str, Any]]

POLL = 0.2  # seconds
LARGE, SAMPLED = 24, 200_000  # tensors that are looked at for random weights, and numbers of each
# Kurtosis of numbers drawn at random: 3 from a normal distribution, 1.8 from a uniform one. Training makes the tails of
# weights heavier.
RANDOM_KURTOSIS, NEAR = (3.0, 1.8), 0.04


class Server:
    """A running ComfyUI with the pack."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        try:
            self.nodes: dict[str, Any] = self._get("/object_info")
            self.system: dict[str, Any] = self._get("/system_stats")["system"]
        except OSError as error:
            sys.exit(f"no ComfyUI answers at {self.url} ({error}); start it, or give its address with --server")
        if "PerceptionClip_FacePerception" not in self.nodes:
            sys.exit(f"the ComfyUI at {self.url} does not have Perception CLIP; install the pack there and restart it")

    def choices(self, node: str, name: str) -> list[str]:
        """Return the choices of a drop-down; nothing if the node does not have it."""
        kind = self._inputs(node).get(name, [[]])
        if isinstance(kind[0], list):
            return list(kind[0])
        return list(kind[1].get("options", [])) if kind[0] == "COMBO" else []

    def default(self, node: str, name: str) -> Any:
        """Return the default of a widget."""
        return self._inputs(node)[name][1]["default"]

    def node(self, kind: str, **inputs: Any) -> dict[str, Any]:
        """Return a node for a graph; widgets that are not named have their defaults."""
        values = {}
        for name, (what, *options) in self.nodes[kind]["input"].get("required", {}).items():
            settings = options[0] if options else {}
            choices = what if isinstance(what, list) else settings.get("options")
            if "default" in settings:
                values[name] = settings["default"]
            elif choices:
                values[name] = choices[0]
        return {"class_type": kind, "inputs": values | inputs}

    def upload(self, path: Path) -> str:
        """Copy a picture into ComfyUI's input folder; return its name there."""
        boundary = "perception-clip-pictures"
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{path.name}"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        )
        rest = (
            f'\r\n--{boundary}\r\nContent-Disposition: form-data; name="subfolder"\r\n\r\nperception_clip_benchmark\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="overwrite"\r\n\r\ntrue\r\n--{boundary}--\r\n'
        )
        body = head.encode() + path.read_bytes() + rest.encode()
        answer = self._post("/upload/image", body, f"multipart/form-data; boundary={boundary}")
        return f"{answer['subfolder']}/{answer['name']}" if answer.get("subfolder") else str(answer["name"])

    def picture(self, graph: Graph, node: str) -> Image.Image:
        """Run a graph and return the picture that a node shows. Raises RuntimeError with the server's message."""
        answer = self._post("/prompt", json.dumps({"prompt": graph}).encode(), "application/json")
        if "prompt_id" not in answer:
            raise RuntimeError(f"ComfyUI refuses the graph: {json.dumps(answer)[:2000]}")
        entry = self._finished(answer["prompt_id"])
        for event, data in entry["status"]["messages"]:
            if event == "execution_error":
                raise RuntimeError(f"{data['node_type']}: {data['exception_message']}")
        if node not in entry["outputs"]:
            raise RuntimeError("ComfyUI was interrupted before the picture was finished")
        query = urllib.parse.urlencode(entry["outputs"][node]["images"][0])
        with Image.open(io.BytesIO(self._read(f"/view?{query}"))) as image:
            return image.convert("RGB")

    def _finished(self, prompt: str) -> dict[str, Any]:
        """Wait for a prompt; return its entry in the history. Raises RuntimeError if it leaves the queue without."""
        while True:
            queue = self._get("/queue")  # before the history: a prompt goes from the one to the other
            entry: dict[str, Any] | None = self._get(f"/history/{prompt}").get(prompt)
            if entry is not None:
                return entry
            if not any(prompt in item for state in queue.values() for item in state):
                raise RuntimeError("the picture was removed from ComfyUI's queue")
            time.sleep(POLL)

    def file(self, kind: str, name: str) -> Path | None:
        """Return a model file of the server by its kind, such as checkpoints; None if it is on another machine."""
        try:
            folders = self._get("/internal/folder_paths").get(kind, [])
        except OSError:
            return None
        paths = (Path(folder) / name for folder in folders)
        return next((path for path in paths if path.is_file()), None)

    def _inputs(self, node: str) -> dict[str, Any]:
        inputs = self.nodes[node]["input"]
        return {**inputs.get("required", {}), **inputs.get("optional", {})}

    def _read(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=60) as response:
            return bytes(response.read())

    def _get(self, path: str) -> Any:
        return json.loads(self._read(path))

    def _post(self, path: str, body: bytes, kind: str) -> Any:
        request = urllib.request.Request(self.url + path, body, {"Content-Type": kind})
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.loads(response.read())
        except urllib.error.HTTPError as error:
            return json.loads(error.read() or b"{}")


def sha256(path: Path | None) -> str | None:
    """Return the hash of a file; None for no file."""
    if path is None:
        return None
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 24):
            digest.update(part)
    return digest.hexdigest()


def random_weights(path: Path | None) -> bool | None:
    """Return whether a checkpoint's weights look drawn at random, not trained; None if the file cannot be read."""
    if path is None or path.suffix != ".safetensors":
        return None
    kurtoses = []
    with safe_open(path, "pt") as file:
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118  (not a dict)
        large = [name for name, shape in shapes.items() if len(shape) > 1 and int(np.prod(shape)) >= SAMPLED]
        for name in large[:: max(len(large) // LARGE, 1)]:
            values = file.get_tensor(name).flatten()[:SAMPLED].double()
            values = (values - values.mean()) / values.std().clamp_min(1e-12)
            kurtoses.append(float(values.pow(4).mean()))
    if not kurtoses:
        return None
    drawn = [min(abs(kurtosis - random) for random in RANDOM_KURTOSIS) < NEAR for kurtosis in kurtoses]
    return bool(torch.tensor(drawn).float().mean() > 0.8)
