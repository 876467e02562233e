"""What a training run shows in the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from .fitting import METRICS_FILE, Fitted
from .learning.run import Epoch


@contextmanager
def progress_bar(epochs: int) -> Iterator[Callable[[Epoch], None]]:
    """A bar over the epochs; yields the function that moves it on."""
    with tqdm(total=epochs, desc="training", unit="epoch") as bar:

        def show(epoch: Epoch) -> None:
            found = {name: f"{value:.3f}" for name, value in epoch.validation.items()}
            bar.set_postfix({"loss": f"{epoch.loss:.3f}", **found})
            bar.update(epoch.number - bar.n)

        yield show


def print_result(fitted: Fitted) -> None:
    """The table, the verdict, and where everything lies; or, of a run that was stopped, how to go on."""
    if fitted.evaluation is None:
        best = max((epoch.number for epoch in fitted.history if epoch.best), default=0)
        print(
            f"stopped after {len(fitted.history)} epochs. The best so far is that of epoch {best}: {fitted.path} (and "
            ".pth), not judged. Give the same command with --resume to go on"
        )
        return
    print(fitted.evaluation)
    print(fitted.verdict)
    print(f"checkpoint: {fitted.path} (and .pth)")
    if fitted.report is not None:
        print(f"report: {fitted.report}, {fitted.path.parent / METRICS_FILE}")
    print(f"targets were made by: {fitted.checkpoint.metadata.encoder}")
