"""Compare training with a plain loop and with the speed of its matrix products; train on a file larger than memory.

    python benchmarks/training.py [--rounds 5] [--gigabytes 1] [--folder FOLDER] [--only quality throughput memory cuda]

20,000 rows: the faces and composite prompts of projection_quality.py, the faces repeated with the landmarker's noise.

- quality: the total time until training, with its defaults, reaches the validation quality of 10 epochs of a plain
  loop: DataLoader over a TensorDataset, batches of 32, Adam at 1e-4, the same network and loss. The plain loop starts
  from random weights; measuring the statistics of the features is not counted. The strong plain loop has precomputed
  features.
- throughput: an epoch at the default preset compared with its matrix products alone, of the same shapes.
- memory: `fit` on a memory-mapped NPZ in a separate process; its memory is read from the system ten times a second.
- cuda: the same quality on a CUDA device, and the steps of an epoch while torch raises an error on synchronization.

Compared methods take turns. Everything is pinned to two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from inputs import need
from projection_quality import SHARED, Faces, drawn, load_faces
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from perception_clip.common import threads
from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.projection.network import ProjectionNetwork
from perception_clip.training.dataset.npz import load
from perception_clip.training.dataset.npz_file import Member, write
from perception_clip.training.fitting import fit
from perception_clip.training.learning import trainer
from perception_clip.training.learning.data import TrainingData, make_table, training_data
from perception_clip.training.learning.run import Epoch, validate
from perception_clip.training.learning.settings import Settings
from perception_clip.training.learning.split import Split, split_rows
from perception_clip.training.learning.trainer import losses, new_network, train

CORES = 2
ROWS = 20_000
NOISE = 1e-3  # of repeated faces' landmarks, in picture widths
PLAIN_EPOCHS, PLAIN_BATCH, PLAIN_RATE = 10, 32, 1e-4
TIMED = 5  # epochs in a round; the first of all is not counted
REPEATS = 8  # of the matrix products of a step
PIECE = 4096  # rows written at once
PARTS = ("quality", "throughput", "memory", "cuda")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=SHARED, help="folder with the faces and the text vectors")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each timing (default: %(default)s)")
    parser.add_argument("--gigabytes", type=float, default=1.0, help="size of the NPZ (default: %(default)s)")
    parser.add_argument("--own-targets", action="store_true", help="give each row of the NPZ a separate target")
    parser.add_argument("--folder", type=Path, help="where to write the NPZ (default: temporary)")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--fit", type=Path, nargs=2, help=argparse.SUPPRESS)  # used for the separate process
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    torch.set_num_threads(CORES)
    if arguments.fit:
        fit(load(arguments.fit[0]), arguments.fit[1], Settings(epochs=1))
        return
    for name in ("expression_landmarks.npz", "clip_l14_pooled.npz"):
        need(arguments.data / name, "give the folder that contains it with --data")
    print(f"{time.strftime('%d %B %Y')}, {CORES} of {os.cpu_count()} cores, torch {torch.__version__}\n")
    faces = load_faces(arguments.data / "expression_landmarks.npz")
    data, rows = repeated(faces, arguments.data / "clip_l14_pooled.npz")
    if "quality" in arguments.only:
        compare_quality(data, rows, Settings(), arguments.rounds)
    if "throughput" in arguments.only:
        compare_throughput(data, rows, arguments.rounds)
    if "memory" in arguments.only:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            measure_memory(data, Path(folder), arguments.gigabytes, arguments.own_targets)
    if "cuda" in arguments.only:
        if torch.cuda.is_available():
            compare_quality(data, rows, Settings(device="cuda"), arguments.rounds)
            forbid_waiting(data, rows)
        else:
            print("cuda: skipped, this machine has no CUDA device")


def repeated(faces: Faces, vectors: Path) -> tuple[TrainingData, Split]:
    """Return `ROWS` rows and their split: the faces repeated, with noise. Copies of a face are on the same side."""
    number = torch.arange(ROWS) % len(faces.vectors)
    copied = faces.vectors[number]
    noise = torch.randn(ROWS - len(faces.vectors), 478 * 3, generator=torch.Generator().manual_seed(0))
    copied[len(faces.vectors) :, : 478 * 3] += noise * NOISE
    groups = [faces.groups[row] for row in number.tolist()]
    data = drawn(Faces(copied, faces.image_sizes[number], faces.prompts[number], groups), vectors, 0)
    return data, split_rows(groups, ROWS, 0, prompts=data.target_index.tolist())


# --- quality ---------------------------------------------------------------------------------------------------


def compare_quality(data: TrainingData, rows: Split, settings: Settings, rounds: int) -> None:
    plain, strong, ours = [], [], []
    for _ in range(rounds):
        seconds, reached = plain_loop(data, rows, settings.device, prepared=False)
        plain.append(seconds)
        strong.append(plain_loop(data, rows, settings.device, prepared=True)[0])
        ours.append(time_until(reached, data, rows, settings))
    print(f"| validation quality of {reached:.3f} on {settings.device} | seconds | of the plain loop's time |")
    print("|---|---|---|")
    print(f"| plain loop, {PLAIN_EPOCHS} epochs | {spread(plain)} | |")
    print(f"| … with precomputed features | {spread(strong)} | {ratios(strong, plain)} |")
    print(f"| **training**, until it is equally good | {spread(ours)} | **{ratios(ours, plain)}** |")
    print(f"| … relative to the loop with features | | {ratios(ours, strong)} |\n", flush=True)


def plain_loop(data: TrainingData, rows: Split, device: str, prepared: bool) -> tuple[float, float]:
    """Run a straightforward loop; return the seconds of its 10 epochs, and the best quality after any of them."""
    torch.manual_seed(0)
    network = untrained(data, rows).to(device)
    validation = make_table(network, data, rows.validation)
    started = time.perf_counter()
    inputs: tuple[Tensor, ...] = (data.vectors[rows.train], data.image_sizes[rows.train])
    if prepared:
        inputs = (make_table(network, data, rows.train).features.cpu(),)
    targets = (data.targets[rows.train] - network.target_mean.cpu()) / network.target_scale.cpu()
    loader = DataLoader(TensorDataset(*inputs, targets), batch_size=PLAIN_BATCH, shuffle=True)
    optimizer = torch.optim.Adam(network.parameters(), lr=PLAIN_RATE)
    seconds, best = time.perf_counter() - started, 0.0
    for _ in range(PLAIN_EPOCHS):
        started = time.perf_counter()
        for batch in loader:
            *network_inputs, target = (tensor.to(device) for tensor in batch)
            features = network_inputs[0] if prepared else network.features(*network_inputs)
            predicted = network.standardized(features)
            loss = losses(predicted, target).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            loss.item()  # as for a progress bar
        seconds += time.perf_counter() - started
        best = max(best, threads.run(validate, network, validation)["centered_cosine"])
    return seconds, best


def untrained(data: TrainingData, rows: Split) -> ProjectionNetwork:
    """Return a new network with the statistics of features and targets."""
    return new_network(data, rows, ExpressionModel.load().template, Settings(), None)


class Reached(Exception):  # noqa: N818  # not an error
    pass


def time_until(reached: float, data: TrainingData, rows: Split, settings: Settings) -> float:
    """Return the total seconds, starting from the dataset's tensors, until validation is equally good."""

    def look(epoch: Epoch) -> None:
        if epoch.validation["centered_cosine"] >= reached:
            raise Reached

    started = time.perf_counter()
    fresh = training_data(data.vectors, data.image_sizes, data.targets)
    template = ExpressionModel.load().template
    with suppress(Reached):
        best = train(fresh, rows, template, settings, progress=look).history
        raise SystemExit(f"training never reached {reached:.3f}; after {len(best)} epochs it has {best[-1].validation}")
    return time.perf_counter() - started


