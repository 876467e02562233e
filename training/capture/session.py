"""The state of a recording: when each prompt is due, its results, and the effects of the keys.

Nothing here depends on cameras, windows or faces: the inputs are the time and the result of each frame.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from pathlib import Path

from ...common.errors import PerceptionClipError
from ...common.words import counted

PAUSE, NEXT, REPEAT, QUIT = " ", "n", "r", "q"  # keys


class CaptureError(PerceptionClipError, ValueError):
    """Raised if recording is impossible or was interrupted; the message gives the reason and the remedy."""


def read_prompts(path: Path) -> list[str]:
    """Return the prompts of a text file, one per line; empty lines and lines that start with # are ignored.

    Raises CaptureError if the file is missing, is not UTF-8 text, contains NUL characters, or has no prompt.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise CaptureError(f"{path}: the prompts cannot be read ({reason}); pass a UTF-8 text file") from error
    if any("\0" in line for line in lines):
        raise CaptureError(f"{path}: the prompts cannot be read (it contains NUL characters); save it as UTF-8 text")
    prompts = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not prompts:
        raise CaptureError(f"{path}: the file has no prompts; write one per line, such as: a person looking happy")
    return prompts


@dataclass(frozen=True)
class Timing:
    """The timing of each prompt; all are above 0, except for a countdown of 0."""

    countdown: float = 3.0  # seconds
    seconds: float = 5.0  # of recording
    count: int | None = None  # good frames per prompt, regardless of the time; None: record for `seconds`
    per_second: float = 2.0  # maximum number of good frames: neighboring frames add almost no information


@dataclass
class Tally:
    """The results of one prompt."""

    prompt: str
    good: int = 0  # frames
    known: int = 0  # good frames that were already in the dataset
    refused: Counter[str] = field(default_factory=Counter)  # reason → frames that were due and not good

    @property
    def in_words(self) -> str:
        return counted(self.good, "good frame")


class Session:
    """A session: for each prompt in turn a countdown, then the recording.

    `advance` sets the time, in seconds from any start.
    """

    def __init__(self, prompts: Sequence[str], timing: Timing) -> None:
        self.timing = timing
        self.tallies = [Tally(prompt) for prompt in prompts]
        self.turn = 0  # index of the current prompt; the number of prompts when all are done
        self.recording = False  # False during the countdown
        self.paused = False
        self.ended = False  # by the user
        self._time: float | None = None
        self._elapsed = 0.0  # seconds of this countdown, or of this recording
        self._good = 0  # good frames of this recording
        self._slot = -1  # the slot, 1 / per_second seconds long, of the last good frame

    @property
    def tally(self) -> Tally:
        """The tally of the current prompt; that of the last one when all are done."""
        return self.tallies[min(self.turn, len(self.tallies) - 1)]

    @property
    def complete(self) -> bool:
        """Whether all prompts are finished."""
        return self.turn >= len(self.tallies)

    @property
    def done(self) -> bool:
        """Whether the session is over: complete, or ended by the user."""
        return self.ended or self.complete

    @property
    def good(self) -> int:
        """The total number of good frames."""
        return sum(tally.good for tally in self.tallies)

    @property
    def new(self) -> int:
        """The number of good frames that were not already in the dataset."""
        return self.good - sum(tally.known for tally in self.tallies)

    @property
    def refused(self) -> Counter[str]:
        """The frames that were due and not good, by reason."""
        return sum((tally.refused for tally in self.tallies), Counter())

    @property
    def due(self) -> bool:
        """Whether a frame is needed now."""
        return self.recording and not self.paused and not self.done and self._slot_now != self._slot

    @property
    def countdown(self) -> float:
        """The seconds until the recording starts; 0 once it has started."""
        return 0.0 if self.recording else max(self.timing.countdown - self._elapsed, 0.0)

    @property
    def progress(self) -> float:
        """The progress of this recording, 0…1; 1 when all are done."""
        if self.complete:
            return 1.0
        if not self.recording:
            return 0.0
        if self.timing.count is not None:
            return self._good / self.timing.count
        return self._elapsed / self.timing.seconds

    def advance(self, time: float) -> None:
        """Set the current time. While paused, time does not count."""
        passed = 0.0 if self._time is None else max(time - self._time, 0.0)
        self._time = time
        if self.paused:
            return
        self._elapsed += passed
        while not self.complete and self._elapsed >= (length := self._length):
            self._elapsed -= length  # the remainder counts for the next part, which prevents drift
            if self.recording:
                self._begin(self.turn + 1, self._elapsed)
            else:
                self.recording = True

    def note(self, problem: str, *, known: bool = False) -> None:
        """Count the frame that was due: refused because of `problem`, or good if that is empty."""
        if problem:
            self.tally.refused[problem] += 1
            return
        self.tally.good += 1
        self.tally.known += known
        self._good += 1
        self._slot = self._slot_now
        if self._good == self.timing.count:
            self._begin(self.turn + 1)

    def obey(self, key: str) -> None:
        """Execute the command of a key; other keys are ignored."""
        if key == PAUSE:
            self.paused = not self.paused
        elif key == NEXT:
            self._begin(self.turn + 1)
        elif key == REPEAT:
            self._begin(self.turn)
        elif key == QUIT:
            self.ended = True

    @property
    def _length(self) -> float:
        """The length of this countdown, or of this recording, in seconds."""
        if not self.recording:
            return self.timing.countdown
        return self.timing.seconds if self.timing.count is None else inf

    @property
    def _slot_now(self) -> int:
        return int(self._elapsed * self.timing.per_second)

    def _begin(self, turn: int, elapsed: float = 0.0) -> None:
        self.turn, self._elapsed = turn, elapsed
        self.recording, self.paused, self._slot, self._good = False, False, -1, 0


def summary(session: Session) -> list[str]:
    """Return a line for each prompt that was started: its good frames, and the refused ones by reason."""
    lines = []
    for number, tally in enumerate(session.tallies[: session.turn + 1], start=1):
        known = f" ({tally.known} already in the dataset)" if tally.known else ""
        reasons = ", ".join(f"{count} × {reason}" for reason, count in tally.refused.most_common())
        refused = f"; {tally.refused.total()} refused: {reasons}" if reasons else ""
        lines.append(f"{number}. {tally.prompt}: {tally.in_words}{known}{refused}")
    return lines
