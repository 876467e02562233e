from __future__ import annotations

import errno
import os
import re
import stat
from pathlib import Path

import pytest

from perception_clip.common.files import atomic_path


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


@pytest.mark.parametrize("answer", [errno.ENOTSUP, errno.EINVAL, errno.ENOSYS])
def test_a_drive_that_cannot_sync_keeps_a_finished_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: int
) -> None:
    """Network drives refuse it for files and folders."""

    def fsync(handle: int) -> None:
        raise OSError(answer, os.strerror(answer))

    monkeypatch.setattr(os, "fsync", fsync)
    with atomic_path(tmp_path / "file.txt") as temporary:
        temporary.write_text("whole")
    assert (tmp_path / "file.txt").read_text() == "whole"


def test_a_file_that_did_not_reach_the_disk_replaces_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fsync)
    (tmp_path / "file.txt").write_text("kept")
    with pytest.raises(OSError, match=re.escape(os.strerror(errno.EIO))), atomic_path(tmp_path / "file.txt") as file:
        file.write_text("half")
    assert (tmp_path / "file.txt").read_text() == "kept" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.skipif(os.name != "posix", reason="Windows has no modes")
def test_the_umask_holds_and_is_never_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread would make its files with whatever is set at that moment."""
    former = os.umask(0o027)
    try:
        with monkeypatch.context() as patch:
            patch.delattr(os, "umask")
            with atomic_path(tmp_path / "file.txt") as file:
                file.unlink()  # as safetensors does, whose own file is private
                file.touch(0o600)
    finally:
        os.umask(former)
    assert stat.S_IMODE((tmp_path / "file.txt").stat().st_mode) == 0o640
