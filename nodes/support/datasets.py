"""The inputs that select a dataset, and the selected file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from comfy_api.latest import io

from ...training.dataset.samples import StoreError
from . import host
from .schema import FROM_LINK, file_choice


def dataset_input(purpose: str) -> Any:
    """Return the input `dataset`; `purpose` completes the tooltip, for example "train on"."""
    return io.Combo.Input(
        "dataset",
        **file_choice(host.datasets()),
        tooltip=f"The dataset to {purpose}, from ComfyUI's user/__perception_clip/datasets/. New and updated datasets "
        "are used without a restart (press R to refresh the list).",
    )


def path_input(purpose: str) -> Any:
    """Return the input `path`, which overrides `dataset`; see `file_of`."""
    return io.String.Input(
        "path",
        optional=True,
        force_input=True,
        tooltip=f"Connect the path output of Dataset Writer to {purpose} its dataset each time it has been written; it "
        "overrides the dataset widget.",
    )


def adding(progress: Callable[[int], None]) -> Callable[[int], None]:
    """Return the progress callback as one that accepts the amount done since its last call."""
    done = 0

    def add(more: int) -> None:
        nonlocal done
        done += more
        progress(done)

    return add


def file_of(dataset: str, path: str | None) -> Path:
    """Return the dataset's file: that of the connected path, or else the one of that name.

    Raises StoreError, with a remedy, if the file is not in the datasets folder.
    """
    listed = host.datasets()  # only listed files are opened, so a name or path cannot lead to another folder
    file = listed.get(str(dataset)) if path is None else next((f for f in listed.values() if str(f) == path), None)
    if file is None:
        problem = f"there is no dataset {(dataset if path is None else path)!r}"
        if path is None and dataset == FROM_LINK:
            problem = "no dataset is chosen, and nothing is connected to path"
        raise StoreError(
            f"{host.datasets_folder()}: {problem}. Create one with Dataset Writer, or copy a .db file from another "
            "machine into this folder; then press R in ComfyUI to refresh the list and choose it in this node, or "
            "connect the path output of Dataset Writer"
        )
    return file
