"""Files of perceptions: they come back bit for bit, and what is no such file is refused by name."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from perception_clip.perception import storage
from perception_clip.perception.storage import METADATA_KEY, PerceptionFileError, find, load, path_of, save, unused
from perception_clip.perception.vector import Perceptions

from .reference_faces import reference_faces

Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def faces() -> Perceptions:
    """Two faces, in the first and third of four pictures; the second one was filled in."""
    scores = torch.tensor([0.9, 0.0])
    return replace(reference_faces(), scores=scores, frame_count=4, landmarker="reference/1 «ü»")


@pytest.fixture
def path(faces: Perceptions, tmp_path: Path) -> Path:
    """A good file."""
    save(faces, tmp_path / "faces.safetensors")
    return tmp_path / "faces.safetensors"


def same(one: Perceptions, other: Perceptions) -> bool:
    tensors = all(
        torch.equal(getattr(one, name), getattr(other, name)) and getattr(one, name).dtype == getattr(other, name).dtype
        for name in storage.TENSORS
    )
    words = ("frame_count", "landmarker", "emotion_model")
    return tensors and all(getattr(one, name) == getattr(other, name) for name in words)


def metadata_of(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


def rewritten(path: Path, change: Callable[[Tensors, dict[str, Any]], object]) -> Path:
    """The file with its tensors and metadata changed."""
    tensors, description = load_file(path), json.loads(metadata_of(path)[METADATA_KEY])
    change(tensors, description)
    save_file(tensors, path, metadata={METADATA_KEY: json.dumps(description)})
    return path


def refusal(path: Path) -> str:
    with pytest.raises(PerceptionFileError) as error:
        load(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    return message


def test_faces_come_back_bit_for_bit(faces: Perceptions, path: Path) -> None:
    assert same(load(path), faces)
    assert load(path).empty_frames == [1, 3]
    before = path.read_bytes()
    save(load(path), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("frame_count", [0, 3])
def test_no_face_is_a_file_too(faces: Perceptions, tmp_path: Path, frame_count: int) -> None:
    nobody = replace(faces.select([]), frame_count=frame_count)
    save(nobody, tmp_path / "new folder" / "nobody.safetensors")
    assert same(load(tmp_path / "new folder" / "nobody.safetensors"), nobody)


def test_tensors_that_share_memory_or_lie_scattered_are_saved(faces: Perceptions, tmp_path: Path) -> None:
    numbers = torch.arange(4)[::2]
    shared = replace(faces, frames=numbers, tracks=numbers, vectors=faces.vectors.double().T.contiguous().T)
    save(shared, tmp_path / "x.safetensors")
    assert same(load(tmp_path / "x.safetensors"), replace(shared, vectors=faces.vectors))


def test_what_was_loaded_does_not_change_with_the_file(faces: Perceptions, path: Path) -> None:
    loaded = load(path)
    path.write_bytes(bytes(path.stat().st_size))  # in place, as no writer of this pack does
    assert same(loaded, faces)


def test_files_of_another_kind_are_named(path: Path, tmp_path: Path) -> None:
    for absent in (tmp_path / "absent.safetensors", tmp_path):
        assert "there is no such file" in refusal(absent)
    content = path.read_bytes()
    parts = [content[:length] for length in (0, 4, 100, len(content) // 2, len(content) - 1)]
    for unreadable in (*parts, pickle.dumps({"vectors": 1})):
        path.write_bytes(unreadable)
        assert "not a readable safetensors file" in refusal(path)
    save_file({"weight": torch.zeros(3)}, path)
    assert "the file contains no perceptions; choose a file written by Save Perception" in refusal(path)
    path.write_bytes(content)
    rewritten(path, lambda _, words: words.update(format_version=2))
    assert "format version 2 is newer than this pack supports (1); update the pack" in refusal(path)


@settings(max_examples=60)
@given(st.data())
def test_a_changed_byte_is_refused_or_still_a_perception(
    faces: Perceptions, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Most changes hit a number that may be another; none ends in anything but faces or the named error."""
    path = tmp_path_factory.mktemp("changed") / "faces.safetensors"
    save(faces, path)
    content = bytearray(path.read_bytes())
    header = 8 + struct.unpack("<Q", content[:8])[0]
    place = data.draw(st.integers(0, header + 200) | st.integers(0, len(content) - 1))
    content[place] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        assert len(load(path)) == 2
    except PerceptionFileError as error:
        assert str(path) in str(error)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", "null", "{}", "[" * 100_000, '{"format_version": true}'])
def test_metadata_that_is_none_is_refused(path: Path, text: str) -> None:
    save_file(load_file(path), path, metadata={METADATA_KEY: text})
    assert "damaged: its metadata" in refusal(path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"frame_count": -1}, "number of frames is -1"),
        ({"frame_count": 10**18}, "number of frames is 1000000000000000000, not 0 to 1000000"),
        ({"frame_count": 2.0}, "number of frames is 2.0"),
        ({"frame_count": True}, "number of frames is True"),
        ({"frame_count": None}, "number of frames is None"),
        ({"frame_count": 2}, "the frame of a face is not one of the 2"),
        ({"landmarker": 5}, "the identity of the landmarker is not one line"),
        ({"landmarker": "x" * 501}, "the identity of the landmarker is not one line"),
        ({"emotion_model": "a\nb"}, "the identity of the emotion_model is not one line"),
        ({"emotion_model": "\ud800"}, "the identity of the emotion_model is not one line"),
        ({"extra": 1}, "its metadata is incomplete"),
    ],
)
def test_absurd_words_are_named(path: Path, change: dict[str, Any], reason: str) -> None:
    assert reason in refusal(rewritten(path, lambda _, words: words.update(change)))


