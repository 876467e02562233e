"""Time perception beside MediaPipe's Face Landmarker, taking turns in one run; then a video, then a CUDA device.

    python benchmarks/perception.py --task-model face_landmarker.task [--mediapipe-python PATH] [--photos FOLDER]
        [--batch 1 --busy 2] [--video FILE [--loop-minutes 10]]

Without --task-model only the pack is timed. MediaPipe (≥ 0.10.30) may live in another environment: give that one's
Python. All find up to ten faces in the same batch of 512×512 photos on the same two processor cores: the bundled
landmarker, the whole pipeline with emotions, and MediaPipe. The video is perceived, then drawn on and encoded,
frame by frame; repeated for minutes, it shows whether memory grows with its length. With a CUDA device at hand, its
throughput is measured too.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
import torch
from matplotlib import cbook
from PIL import Image
from skimage import data

from perception_clip.perception.drawing.overlay import Overlay
from perception_clip.perception.landmarks.bundled import BundledLandmarker
from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.perception.sequences.run import draw_frames, perceive_video
from perception_clip.perception.sequences.storyboard import Storyboard
from perception_clip.perception.sequences.videos import Video, write_video

SIZE = 512
MAX_FACES = 10
WARM_UP = 3  # rounds
PREVIEWS = 16  # frames that Face Perception Video shows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task-model", type=Path, help="MediaPipe's face_landmarker.task")
    parser.add_argument("--mediapipe-python", type=Path, default=Path(sys.executable), help="default: this Python")
    parser.add_argument("--photos", type=Path, help="a folder of further photos (.jpg, .png)")
    parser.add_argument("--video", type=Path, help="a video file to perceive and draw on")
    parser.add_argument("--loop-minutes", type=float, default=0, help="repeat the video until it is as long as that")
    parser.add_argument("--batch", type=int, default=16, help="pictures per batch (default 16)")
    parser.add_argument("--rounds", type=int, default=25, help="timed batches of each (default 25)")
    parser.add_argument(
        "--busy", type=int, default=0, help="processes that multiply matrices meanwhile, on 2 threads each"
    )
    parser.add_argument("--cores", type=int, default=2, help="processor cores for each (default 2)")
    arguments = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])  # the rival inherits it
    torch.set_num_threads(arguments.cores)

    photos = load_photos(arguments.photos)
    pictures = np.stack([photos[index % len(photos)] for index in range(arguments.batch)])
    tensors = list(torch.from_numpy(pictures))
    print(f"{len(photos)} photos, {arguments.batch} per batch, {SIZE}×{SIZE}, {arguments.cores} cores")
    print(f"Python {platform.python_version()}, torch {torch.__version__}, {platform.machine()}")

    bundled = BundledLandmarker(max_faces=MAX_FACES)
    pipeline = PerceptionPipeline(bundled)
    contestants = {
        "bundled": lambda: time_once(lambda: sum(map(len, bundled.detect(tensors)))),
        "with emotions": lambda: time_once(lambda: len(pipeline(tensors))),
    }
    standard = BundledLandmarker(detector="standard", max_faces=MAX_FACES)
    contestants["bundled, standard"] = lambda: time_once(lambda: sum(map(len, standard.detect(tensors))))
    with busy(arguments.busy), tempfile.TemporaryDirectory() as folder:
        if arguments.task_model is None:
            compare(contestants, arguments.rounds, arguments.batch)
        else:
            np.save(Path(folder, "pictures.npy"), pictures)
            with Rival(arguments.mediapipe_python, arguments.task_model, Path(folder, "pictures.npy")) as rival:
                compare({**contestants, rival.name: rival.time_once}, arguments.rounds, arguments.batch)
    if arguments.video:
        with tempfile.TemporaryDirectory() as folder:
            video = arguments.video
            if arguments.loop_minutes:
                video = looped(video, Path(folder, f"looped_{video.name}"), arguments.loop_minutes)
            measure_video(video, pipeline)
    if torch.cuda.is_available():
        measure_cuda(tensors)
    else:
        print("no CUDA device at hand")


def load_photos(folder: Path | None) -> list[np.ndarray]:
    """The two photos that PyPI packages carry, and those of `folder` with a long side of 256 pixels or more."""
    with cbook.get_sample_data("grace_hopper.jpg") as file, Image.open(file) as image:
        photos = [data.astronaut(), square(image)]
    for path in sorted(folder.iterdir()) if folder else []:
        if path.suffix.lower() in (".jpg", ".jpeg", ".png"):
            with Image.open(path) as image:
                if max(image.size) >= SIZE // 2:
                    photos.append(square(image))
    return photos


def square(image: Image.Image) -> np.ndarray:
    """The upper or middle square of a photo, where faces mostly are, resized to (512, 512, 3) uint8."""
    side = min(image.size)
    left = (image.width - side) // 2
    return np.asarray(image.convert("RGB").resize((SIZE, SIZE), box=(left, 0, left + side, side)))


def time_once(work: Callable[[], int]) -> tuple[float, int]:
    """Seconds for one batch, and the faces found in it."""
    start = time.perf_counter()
    faces = work()
    return time.perf_counter() - start, faces


@contextmanager
def busy(count: int) -> Iterator[None]:
    """While it lasts, `count` other processes multiply matrices, with two threads each."""
    work = "import torch; torch.set_num_threads(2); a = torch.randn(1024, 1024); print(flush=True)\nwhile True: a @ a"
    command = [sys.executable, "-c", work]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(count)]
    try:
        for process in processes:
            process.stdout.readline()  # it has begun
        yield
    finally:
        for process in processes:
            process.kill()
            process.communicate()


class Rival:
    """MediaPipe in a process of its own, idle until asked."""

    def __init__(self, python: Path, task_model: Path, pictures: Path) -> None:
        worker = Path(__file__).with_name("mediapipe_worker.py")
        command = [str(python), str(worker), str(task_model), str(pictures), str(MAX_FACES)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.name = self._answer()

    def __enter__(self) -> Rival:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()  # the end of its input ends it

    def time_once(self) -> tuple[float, int]:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        seconds, faces = self._answer().split()
        return float(seconds), int(faces)

    def _answer(self) -> str:
        line = self.process.stdout.readline().strip()
        if not line:
            sys.exit(f"MediaPipe did not start or stopped:\n{self.process.communicate()[1]}")
        return line


def compare(contestants: dict[str, Callable[[], tuple[float, int]]], rounds: int, batch: int) -> None:
    """Let them take turns; print milliseconds per picture, and how each compares with MediaPipe."""
    times: dict[str, list[float]] = {name: [] for name in contestants}
    faces: dict[str, int] = {}
    for index in range(WARM_UP + rounds):
        for name, run in contestants.items():
            seconds, faces[name] = run()
            if index >= WARM_UP:
                times[name].append(seconds * 1000 / batch)
    for name, each in times.items():
        median, worst = statistics.median(each), sorted(each)[-max(1, len(each) // 30) - 1]  # but one of 30
        spread = f"{min(each):.2f} to {max(each):.2f}, worst but one of 30 {worst / median:.1f} × the median"
        print(f"{name:20} {median:6.2f} ms per picture ({spread}), {faces[name]} faces")
    rival = next((name for name in times if name.startswith("mediapipe")), None)
    for name in [name for name in times if rival and name != rival]:
        ratios = [one / other for one, other in zip(times[name], times[rival], strict=True)]
        low, ratio, high = statistics.quantiles(ratios, n=4)
        print(f"{name}: {ratio:.2f} of {rival}'s time, round by round (quarters {low:.2f} to {high:.2f})")
    ratio = statistics.median(times["bundled, standard"]) / statistics.median(times["bundled"])
    print(f"standard takes {ratio:.2f} × fast's time")


def measure_video(path: Path, pipeline: PerceptionPipeline) -> None:
    """A video through what Face Perception Video and Draw Perception do: speed, and memory by the minute."""
    video, storyboard = Video(path), Storyboard(PREVIEWS)
    every = round(60 * video.rate)
    perceiving, drawing = ({0: resident_megabytes()} for _ in range(2))

    def note(memory: dict[int, float], done: int) -> None:
        minute = done // every
        if minute not in memory:
            memory[minute] = resident_megabytes()

    start = time.perf_counter()
    perceptions = perceive_video(video, pipeline, progress=lambda done: note(perceiving, done), watch=storyboard.watch)
    perceived = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder, "drawn.mp4")
        frames = draw_frames(video, perceptions, Overlay(tracks=True), lambda done: note(drawing, done))
        write_video(drawn, frames, video.rate)
        size = drawn.stat().st_size / 2**20
    done = time.perf_counter()
    count = perceptions.frame_count
    print(f"{path.name}: {count} frames, {count / video.rate / 60:.1f} minutes, {len(perceptions)} faces")
    print(f"perceived {count / (perceived - start):.0f} frames/s, drawn on and encoded", end=" ")
    print(f"{count / (done - perceived):.0f}, one after the other {count / (done - start):.0f}")
    held = perceptions.vectors.nbytes / 2**20
    print(f"perceptions {held:.0f} MB, drawn file {size:.0f} MB (on disk); the process's memory by the minute, MB:")
    for name, memory in (("perceiving", perceiving), ("drawing", drawing)):
        print(f"  {name:10}", *(f"{megabytes:.0f}" for megabytes in memory.values()))
    print(f"  the most at any time: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}")


def looped(source: Path, target: Path, minutes: float) -> Path:
    """Write the video's stream again and again, until it is as long as that."""
    with av.open(str(source)) as once:
        stream = once.streams.video[0]
        length = stream.frames * int(1 / (stream.average_rate * stream.time_base))  # ticks
        times = math.ceil(minutes * 60 / float(length * stream.time_base))
        with av.open(str(target), "w") as container:
            copy = container.add_stream_from_template(stream)
            for number in range(times):
                once.seek(0)
                for packet in once.demux(stream):
                    if packet.dts is not None:
                        packet.pts += number * length
                        packet.dts += number * length
                        packet.stream = copy
                        container.mux(packet)
    return target


def resident_megabytes() -> float:
    """What the process holds in memory now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure_cuda(pictures: list[torch.Tensor], rounds: int = 20) -> None:
    """Throughput on the current CUDA device, the pictures already there."""
    pipeline = PerceptionPipeline(device="cuda")
    on_device = [picture.cuda() for picture in pictures]
    print(torch.cuda.get_device_name())
    for batch in (1, 16, 64):
        chosen = [on_device[index % len(on_device)] for index in range(batch)]
        for name, work in (
            ("landmarks", lambda batch=chosen: sum(map(len, pipeline.landmarker.detect(batch)))),
            ("with emotions", lambda batch=chosen: len(pipeline(batch))),
        ):
            measured = [time_once(work) for _ in range(WARM_UP + rounds)][WARM_UP:]
            seconds, faces = statistics.median(seconds for seconds, _ in measured), measured[0][1]
            speed = f"{seconds * 1000 / batch:6.2f} ms per picture, {faces / seconds:8.0f} faces/s"
            print(f"batch {batch:3}, {name:13} {speed}")


if __name__ == "__main__":
    main()
