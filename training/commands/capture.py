"""`capture`: a camera, or a recorded video, and a list of prompts → a dataset."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from ...common.errors import InputError
from ...common.words import counted
from ...perception.landmarks.detectors import FOR_VIDEOS
from ...perception.sequences.videos import Frame, Video
from ..capture.camera import Camera, Window, check_window, paced
from ..capture.recorder import NO_FACE, FrameCheck, Limits, Recorder, record
from ..capture.session import CaptureError, Session, Timing, read_prompts, summary
from ..capture.view import View
from ..dataset.store import Store
from ..sources.media import VideoFile
from .options import (
    Numbers,
    above_zero,
    add_device_argument,
    add_encoder_arguments,
    add_numbers,
    add_perception_arguments,
    encoder_of,
    from_options,
    not_negative,
    pipeline_of,
    positive,
)

Show = Callable[[Frame, FrameCheck, Session], str]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    timing, limits = Timing(), Limits()
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--camera", type=int, default=0, metavar="N", help="number of the camera (default: 0)")
    source.add_argument("--video", type=Path, metavar="FILE", help="a recorded video instead of a camera")
    parser.add_argument(
        "--prompts",
        type=Path,
        required=True,
        metavar="FILE",
        help="a text file with one prompt per line; # starts a comment line",
    )
    parser.add_argument("--out", type=Path, required=True, help="my.db, which grows with every session")
    add_encoder_arguments(parser)
    add_numbers(parser, timing, {"countdown": (not_negative, "SECONDS", "countdown before each prompt is recorded")})
    length = parser.add_mutually_exclusive_group()
    add_numbers(length, timing, {"seconds": (above_zero, None, "recording time per prompt")})
    length.add_argument("--count", type=positive, metavar="N", help="good frames per prompt, instead of --seconds")
    add_numbers(parser, timing, {"per_second": (above_zero, "N", "maximum number of good frames kept per second")})
    parser.add_argument(
        "--group", default="", metavar="NAME", help="name of the person; the group is this name and the session's time"
    )
    add_perception_arguments(parser)
    parser.set_defaults(detector=FOR_VIDEOS)  # people at a camera are close to it, and the window must keep up
    requirements: Numbers = {
        "max_yaw": (float, "DEGREES", "maximum head yaw in degrees, to either side"),
        "max_pitch": (float, "DEGREES", "maximum head pitch in degrees, up or down"),
        "min_face": (float, "PIXELS", "minimum face size in pixels, the longer side"),
        "min_sharpness": (
            float,
            "NUMBER",
            "minimum sharpness: variance of the Laplacian of the face scaled to 96 × 96 pixels, relative to its "
            "contrast. Sharp faces have 0.06 or more, blurred faces 0.02 or less; 0 accepts all",
        ),
    }
    add_numbers(parser, limits, requirements)
    parser.add_argument("--no-window", action="store_true", help="open no window, for machines without a display")
    parser.add_argument("--font", metavar="FILE", help="a TrueType font with the characters of your prompts")
    add_device_argument(parser)


def run(options: argparse.Namespace) -> int:
    prompts = read_prompts(options.prompts)
    if options.out.suffix.lower() != ".db":
        raise InputError(f"--out {options.out} must end in .db; convert it to an .npz with `export` later")
    session = Session(prompts, from_options(Timing, options))
    if not options.no_window:
        check_window()  # before PyAV is loaded
    session_name = f"session {datetime.now():%Y-%m-%d %H:%M:%S}"
    video = None if options.video is None else Video(options.video)
    view = View(mirrored=video is None, font=options.font)
    with ExitStack() as stack:
        if video is None:
            camera = Camera(options.camera)
            stack.callback(camera.close)
            name, content, frames = camera.name, None, camera.frames()
        else:
            name, content, frames = options.video.name, VideoFile(options.video).digest(), video.frames()
        encoder = encoder_of(options)
        pipeline = pipeline_of(options)
        store = stack.enter_context(Store(options.out))
        recorder = Recorder(
            store,
            pipeline,
            encoder,
            prompts,
            limits=from_options(Limits, options),
            group=f"{options.group} {session_name}".strip(),
            source=name,
            content=content,
        )
        show: Show | None = None
        if not options.no_window:
            window = Window()
            stack.callback(window.close)
            show = _in_window(window, view)
            frames = frames if video is None else paced(frames)
        elif video is None:
            show = _in_words()
        try:
            record(frames, session, recorder, show, live=video is None)
        finally:
            for line in summary(session):
                print(line)
            print(f"{counted(session.new, 'new sample')} in group {recorder.group!r}; {len(store)} in {options.out}")
    if video is not None:
        _check_video(options.video, video, session)
    return 0


def _in_window(window: Window, view: View) -> Show:
    """Return a function that draws each frame in the window and returns the key that was pressed."""
    return lambda frame, check, session: window.show(view.draw(frame.picture, check, session))


def _in_words() -> Show:
    """Return a function that prints in the terminal which prompt comes when, for a camera without a window."""
    announced: set[tuple[int, bool]] = set()

    def show(frame: Frame, check: FrameCheck, session: Session) -> str:
        state = session.turn, session.recording
        if state not in announced and not session.done:
            announced.add(state)
            when = "now" if session.recording else f"in {session.timing.countdown:g} s"
            print(f"{session.turn + 1} of {len(session.tallies)}, {when}: {session.tally.prompt}", flush=True)
        return ""

    return show


def _check_video(path: Path, video: Video, session: Session) -> None:
    """Print which parts of a video could not be used. Raises CaptureError if no frame could."""
    if video.problem:
        print(f"{path}: {video.problem}")
    if not session.ended:
        session.advance(video.frame_count / video.rate)
        if not session.complete:
            print(
                f"{path} ended during prompt {session.turn + 1} of {len(session.tallies)}: reduce --seconds or "
                "--countdown, or record a longer video"
            )
    if session.refused and not session.good:
        reason, _ = session.refused.most_common(1)[0]
        reason_text = "no face was found" if reason == NO_FACE else f"mostly: {reason}"
        raise CaptureError(f"{path}: {counted(session.refused.total(), 'frame')} checked, none is good ({reason_text})")


COMMANDS = {"capture": (add_arguments, run)}
