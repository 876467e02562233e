"""Where a recording is: which prompt is due when, what has come of each, and what the keys do.

Nothing here knows of cameras, windows or faces: it is told the time, and what became of each frame.
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
    """Nothing can be recorded, or no longer; the message says why and what to do."""


def read_prompts(path: Path) -> list[str]:
    """The prompts of a text file, one a line; empty lines and those that begin with # do not count.

    Raises CaptureError if the file is missing, no UTF-8 text, holds NUL characters, or is without a prompt.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise CaptureError(f"{path}: the prompts cannot be read ({reason})") from error
    if any("\0" in line for line in lines):
        raise CaptureError(f"{path}: the prompts cannot be read (it holds NUL characters); save it as UTF-8 text")
    prompts = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not prompts:
        raise CaptureError(f"{path}: there is no prompt in it; write one a line, such as: a person looking happy")
    return prompts


@dataclass(frozen=True)
class Timing:
    """How long each prompt takes. Raises CaptureError for what cannot be."""

    countdown: float = 3.0  # seconds
    seconds: float = 5.0  # of recording
    count: int | None = None  # good frames of each prompt, however long it takes; None: what comes in `seconds`
    per_second: float = 2.0  # good frames at most: neighbouring frames teach next to nothing

    def __post_init__(self) -> None:
        above = (self.seconds, self.per_second, 1 if self.count is None else self.count)
        if not (0 <= self.countdown < inf and all(0 < value < inf for value in above)):
            raise CaptureError("seconds, frames per second and counts must be above 0, and the countdown at least 0")


@dataclass
class Tally:
    """What has come of one prompt."""

    prompt: str
    good: int = 0  # frames
    known: int = 0  # of these, already in the dataset before
    refused: Counter[str] = field(default_factory=Counter)  # why → frames that were due and not good

    @property
    def in_words(self) -> str:
        return counted(self.good, "good frame")


class Session:
    """For each prompt in turn a countdown, then the recording.

    It knows the time only from `advance`, in seconds from any start.
    """

    def __init__(self, prompts: Sequence[str], timing: Timing) -> None:
        self.timing = timing
        self.tallies = [Tally(prompt) for prompt in prompts]
        self.turn = 0  # which prompt it is; their number when all are done
        self.recording = False  # or counting down
        self.paused = False
        self.ended = False  # by the user
        self._time: float | None = None
        self._elapsed = 0.0  # seconds of this countdown, or of this recording
        self._good = 0  # frames of this recording
        self._slot = -1  # of 1 / per_second seconds, in which the last good frame was

    @property
    def tally(self) -> Tally:
        """Of the present prompt; the last one's when all are done."""
        return self.tallies[min(self.turn, len(self.tallies) - 1)]

    @property
    def complete(self) -> bool:
        """Whether every prompt was gone through."""
        return self.turn >= len(self.tallies)

    @property
    def done(self) -> bool:
        """Whether nothing more is to be recorded: complete, or ended by the user."""
        return self.ended or self.complete

    @property
    def good(self) -> int:
        """All good frames."""
        return sum(tally.good for tally in self.tallies)

    @property
    def new(self) -> int:
        """Good frames that were not in the dataset before."""
        return self.good - sum(tally.known for tally in self.tallies)

    @property
    def refused(self) -> Counter[str]:
        """Why → all frames that were due and not good."""
        return sum((tally.refused for tally in self.tallies), Counter())

    @property
    def due(self) -> bool:
        """Whether a frame of this moment is wanted."""
        return self.recording and not self.paused and not self.done and self._slot_now != self._slot

    @property
    def countdown(self) -> float:
        """Seconds until the recording begins; 0 once it has."""
        return 0.0 if self.recording else max(self.timing.countdown - self._elapsed, 0.0)

    @property
    def progress(self) -> float:
        """How much of this recording is done, 0…1; 1 when all are."""
        if self.complete:
            return 1.0
        if not self.recording:
            return 0.0
        if self.timing.count is not None:
            return self._good / self.timing.count
        return self._elapsed / self.timing.seconds

    def advance(self, time: float) -> None:
        """It is `time` now. While paused, time does not count."""
        passed = 0.0 if self._time is None else max(time - self._time, 0.0)
        self._time = time
        if self.paused:
            return
        self._elapsed += passed
        while not self.complete and self._elapsed >= (length := self._length):
            self._elapsed -= length  # what is over counts for the next part, so that none drifts
            if self.recording:
                self._begin(self.turn + 1, self._elapsed)
            else:
                self.recording = True

    def note(self, problem: str, *, known: bool = False) -> None:
        """What became of the frame that was due: refused because of `problem`, or good if that is empty."""
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
        """Do what a key asks for; keys without a meaning do nothing."""
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
        """Seconds that this countdown, or this recording, lasts."""
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
    """A line for each prompt that was begun: its good frames, and how many were refused and why."""
    lines = []
    for number, tally in enumerate(session.tallies[: session.turn + 1], start=1):
        known = f" ({tally.known} there before)" if tally.known else ""
        reasons = ", ".join(f"{count} × {reason}" for reason, count in tally.refused.most_common())
        refused = f"; {tally.refused.total()} refused: {reasons}" if reasons else ""
        lines.append(f"{number}. {tally.prompt}: {tally.in_words}{known}{refused}")
    return lines
