from __future__ import annotations

import io
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from perception_clip.training.learning.state import StateFile

IDENTITY = {"sha256": "abc", "seed": 0, "learning_rate": 1e-3, "batch_size": None}


@pytest.fixture
def written(tmp_path: Path) -> StateFile:
    file = StateFile(tmp_path / "training.state", IDENTITY)
    file.write({"network": {"weight": torch.arange(4.0)}, "done": 7, "history": [{"number": 1, "best": True}]})
    return file


def test_there_and_back(written: StateFile) -> None:
    state = written.read()
    assert state is not None and torch.equal(state["network"]["weight"], torch.arange(4.0))
    assert state["done"] == 7 and state["history"] == [{"number": 1, "best": True}]
    assert [path.name for path in written.path.parent.iterdir()] == ["training.state"]
    written.remove()
    assert written.read() is None
    written.remove()  # twice does no harm


@pytest.mark.parametrize(("name", "value"), [("seed", 1), ("sha256", "def"), ("batch_size", 64), ("epochs", 9)])
def test_another_run_is_refused_by_name(written: StateFile, name: str, value: object) -> None:
    other = StateFile(written.path, {**IDENTITY, name: value})
    with pytest.raises(ValueError, match=f"had another {name} \\({IDENTITY.get(name)}, now {value}\\).*--resume"):
        other.read()


@pytest.mark.parametrize(
    "content", [0, 1, 100, -1, torch.arange(3), {"identity": IDENTITY}, [1, 2], {"identity": 3, "state": {}}]
)
def test_a_file_that_is_cut_or_no_state_is_refused(written: StateFile, content: object) -> None:
    if isinstance(content, int):
        written.path.write_bytes(written.path.read_bytes()[:content])
    else:
        torch.save(content, written.path)
    with pytest.raises(ValueError, match="training.state: the file is damaged or not the state .*without --resume"):
        written.read()


def zip_without_pickle() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("state/version", "3")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content", [b"hello world\n" * 30, b"notes", zip_without_pickle()], ids=["text", "note", "zip"]
)
def test_a_file_of_another_program_is_refused(written: StateFile, content: bytes) -> None:
    written.path.write_bytes(content)
    with pytest.raises(ValueError, match="training.state: the file is damaged or not the state .*without --resume"):
        written.read()


class Payload:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> object:
        return os.mkdir, (str(self.folder),)


def test_code_in_the_file_does_not_run(written: StateFile, tmp_path: Path) -> None:
    run = tmp_path / "it_ran"
    content = {"identity": IDENTITY, "state": Payload(run)}
    for write in (torch.save, lambda content, path: path.write_bytes(pickle.dumps(content, protocol=2))):
        write(content, written.path)
        with pytest.raises(ValueError, match="the file is damaged or not the state"):
            written.read()
        assert not run.exists()
    pickle.loads(written.path.read_bytes())  # noqa: S301
    assert run.exists()  # it would have


def test_a_failed_write_keeps_the_old_state(written: StateFile) -> None:
    with pytest.raises((AttributeError, pickle.PicklingError)):
        written.write({"done": lambda: None})
    state = written.read()
    assert state is not None and state["done"] == 7
    assert [path.name for path in written.path.parent.iterdir()] == ["training.state"]
