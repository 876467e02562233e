"""A camera and a window, through OpenCV (the extra `train`)."""

from __future__ import annotations

import multiprocessing
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import count
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

from ...common.errors import MissingLibraryError
from ...perception.sequences.videos import Frame
from .session import QUIT, CaptureError

TITLE = "Perception CLIP: capture"
ESCAPE = 27
WAIT = 5  # milliseconds for a key, at each picture
NO_WINDOW = "no window can be opened here ({}); record without one: --no-window"


def opencv() -> ModuleType:
    """OpenCV's module. Raises MissingLibraryError, naming the extra, if it is not installed."""
    try:
        import cv2
    except ImportError as error:
        raise MissingLibraryError(
            'cameras and windows need OpenCV: pip install "perception-clip[train]", or opencv-python alone. '
            "A recorded --video with --no-window does without"
        ) from error
    return cv2  # type: ignore[no-any-return]


class Camera:
    """An open camera: its number, from 0, or a file or address that OpenCV can read."""

    def __init__(self, which: int | str) -> None:
        """Raises CaptureError if it cannot be opened."""
        cv2 = opencv()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what fails is said below
        self.name = f"camera {which}"
        self._capture = cv2.VideoCapture(which)
        if not self._capture.isOpened():
            raise CaptureError(
                f"{self.name} cannot be opened: see that it is plugged in, that no other program uses it, and that "
                "this one may use it (the system's privacy settings; on Linux the group `video`). Other cameras have "
                "other numbers: --camera 1, 2…; a recorded film goes with --video FILE"
            )
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest picture, not one from before

    def frames(self) -> Iterator[Frame]:
        """Pictures as they come, with seconds since the first. Raises CaptureError when no more come."""
        start = None
        for number in count():
            there, picture = self._capture.read()
            if not there:
                raise CaptureError(
                    f"{self.name} gives no pictures any more (after {number}): was it unplugged, or taken by another "
                    "program? What was recorded until now is safe in the dataset"
                )
            now = time.monotonic()
            start = now if start is None else start
            yield Frame(number, now - start, torch.from_numpy(np.ascontiguousarray(picture[..., ::-1])))

    def close(self) -> None:
        self._capture.release()


def check_window() -> None:
    """Raise CaptureError, naming --no-window, if no window can be opened on this machine.

    Without a display, the Qt of OpenCV's Linux wheels ends the whole process instead of raising an error: there a
    process of its own tries. Call this before PyAV is loaded: OpenCV then takes the system's X11 library and not
    PyAV's copy, with which windows hang (github.com/PyAV-Org/PyAV/issues/978).
    """
    cv2 = opencv()
    if sys.platform == "linux":
        attempt = multiprocessing.get_context("spawn").Process(target=cv2.namedWindow, args=(TITLE,))
        attempt.start()
        attempt.join()
        if attempt.exitcode:
            raise CaptureError(NO_WINDOW.format("there is no display, or OpenCV was built without windows"))


class Window:
    """A window with pictures in it; `check_window` has to be called before."""

    def __init__(self) -> None:
        """Raises CaptureError if OpenCV was built without windows."""
        self._cv2 = opencv()
        try:
            self._cv2.namedWindow(TITLE, self._cv2.WINDOW_AUTOSIZE | self._cv2.WINDOW_GUI_NORMAL)
        except self._cv2.error as error:
            raise CaptureError(NO_WINDOW.format("OpenCV was built without windows: opencv-python-headless?")) from error

    def show(self, picture: Tensor) -> str:
        """Show (H, W, 3) uint8. → the key that was pressed, in lower case; "" for none; q for Esc and closing."""
        cv2 = self._cv2
        cv2.imshow(TITLE, np.ascontiguousarray(picture.numpy()[..., ::-1]))
        code = cv2.waitKey(WAIT)
        try:
            closed = cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1
        except cv2.error:  # how Qt says so
            closed = True
        if closed or code == ESCAPE:
            return QUIT
        return "" if code < 0 else chr(code & 0xFF).lower()

    def close(self) -> None:
        self._cv2.destroyAllWindows()


def paced(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Frames of a video at the video's own speed; slower where they are not asked for in time, as during a pause."""
    start = float("-inf")
    for frame in frames:
        now = time.monotonic()
        start = max(start, now - frame.time)
        time.sleep(start + frame.time - now)
        yield frame
