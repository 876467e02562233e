"""Terminal output of a training run, and how it is stopped early.

Ctrl-C and SIGTERM request a graceful stop: training ends after the current step, with everything saved.
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
    """Show a progress bar over the epochs; yield the function that updates it."""
    with tqdm(total=epochs, desc="training", unit="epoch") as bar:

        def show(epoch: Epoch) -> None:
            metrics = {name: f"{value:.3f}" for name, value in epoch.validation.items()}
            bar.set_postfix({"loss": f"{epoch.loss:.3f}", **metrics})
            bar.update(epoch.number - bar.n)

        yield show


def print_result(fitted: Fitted) -> int:
    """Print the table, the verdict and the paths, or how to resume a stopped run; return the command's exit code."""
    if fitted.evaluation is None:
        print(
            f"stopped after {counted(len(fitted.history), 'epoch')}. The best checkpoint so far is from epoch "
            f"{fitted.best_epoch}: {fitted.path} (and .pth), not evaluated. Run the same command with --resume to "
            "continue"
        )
        return INTERRUPTED
    for note in fitted.notes:
        print(f"note: {note}")
    print(table(fitted.evaluation))
    print(fitted.verdict)
    print(f"checkpoint: {fitted.path} (and .pth)")
    if fitted.report is not None:
        print(f"report: {fitted.report}, {fitted.path.parent / METRICS_FILE}")
    print(f"targets encoded by: {fitted.checkpoint.metadata.encoder}")
    return 0


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether one of the signals came; a second signal raises KeyboardInterrupt at once.

    Call it in the main thread: only there can Python handle signals.
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
