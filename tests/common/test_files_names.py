"""Names for files: what is one, and what could lead elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perception_clip.common.files import is_name
from perception_clip.training.dataset.store import StoreError, dataset_path


@pytest.mark.parametrize("name", ["a", "my face", "ünïcode 顔", "v1.2-final", "_", "7", "x" * 60, "console"])
def test_names(name: str) -> None:
    assert is_name(name, 60)


@pytest.mark.parametrize(
    "name",
    [
        *("", " ", ".", "..", "../x", "/x", "a/b", "a\\b", "a..b", "a.", "a ", " a", ".a", "-a", "a\0", "a\n", "c:a"),
        *("con", "NUL.txt", "lpt1", "x" * 61, "a*", "a?", "<b>", "~"),
    ],
)
def test_no_names(name: str) -> None:
    assert not is_name(name, 60)


@settings(max_examples=50)
@given(st.text(max_size=70))
def test_a_dataset_name_stays_in_its_folder(name: str) -> None:
    if is_name(name, 60):
        assert dataset_path(Path("folder"), name) == Path("folder") / f"{name}.db"
        assert (Path("folder") / name).parent == Path("folder")
    else:
        with pytest.raises(StoreError, match="cannot be a dataset name"):
            dataset_path(Path("folder"), name)
