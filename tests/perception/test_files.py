from __future__ import annotations

from pathlib import Path

import pytest

from perception_clip.perception.files import atomic_path


def test_complete_file_replaces_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "new folder" / "file.txt"
    for text in ("first", "second"):
        with atomic_path(target) as temporary:
            assert temporary.suffix == ".txt"
            temporary.write_text(text)
        assert target.read_text() == text
    assert [path.name for path in target.parent.iterdir()] == ["file.txt"]


def test_failure_keeps_the_old_file_and_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "file.txt"
    target.write_text("kept")

    def write_half() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="disk is full"):
        write_half()
    assert target.read_text() == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]
