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
from ...common.words import counted
from ...perception.sequences.videos import Frame
from .session import QUIT, CaptureError

TITLE = "Perception CLIP: capture"
ESCAPE = 27
WAIT = 5  # milliseconds for a key, at each picture
NO_WINDOW = "no window can be opened ({}); add --no-window to record without one"


def opencv() -> ModuleType:
    """Return OpenCV's module. Raises MissingLibraryError, naming the extra, if it is not installed."""
    try:
        import cv2
    except ImportError as error:
        raise MissingLibraryError(
            'cameras and windows need OpenCV: pip install "perception-clip[train]", or opencv-python alone. '
            "A recorded --video with --no-window works without it"
        ) from error
    return cv2  # type: ignore[no-any-return]


class Camera:
    """An open camera, named by its number from 0, or by a file or address that OpenCV can read."""

    def __init__(self, which: int | str) -> None:
        """Raises CaptureError if it cannot be opened."""
        cv2 = opencv()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # failures are reported below
        self.name = f"camera {which}"
        self._capture = cv2.VideoCapture(which)
        if not self._capture.isOpened():
            raise CaptureError(
                f"{self.name} cannot be opened: check that it is plugged in, that no other program uses it, and that "
                "this program is allowed to use it (privacy settings of the system; on Linux the group `video`). For "
                "another camera pass --camera 1, 2…; for a recorded video pass --video FILE"
            )
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest picture, not an older one

    def frames(self) -> Iterator[Frame]:
        """Yield pictures as they arrive, with seconds since the first. Raises CaptureError when the camera stops."""
        start = None
        for number in count():
            success, picture = self._capture.read()
            if not success:
                raise CaptureError(
                    f"{self.name} stopped after {counted(number, 'picture')}: check that it is plugged in and that no "
                    "other program uses it. Everything recorded so far is safe in the dataset"
                )
            now = time.monotonic()
            start = now if start is None else start
            yield Frame(number, now - start, torch.from_numpy(np.ascontiguousarray(picture[..., ::-1])))

    def close(self) -> None:
        self._capture.release()


def check_window() -> None:
    """Raise CaptureError, naming --no-window, if no window can be opened on this machine.

    Without a display, Qt in OpenCV's Linux wheels ends the whole process instead of raising an error, so a separate
    process tries it first. Call this before PyAV is loaded: OpenCV then loads the system's X11 library and not PyAV's
    copy, with which windows hang (github.com/PyAV-Org/PyAV/issues/978).
    """
    cv2 = opencv()
    if sys.platform == "linux":
        attempt = multiprocessing.get_context("spawn").Process(target=cv2.namedWindow, args=(TITLE,))
        attempt.start()
        attempt.join()
        if attempt.exitcode:
            raise CaptureError(NO_WINDOW.format("there is no display, or OpenCV was built without windows"))


class Window:
    """A window that shows pictures; call `check_window` first."""

    def __init__(self) -> None:
        """Raises CaptureError if OpenCV was built without windows."""
        self._cv2 = opencv()
        try:
            self._cv2.namedWindow(TITLE, self._cv2.WINDOW_AUTOSIZE | self._cv2.WINDOW_GUI_NORMAL)
        except self._cv2.error as error:
            raise CaptureError(
                NO_WINDOW.format("OpenCV was built without windows, such as opencv-python-headless")
            ) from error

    def show(self, picture: Tensor) -> str:
        """Show a picture (H, W, 3) uint8, and return the pressed key in lower case.

        It is "" for no key, and q for Esc and for closing the window.
        """
        cv2 = self._cv2
        cv2.imshow(TITLE, np.ascontiguousarray(picture.numpy()[..., ::-1]))
        code = cv2.waitKey(WAIT)
        try:
            closed = cv2.getWindowProperty(TITLE, cv2.WND_PROP_VISIBLE) < 1
        except cv2.error:  # this is how Qt reports a closed window
            closed = True
        if closed or code == ESCAPE:
            return QUIT
        return "" if code < 0 else chr(code & 0xFF).lower()

    def close(self) -> None:
        self._cv2.destroyAllWindows()


def paced(frames: Iterable[Frame]) -> Iterator[Frame]:
    """Yield the frames of a video at its own speed, or slower if they are requested late, as during a pause."""
    start = float("-inf")
    for frame in frames:
        now = time.monotonic()
        start = max(start, now - frame.time)
        time.sleep(start + frame.time - now)
        yield frame
