"""A disk that is really full: a small file system in memory, mounted for one process alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

FILLER = Path(__file__).with_name("disk_filler.py")
NAMESPACE = ["unshare", "--mount"] if os.name == "posix" and os.geteuid() == 0 else ["unshare", "-Urm"]
MOUNT = 'mount -t tmpfs -o size=6m tmpfs "$0" && '


@pytest.fixture
def small_disk(tmp_path: Path) -> list[str]:
    """The beginning of a command that runs with 6 MB of room in `tmp_path`."""
    command = [*NAMESPACE, "sh", "-c", MOUNT + 'exec "$@"', str(tmp_path)]
    if shutil.which("unshare") is None or subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a file system")
    return command


def test_a_full_disk_loses_nothing(small_disk: list[str], tmp_path: Path) -> None:
    done = subprocess.run([*small_disk, sys.executable, str(FILLER), str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["acknowledged"] > 50 and result["kept"]
    assert result["integrity"] == [["ok"]]
    assert "a.db: database or disk is full; free some disk space and run it again" in result["said"]["append"]
    assert "No space left on device" in result["said"]["export"]
    assert result["rows of the NPZ before"] == 1
    assert result["after making room"] == result["acknowledged"] + 20
    assert set(result["files"]) <= {"a.db", "a.db-wal", "a.db-shm", "a.npz"}
