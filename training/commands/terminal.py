"""What a training run shows in the terminal, and how it ends early.

Ctrl-C and SIGTERM are requests: training ends after the step, with everything saved.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from tqdm import tqdm

from ...common.words import counted
from ..evaluation.text import table
from ..fitting import METRICS_FILE, Fitted
from ..learning.run import Epoch

INTERRUPTED = 130  # the usual exit code of a program that was asked to stop

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def progress_bar(epochs: int) -> Iterator[Callable[[Epoch], None]]:
    """A bar over the epochs; yields the function that moves it on."""
    with tqdm(total=epochs, desc="training", unit="epoch") as bar:

        def show(epoch: Epoch) -> None:
            found = {name: f"{value:.3f}" for name, value in epoch.validation.items()}
            bar.set_postfix({"loss": f"{epoch.loss:.3f}", **found})
            bar.update(epoch.number - bar.n)

        yield show


def print_result(fitted: Fitted) -> int:
    """The table, the verdict, and where everything lies; or, of a run that was stopped, how to go on.

    Returns the command's exit code.
    """
    if fitted.evaluation is None:
        print(
            f"stopped after {counted(len(fitted.history), 'epoch')}. The best so far is that of epoch "
            f"{fitted.best_epoch}: "
            f"{fitted.path} (and .pth), not judged. Give the same command with --resume to go on"
        )
        return INTERRUPTED
    print(table(fitted.evaluation))
    print(fitted.verdict)
    print(f"checkpoint: {fitted.path} (and .pth)")
    if fitted.report is not None:
        print(f"report: {fitted.report}, {fitted.path.parent / METRICS_FILE}")
    print(f"targets were made by: {fitted.checkpoint.metadata.encoder}")
    return 0


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """A function that says whether one of the signals came; a second one raises KeyboardInterrupt at once.

    For the main thread: only there Python lets signals be handled.
    """
    came: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        if came:
            raise KeyboardInterrupt
        came.append(number)

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
