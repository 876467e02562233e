"""Temporary files: private, gone with their paths, and swept up after a process that was killed."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from pathlib import Path

from perception_clip.common.temporary_files import LEFT_OVER, temporary_file


def test_a_file_lasts_as_long_as_its_path(tmp_path: Path) -> None:
    path = temporary_file(tmp_path / "new" / "folder", ".mp4")
    file = Path(path)
    assert path.endswith(".mp4") and file.is_file() and file.parent == tmp_path / "new" / "folder"
    held = [path]
    del path
    gc.collect()
    assert file.is_file()
    held.clear()
    gc.collect()
    assert not file.exists()


def test_a_file_can_be_deleted_at_once_and_by_others(tmp_path: Path) -> None:
    path = temporary_file(tmp_path, ".mp4")
    path.delete()
    assert list(tmp_path.iterdir()) == []
    other = temporary_file(tmp_path, ".mp4")
    Path(other).unlink()
    other.delete()


def test_only_what_is_old_is_left_over(tmp_path: Path) -> None:
    old, new = tmp_path / "old.mp4", tmp_path / "new.mp4"
    for file, age in ((old, LEFT_OVER + 60), (new, LEFT_OVER - 3600)):
        file.touch()
        os.utime(file, (time.time() - age,) * 2)
    path = temporary_file(tmp_path, ".mp4")
    assert set(tmp_path.iterdir()) == {new, Path(path)}


def test_a_file_goes_when_python_ends(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from perception_clip.common.temporary_files import temporary_file; "
        "path = temporary_file(Path(sys.argv[1]), '.mp4'); print(Path(path).is_file())"
    )
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True" and list(tmp_path.iterdir()) == []
