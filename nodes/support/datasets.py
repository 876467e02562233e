"""Datasets as nodes name them: the inputs that choose one, and the file that was chosen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from comfy_api.latest import io

from ...training.dataset.samples import StoreError
from . import host

NO_DATASET = "no dataset yet"


def dataset_input(done: str) -> Any:
    """The input `dataset`; `done` says what is done with it, as in "read"."""
    return io.Combo.Input(
        "dataset",
        options=list(host.datasets()) or [NO_DATASET],
        tooltip=f"A dataset in ComfyUI's user/__perception_clip/datasets/. A new or grown one is {done} without a "
        "restart (press R to refresh the list).",
    )


def path_input(done: str) -> Any:
    """The input `path`, which goes before `dataset`; see `file_of`."""
    return io.String.Input(
        "path",
        optional=True,
        force_input=True,
        tooltip=f"Link the path output of Dataset Writer: its dataset is {done}, each time after it was written, and "
        "dataset above is not used.",
    )


def adding(progress: Callable[[int], None]) -> Callable[[int], None]:
    """The same progress, called with what was done since the last time."""
    done = 0

    def add(more: int) -> None:
        nonlocal done
        done += more
        progress(done)

    return add


def file_of(dataset: str, path: str | None) -> Path:
    """The file of the linked path, or else of the dataset of that name.

    Raises StoreError, with the remedy, for any that is not in the folder of the datasets.
    """
    listed = host.datasets()  # only what is listed is opened: a name can lead nowhere else
    found = listed.get(str(dataset)) if path is None else next((f for f in listed.values() if str(f) == path), None)
    if found is None:
        raise StoreError(
            f"{host.datasets_folder()}: there is no dataset {(dataset if path is None else path)!r}. Make one with "
            "Dataset Writer, or put the .db file of another machine into this folder; then press R in ComfyUI to "
            "refresh the list and choose it in this node, or link the path output of Dataset Writer"
        )
    return found
