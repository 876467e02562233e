"""A real ComfyUI, started headless in a temporary folder, and the few calls that the tests make to it."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FROM_LINK = "(from the link)"  # the drop-down of a file that is not chosen
ROOT = Path(__file__).resolve().parents[2]
PACK = "perception.clip-pack"  # an odd folder name on purpose: a dot and a dash
START_SECONDS = 180
RUN_SECONDS = 600
REQUEST_SECONDS = 120  # of one request: on a busy machine the server may be slow to answer
NOT_INSTALLED = {"tests", "tools", "benchmarks", "build", "dist"}

Graph = dict[str, dict[str, Any]]


def entry(kind: str, /, **inputs: Any) -> dict[str, Any]:
    """Return a node for a graph: its type, and its widgets and links by name."""
    return {"class_type": kind, "inputs": inputs}


@dataclass(frozen=True)
class Result:
    """What /history says of one prompt."""

    host: Host
    entry: dict[str, Any]

    @property
    def succeeded(self) -> bool:
        return self.entry["status"]["status_str"] == "success"

    @property
    def message(self) -> str:
        """The error that the user sees, or nothing."""
        for event, data in self.entry["status"]["messages"]:
            if event == "execution_error":
                return str(data["exception_message"])
        return ""

    @property
    def events(self) -> list[str]:
        return [event for event, _ in self.entry["status"]["messages"]]

    def output(self, node: str) -> dict[str, Any]:
        assert self.succeeded, self.message
        return self.entry["outputs"][node]  # type: ignore[no-any-return]

    def text(self, node: str) -> str:
        return "\n".join(self.output(node)["text"])

    def picture(self, node: str, index: int = 0) -> np.ndarray:
        """A saved or previewed picture, (H, W, 3) uint8."""
        query = urllib.parse.urlencode(self.output(node)["images"][index])
        with Image.open(io.BytesIO(self.host.read(f"/view?{query}"))) as image:
            return np.asarray(image.convert("RGB"))


class Host:
    """The server process. `base` is its base directory, with models/, input/, output/, user/ in it."""

    def __init__(self, checkout: Path, python: Path, base: Path) -> None:
        self.checkout, self.python, self.base = checkout, python, base
        self.pack = install_pack(base)
        self.models = base / "models" / "perception_clip"
        self.datasets = base / "user" / "__perception_clip" / "datasets"
        self.log = base / "server.log"
        self.has_weights = False
        self.front_end: Path | None = None  # None: the one that the host's Python has
        for folder in ("input", "output", "temp", "user", "models/checkpoints"):
            (base / folder).mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        arguments = [
            *("--cpu", "--disable-api-nodes", "--disable-auto-launch", "--preview-method", "none"),
            *("--base-directory", str(self.base), "--listen", "127.0.0.1", "--port", str(self.port)),
            *("--database-url", f"sqlite:///{self.base / 'comfyui.db'}"),
            *(("--front-end-root", str(self.front_end)) if self.front_end else ()),
        ]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [str(self.python), str(self.checkout / "main.py"), *arguments],
                cwd=self.base,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "HF_HUB_OFFLINE": "1"},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                self.read("/system_stats")
                return
            except OSError:
                time.sleep(0.2)
        self.stop()
        raise RuntimeError(f"ComfyUI in {self.checkout} did not start:\n{self.tail()}")

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    def tail(self, characters: int = 6000) -> str:
        return self.log.read_text(errors="replace")[-characters:]

    def loads(self) -> list[str]:
        """Every line of the log that says that a model was loaded."""
        words = re.compile("Perception CLIP: loaded|Requested to load")  # after a level in newer versions of ComfyUI
        return [line for line in self.log.read_text(errors="replace").splitlines() if words.search(line)]

    def read(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=REQUEST_SECONDS) as response:
            return response.read()  # type: ignore[no-any-return]

    def get(self, path: str) -> Any:
        return json.loads(self.read(path))

    def defaults(self, node: str) -> dict[str, Any]:
        """What the node's widgets hold if nobody changes them."""
        inputs = self.get(f"/object_info/{node}")[node]["input"]["required"]
        return {name: options["default"] for name, (_, options) in inputs.items() if "default" in options}

    def post(self, path: str, body: object) -> Any:
        """The decoded answer; a refusal (status 400) is an answer too."""
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as response:
                answer = response.read()
        except urllib.error.HTTPError as error:
            answer = error.read()
        return json.loads(answer) if answer else None

    def put_picture(self, name: str, pixels: np.ndarray) -> str:
        """Save a picture in ComfyUI's input folder; return the name to load."""
        Image.fromarray(pixels).save(self.base / "input" / name)
        return name

    def queue(self, graph: Graph, client: str | None = None) -> str:
        answer = self.post("/prompt", {"prompt": graph} | ({"client_id": client} if client else {}))
        assert "prompt_id" in answer, answer
        return str(answer["prompt_id"])

    def wait(self, prompt: str, seconds: float = RUN_SECONDS) -> Result:
        """What /history says once the prompt has ended. One that takes longer than `seconds` is cancelled, so that it
        does not hold up the tests that follow."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            entry = self.get(f"/history/{prompt}").get(prompt)
            if entry is not None:
                return Result(self, entry)
            assert self.process.poll() is None, f"ComfyUI died:\n{self.tail()}"
            time.sleep(0.05)
        self.cancel()
        raise TimeoutError(f"prompt {prompt} took more than {seconds} s:\n{self.tail()}")

    def cancel(self) -> None:
        """Empty the queue and interrupt what runs, until nothing runs any more."""
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            self.post("/queue", {"clear": True})
            self.post("/interrupt", {})
            queue = self.get("/queue")
            if not queue["queue_running"] and not queue["queue_pending"]:
                return
            assert self.process.poll() is None, f"ComfyUI died:\n{self.tail()}"
            time.sleep(0.2)
        raise TimeoutError(f"ComfyUI could not be interrupted within {RUN_SECONDS} s:\n{self.tail()}")

    def run(self, graph: Graph) -> Result:
        return self.wait(self.queue(graph))

    def free(self, *, models: bool = True) -> None:
        """Make ComfyUI forget its results, and its models too. It does so between two prompts: after this one."""
        self.post("/free", {"free_memory": True, "unload_models": models})
        self.run({"nothing": entry("Probe_LoadedModels")})

    def refusal(self, graph: Graph) -> str:
        """Why a graph is not queued, or else the error of its run."""
        answer = self.post("/prompt", {"prompt": graph})
        if "error" in answer or answer["node_errors"]:
            return json.dumps(answer, ensure_ascii=False)
        return self.wait(answer["prompt_id"]).message

    def refuses_choice(self, graph: Graph, widget: str, value: str) -> bool:
        """Whether a drop-down's value is refused by name: by newer versions of ComfyUI, or else by the node."""
        return re.search(f"{widget}(:| cannot be) {re.escape(repr(value))}", self.refusal(graph)) is not None

    def has_package(self, name: str) -> bool:
        """Whether the host's own Python can import a package."""
        return subprocess.run([str(self.python), "-c", f"import {name}"], capture_output=True).returncode == 0

    def training(self, *arguments: str | int | Path) -> str:
        """Run `python -m training …` in the pack's folder with the host's own Python; return what it printed."""
        done = subprocess.run(
            [str(self.python), "-m", "training", *map(str, arguments)],
            cwd=self.pack,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


def install_pack(base: Path) -> Path:
    """Link the pack into custom_nodes. The link leads to a copy, whose checkpoints are the test's own."""
    copy = base / "pack"
    copy.mkdir()
    for entry in ROOT.iterdir():
        if entry.is_dir() and entry.name not in NOT_INSTALLED and not entry.name.startswith("."):
            shutil.copytree(entry, copy / entry.name, ignore=shutil.ignore_patterns("__pycache__", "best_model*"))
        elif entry.is_file():
            shutil.copy(entry, copy)
    folder = base / "custom_nodes" / PACK
    folder.parent.mkdir()
    folder.symlink_to(copy)
    (folder.parent / "probe").mkdir()
    shutil.copy(Path(__file__).parent / "probe_nodes.py", folder.parent / "probe" / "__init__.py")
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