# --- throughput ------------------------------------------------------------------------------------------------


def compare_throughput(data: TrainingData, rows: Split, rounds: int) -> None:
    settings = Settings(epochs=TIMED * rounds, patience=TIMED * rounds)
    batch, count = settings.batch_for(len(rows.train)), len(rows.train)
    needed = layers(data, rows)
    products, alone, epochs = products_of(needed, batch), [], []
    ended = [0.0]

    def look(epoch: Epoch) -> None:
        epochs.append(time.perf_counter() - ended[0])
        alone.append(products() * count / batch)
        ended[0] = time.perf_counter()

    train(data, rows, ExpressionModel.load().template, settings, progress=look)
    operations = 2 * count * sum(inputs * outputs * (3 if back else 2) for inputs, outputs, back in needed)
    print(f"| an epoch of {count} rows in batches of {batch}, default preset | seconds | rows/s | GFLOP/s |")
    print("|---|---|---|---|")
    for name, times in (("its matrix products alone", alone[1:]), ("**training**, including validation", epochs[1:])):
        print(f"| {name} | {spread(times)} | {count / median(times):.0f} | {operations / median(times) / 1e9:.0f} |")
    shares = [product / epoch for product, epoch in zip(alone[1:], epochs[1:], strict=True)]
    print(f"\nproducts alone ÷ training: **{spread(shares)}**\n", flush=True)


