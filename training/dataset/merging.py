"""Several datasets into one."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from .copying import Rows, copy_samples
from .rows import open_rows
from .samples import StoreError
from .store import Store


@dataclass(frozen=True)
class Merged:
    """What one dataset gave."""

    path: Path
    samples: int
    new: int  # the others were there already


def merge(paths: Sequence[Path], target: Store) -> list[Merged]:
    """Append the samples of .db and .npz files, file by file and each in its order; the files stay as they are.

    Merging what a build was divided into gives the samples of the whole build, in its order. Raises StoreError,
    before anything is appended, if the datasets were made with different models and do not mix.
    """
    with ExitStack() as stack:
        sources = [stack.enter_context(open_rows(path)) for path in paths]
        _check_alike(paths, sources)
        return [
            Merged(path, len(source), copy_samples(source, target)) for path, source in zip(paths, sources, strict=True)
        ]


def _check_alike(paths: Sequence[Path], sources: Sequence[Rows]) -> None:
    filled = [(path, source) for path, source in zip(paths, sources, strict=True) if source.binding is not None]
    for path, source in filled[1:]:
        first_path, first = filled[0]
        assert first.binding is not None and source.binding is not None
        differences = first.binding.differences(source.binding)
        if first.has_image_sizes != source.has_image_sizes:
            known, unknown = "known image sizes", "unknown ones"
            differences.append(f"{known}, not {unknown}" if first.has_image_sizes else f"{unknown}, not {known}")
        if differences:
            raise StoreError(
                f"{first_path} and {path} do not mix: the first was made with the {', and the '.join(differences)}. "
                "Merge datasets that were made alike; vectors of another text encoder can be made anew with `relabel "
                "--re-encode`"
            )