def put(name: str, row: int, column: int | None, value: float) -> Callable[[Tensors, dict[str, Any]], object]:
    def change(tensors: Tensors, _: dict[str, Any]) -> None:
        tensors[name][row if column is None else (row, column)] = value

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (put("vectors", 1, 3, float("nan")), "perception row 1 contains NaN"),
        (put("vectors", 0, 1440, -1.0), "negative emotion probability"),
        (put("vectors", 0, 1440, 2.0), "do not sum to 1"),
        (put("image_sizes", 0, 1, 0), "height or width is below 1"),
        (put("frames", 1, None, -1), "the frame of a face is not one of the 4"),
        (put("frames", 1, None, 4), "the frame of a face is not one of the 4"),
        (put("frames", 0, None, 3), "not ordered by frame"),
        (put("boxes", 1, 2, float("inf")), "a box contains NaN"),
        (put("boxes", 1, 0, 1e6), "edge before its left"),
        (put("scores", 1, None, 1.5), "a score is not between 0 and 1"),
        (put("scores", 1, None, float("nan")), "a score is not between 0 and 1"),
        (put("tracks", 1, None, -1), "a track is below 0"),
        (lambda tensors, _: tensors.pop("tracks"), "its tensors are not vectors, image_sizes"),
        (lambda tensors, _: tensors.update(more=torch.zeros(1)), "its tensors are not vectors"),
        (lambda tensors, _: tensors.update(scores=torch.zeros(3)), "scores is ('F32', [3]), not ('F32', [2])"),
        (lambda tensors, _: tensors.update(scores=torch.zeros(2).half()), "scores is ('F16', [2])"),
        (lambda tensors, _: tensors.update(vectors=torch.zeros(2, 1440)), "vectors is ('F32', [2, 1440])"),
        (lambda tensors, _: tensors.update(vectors=torch.zeros(())), "vectors is ('F32', [])"),
    ],
)
def test_values_that_no_picture_gives_are_named(
    path: Path, change: Callable[[Tensors, dict[str, Any]], object], reason: str
) -> None:
    assert reason in refusal(rewritten(path, change))


def test_absurd_sizes_are_refused_by_the_header_alone(path: Path) -> None:
    """Six gigabytes of nothing, as a sparse file: it is refused without being read."""
    faces = storage.MAX_FACES + 1
    header, end = {"__metadata__": metadata_of(path)}, 0
    for name, (dtype, word, row) in storage.TENSORS.items():
        size = faces * torch.empty(row, dtype=dtype).nelement() * dtype.itemsize
        header[name] = {"dtype": word, "shape": [faces, *row], "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    assert "the file contains 1,000,001 faces, but at most 1000000 are allowed" in refusal(path)


def test_nothing_is_saved_that_could_not_be_loaded(faces: Perceptions, path: Path) -> None:
    before = path.read_bytes()
    for bad in (faces.select([1, 0]), replace(faces, frame_count=1), replace(faces, landmarker="a\nb")):
        with pytest.raises(PerceptionFileError, match=path.name):
            save(bad, path)
    assert path.read_bytes() == before


def test_a_folder_that_cannot_be_written_to_is_named(faces: Perceptions, path: Path) -> None:
    with pytest.raises(PerceptionFileError, match="cannot be written .* has free space"):
        save(faces, path / "below a file.safetensors")


def test_names_lead_nowhere_else(tmp_path: Path) -> None:
    assert path_of(tmp_path, "my smile") == tmp_path / "my smile.safetensors"
    for name in ("../x", "/etc/x", "a/b", "a\\b", "..", "", "con", ".hidden", "x" * 51, "a.", "a\0"):
        with pytest.raises(PerceptionFileError, match="cannot be the name of saved faces"):
            path_of(tmp_path, name)


def test_the_longest_name_can_be_written_and_found(faces: Perceptions, tmp_path: Path) -> None:
    path = path_of(tmp_path, "𠀀" * 50)
    save(faces, path)
    save(faces, unused(path))
    assert list(find(tmp_path)) == [path.stem, f"{path.stem}_00001"]


def test_a_taken_name_gets_a_number(tmp_path: Path) -> None:
    path = tmp_path / "v1.2.safetensors"
    assert unused(path) == path
    path.touch()
    assert unused(path).name == "v1.2_00001.safetensors"
    unused(path).touch()
    assert unused(path).name == "v1.2_00002.safetensors"


def test_files_are_found_by_name(tmp_path: Path) -> None:
    assert find(tmp_path / "absent") == {}
    for name in ("b", "A", "ä b", ".half-written", "a..b"):
        (tmp_path / f"{name}.safetensors").touch()
    (tmp_path / "folder.safetensors").mkdir()
    (tmp_path / "other.db").touch()
    assert find(tmp_path) == {name: tmp_path / f"{name}.safetensors" for name in ("A", "b", "ä b")}