def layers(data: TrainingData, rows: Split) -> list[tuple[int, int, bool]]:
    """Return (inputs, outputs, whether its input needs a gradient) of each linear layer."""
    network = untrained(data, rows)
    linear = [module for module in network.modules() if isinstance(module, torch.nn.Linear)]
    return [(layer.in_features, layer.out_features, layer is not network.enter) for layer in linear]


def products_of(layers: list[tuple[int, int, bool]], batch: int) -> Callable[[], float]:
    """Return a function that times the matrix products of one step: forward, and backward to weights and inputs.

    The faster of two ways counts: torch's own threads on the whole batch, or one part of it per core, with one thread.
    """

    def matrices_of(rows: int) -> list[tuple[Tensor, Tensor, Tensor, bool]]:
        return [
            (torch.randn(rows, inputs), torch.randn(outputs, inputs), torch.randn(rows, outputs), back)
            for inputs, outputs, back in layers
        ]

    def multiply(matrices: list[tuple[Tensor, Tensor, Tensor, bool]]) -> None:
        for _ in range(REPEATS):
            for x, weight, gradient, back in matrices:
                torch.matmul(x, weight.T)
                torch.matmul(gradient.T, x)
                if back:
                    torch.matmul(gradient, weight)

    whole, parts = matrices_of(batch), [matrices_of(batch // CORES) for _ in range(CORES)]

    def products() -> float:
        started = time.perf_counter()
        multiply(whole)
        together = time.perf_counter() - started
        started = time.perf_counter()
        threads.share(multiply, parts)
        return min(together, time.perf_counter() - started) / REPEATS

    products()
    return products


# --- memory ----------------------------------------------------------------------------------------------------


def measure_memory(data: TrainingData, folder: Path, gigabytes: float, own_targets: bool) -> None:
    path = folder / "training_data.npz"
    count = write_npz(data, path, gigabytes, own_targets)
    print(f"memory: {count} rows, {path.stat().st_size / 1e9:.1f} GB", flush=True)
    started = time.perf_counter()
    command = [sys.executable, __file__, "--fit", str(path), str(folder / "out")]
    peaks = {"VmHWM": 0, "RssAnon": 0, "RssFile": 0, "RssShmem": 0}
    with subprocess.Popen(command) as child:
        while child.poll() is None:
            with suppress(FileNotFoundError, ProcessLookupError):
                for line in Path(f"/proc/{child.pid}/status").read_text().splitlines():
                    name, _, value = line.partition(":")
                    if name in peaks:
                        peaks[name] = max(peaks[name], int(value.split()[0]))
            time.sleep(0.1)
    if child.returncode:
        raise SystemExit(f"fit ended with {child.returncode}")
    metrics = json.loads((folder / "out" / "metrics.json").read_text())
    print("| `fit`, one epoch, with report | MB |\n|---|---|")
    for name, what in (
        ("RssAnon", "**peak private memory (RssAnon)**"),
        ("RssFile", "mapped files (in the system's cache) and libraries"),
        ("RssShmem", "shared"),
        ("VmHWM", "total (VmHWM)"),
    ):
        print(f"| {what} | {peaks[name] / 1000:.0f} |")
    print(f"\n{time.perf_counter() - started:.0f} s; {metrics['evaluated_rows']} rows evaluated\n", flush=True)


def write_npz(data: TrainingData, path: Path, gigabytes: float, own_targets: bool) -> int:
    """Write the rows repeatedly, with different noise each time, up to about that many bytes; return their number."""
    each = 4 * (data.vectors.shape[1] + data.targets.shape[1] + 2) + 4 * 20
    count = int(gigabytes * 1e9 / each)
    random = np.random.default_rng(0)

    def pieces() -> Iterator[Tensor]:
        yield from (torch.arange(start, min(start + PIECE, count)) for start in range(0, count, PIECE))

    def faces() -> Iterator[np.ndarray]:
        for part in pieces():
            vectors = data.vectors[part % len(data)].numpy().copy()
            vectors[:, : 478 * 3] += random.standard_normal((len(vectors), 478 * 3), dtype=np.float32) * NOISE
            yield vectors

    def targets() -> Iterator[np.ndarray]:
        for part in pieces():
            rows = data.targets[part % len(data)].numpy().copy()
            if own_targets:
                rows += random.standard_normal(rows.shape, dtype=np.float32) * 0.1
            yield rows

    def sizes() -> Iterator[np.ndarray]:
        yield from (data.image_sizes[part % len(data)].numpy() for part in pieces())

    def texts(kind: str, of: Callable[[Tensor], Tensor]) -> Iterator[np.ndarray]:
        for part in pieces():
            yield np.array([f"{kind} {number}" for number in of(part).tolist()], dtype="<U14")

    float32, text = np.dtype("<f4"), np.dtype("<U14")
    members = [
        Member("perception_embeddings", float32, (count, data.vectors.shape[1]), faces()),
        Member("clip_embeddings", float32, (count, data.targets.shape[1]), targets()),
        Member("image_sizes", np.dtype("<i4"), (count, 2), sizes()),
        Member("groups", text, (count,), texts("face", lambda part: part % len(data))),
    ]
    if not own_targets:
        prompts = texts("prompt", lambda part: data.target_index[part % len(data)])
        members.append(Member("prompts", text, (count,), prompts))
    write(path, members)
    return count


# --- CUDA ------------------------------------------------------------------------------------------------------


def forbid_waiting(data: TrainingData, rows: Split) -> None:
    """Train two epochs; torch raises an error if the CPU waits for the device between the first step and the end of the
    last.
    """
    losses, check = trainer.losses, trainer._check

    def first(*arguments: Any) -> Tensor:
        torch.cuda.set_sync_debug_mode("error")
        return losses(*arguments)

    def after(*arguments: Any) -> None:
        torch.cuda.set_sync_debug_mode("default")
        check(*arguments)

    with patch.object(trainer, "losses", first), patch.object(trainer, "_check", after):
        train(data, rows, ExpressionModel.load().template, Settings(device="cuda", epochs=2))
    print("cuda: the steps of two epochs never waited for the device\n")


# --- numbers ---------------------------------------------------------------------------------------------------


def spread(values: list[float]) -> str:
    """Return the median (range)."""
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def ratios(values: list[float], others: list[float]) -> str:
    """Return the ratios of values that were measured in turn."""
    return "1/" + spread([other / value for value, other in zip(values, others, strict=True)])


if __name__ == "__main__":
    main()
