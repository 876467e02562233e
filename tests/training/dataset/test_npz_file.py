"""Files that lie about themselves: refused with a message, never executed, never believed."""

from __future__ import annotations

import contextlib
import io
import json
import mmap
import tracemalloc
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy

from perception_clip.training.dataset.npz import Dataset, DatasetError, load, save
from perception_clip.training.dataset.npz_file import Layout, Member, read, write

from .filling import Faces, own_memory


@pytest.fixture
def arrays(faces: Faces) -> dict[str, Any]:
    """The two required arrays, ten rows."""
    return {"perception_embeddings": faces(10).numpy(), "clip_embeddings": np.ones((10, 768), dtype=np.float32)}


def member(shape: Any, dtype: str = "<f4", data: bytes = b"") -> bytes:
    """An .npy file that declares `shape` and `dtype`, whatever its data."""
    buffer = io.BytesIO()
    npy.write_array_header_1_0(buffer, {"descr": dtype, "fortran_order": False, "shape": shape})
    return buffer.getvalue() + data


def test_declared_sizes_are_not_believed(tmp_path: Path) -> None:
    for shape in ((10**6, 1441), (10**15, 1441), (2**62, 1441), (0, 1441), (1, 1441)):
        with zipfile.ZipFile(tmp_path / "bad.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("perception_embeddings.npy", member(shape, data=b"\0" * 4000))
            archive.writestr("clip_embeddings.npy", member((1, 768), data=b"\0" * 3072))
        tracemalloc.start()
        with pytest.raises(DatasetError, match="declares the shape .* but it has 4000"):
            load(tmp_path / "bad.npz")
        assert tracemalloc.get_traced_memory()[1] < 5e6
        tracemalloc.stop()


def test_a_member_twice_is_refused(tmp_path: Path, arrays: dict[str, Any]) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    with zipfile.ZipFile(tmp_path / "bad.npz", "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("clip_embeddings.npy", member((10, 768), data=b"\0" * 30720))
    with pytest.raises(DatasetError, match="clip_embeddings is in the file twice"):
        load(tmp_path / "bad.npz")


@pytest.mark.parametrize(
    "name", ["../outside", "/outside", "a/../../outside", "..\\outside", "C:\\outside", "\\outside"]
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, arrays: dict[str, Any], name: str) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr(f"{name}.npy", member((1,), data=b"\0" * 4))
    before = sorted(tmp_path.parent.rglob("*"))
    with pytest.raises(DatasetError, match="outside.npy' is a path, not the name of an array"):
        load(tmp_path / "a.npz")
    assert sorted(tmp_path.parent.rglob("*")) == before


def loads_or_says_why(path: Path) -> bool:
    """True for a sound dataset or an error that names the file; any other exception is a failure."""
    try:
        dataset = load(path)
    except DatasetError as error:
        return str(path) in str(error)
    return len(dataset) >= 1 and all(
        np.isfinite(array).all()
        for array in (dataset.perceptions, dataset.clip_embeddings, *dataset.added_targets.values())
    )


@pytest.fixture(scope="module")
def small_file(tmp_path_factory: pytest.TempPathFactory, faces: Faces) -> bytes:
    path = tmp_path_factory.mktemp("npz") / "small.npz"
    targets = np.ones((2, 768), dtype=np.float32)
    prompts, sizes = np.array(["one", "two"]), np.ones((2, 2), dtype=np.int32)
    dataset = Dataset(faces(2).numpy(), targets, sizes, prompts, prompts, prompts, {"encoder": "e"})
    added_targets = {"sdxl_embeddings": np.ones((2, 2048), "f4"), "sdxl_pooled": np.ones((2, 1280), "f4")}
    splits, scores = np.array(["test", ""]), np.array([0.5, np.nan], "f4")
    save(
        replace(dataset, labels=prompts, splits=splits, origins=prompts, scores=scores, added_targets=added_targets),
        path,
    )
    return path.read_bytes()


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_damaged_files_load_or_say_why(
    tmp_path_factory: pytest.TempPathFactory, small_file: bytes, faces: Faces, data: st.DataObject
) -> None:
    content = bytearray(small_file)
    headers = [at for at in range(len(content) - 4) if content[at : at + 2] == b"PK" or content[at] == 0x93]
    for _ in range(data.draw(st.integers(1, 6))):
        start = data.draw(st.sampled_from(headers))  # zip and npy headers: elsewhere checksums see all
        at = min(start + data.draw(st.integers(0, 150)), len(content) - 1)
        content[at] = data.draw(st.integers(0, 255))
    end = data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    path.write_bytes(content[:end])
    assert loads_or_says_why(path)
    with contextlib.suppress(DatasetError):
        assert np.array_equal(load(path).perceptions, faces(2).numpy())  # what loads is what was saved


HEADERS = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=200).map(str.encode),
    st.sampled_from([b"(" * 9000, b"[" * 3000, b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}"]),
    st.builds(
        lambda descr, order, shape: repr({"descr": descr, "fortran_order": order, "shape": shape}).encode(),
        st.one_of(
            st.sampled_from(["<f4", "|O", "<U3", "<U2147483647", "<M8[s]", "|V9999999", "f4,f4", "", "<f99"]),
            st.just([("a", "<f4"), ("b", "|O")]),
            st.integers(),
        ),
        st.one_of(st.booleans(), st.none()),
        st.one_of(
            st.lists(st.integers(-(2**70), 2**70), max_size=4).map(tuple),
            st.lists(st.sampled_from([0, 1, 2, 768, 1441, 2**31, 2**63, True, None, 1.5, "x"]), max_size=3).map(tuple),
            st.integers(),
        ),
    ),
)


@settings(max_examples=40, deadline=None)
@given(headers=st.lists(HEADERS, min_size=4, max_size=4), body=st.binary(max_size=100), version=st.integers(0, 4))
@pytest.mark.filterwarnings("ignore::UserWarning")  # NumPy's, on headers that Python 2 may have written
def test_strange_headers_load_or_say_why(
    tmp_path_factory: pytest.TempPathFactory, headers: list[bytes], body: bytes, version: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "strange.npz"
    good = {"perception_embeddings": np.eye(1, 1441, 1440, np.float32), "clip_embeddings": np.ones((1, 768), "f4")}
    for keep in (0, 1, 2):  # so many good arrays stand before the strange ones
        with zipfile.ZipFile(path, "w") as archive:
            names = ["perception_embeddings", "clip_embeddings", "image_sizes", "meta"]
            for number, (name, header) in enumerate(zip(names, headers, strict=True)):
                length = len(header).to_bytes(2 if version == 1 else 4, "little")
                content = b"\x93NUMPY" + bytes([version, 0]) + length + header + body
                if number < keep:
                    buffer = io.BytesIO()
                    np.save(buffer, good[name])
                    content = buffer.getvalue()
                archive.writestr(f"{name}.npy", content)
        tracemalloc.start()
        assert loads_or_says_why(path)
        assert tracemalloc.get_traced_memory()[1] < 20e6
        tracemalloc.stop()


@settings(max_examples=40, deadline=None)
@given(
    text=st.one_of(
        st.text(max_size=100),
        st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["encoder", "fingerprint", "space", "landmarker", "x"]), inner, max_size=4
                )
            ),
            max_leaves=8,
        ).map(json.dumps),
    )
)
def test_any_meta_loads_or_says_why(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "meta.npz"
    np.savez(
        path,
        perception_embeddings=np.eye(1, 1441, 1440, dtype=np.float32),
        clip_embeddings=np.ones((1, 768), dtype=np.float32),
        meta=np.array(text),
    )
    assert loads_or_says_why(path)


def mapped(array: np.ndarray) -> bool:
    """Whether the array's memory is the file's."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, mmap.mmap) or (isinstance(base, memoryview) and isinstance(base.obj, mmap.mmap))


@pytest.fixture
def large(tmp_path: Path, faces: Faces) -> Path:
    """4000 rows, 35 MB."""
    targets, texts = np.ones((4000, 768), np.float32), np.array([f"person {row}" for row in range(4000)])
    save(Dataset(faces(4000).numpy(), targets, prompts=texts, groups=texts), tmp_path / "large.npz")
    return tmp_path / "large.npz"


def test_arrays_are_mapped_and_checked_in_little_memory(large: Path, faces: Faces) -> None:
    load(large)
    before = own_memory()
    tracemalloc.start()
    dataset = load(large)
    assert tracemalloc.get_traced_memory()[1] < 8e6
    tracemalloc.stop()
    assert own_memory() - before < 8e6
    for array in (dataset.perceptions, dataset.clip_embeddings, dataset.prompts):
        assert array is not None and mapped(array) and array.ctypes.data % 64 == 0 and array.flags.c_contiguous
    assert np.array_equal(dataset.perceptions, faces(4000).numpy())
    assert dataset.prompts is not None and dataset.prompts[3999] == "person 3999"


@pytest.mark.filterwarnings("error")  # torch warns of arrays that cannot be written to
def test_a_tensor_shares_the_mapped_memory_and_the_file_stays_as_it_is(large: Path) -> None:
    content = large.read_bytes()
    dataset = load(large)
    tensor = torch.from_numpy(np.ascontiguousarray(dataset.perceptions))
    assert tensor.data_ptr() == dataset.perceptions.ctypes.data
    tensor += 1
    assert large.read_bytes() == content
    assert load(large).perceptions[0, 0] == tensor[0, 0] - 1


def test_the_file_may_be_replaced_while_its_arrays_are_in_use(large: Path, arrays: dict[str, Any]) -> None:
    dataset = load(large)
    save(Dataset(arrays["perception_embeddings"], arrays["clip_embeddings"]), large)
    assert len(load(large)) == 10
    assert float(dataset.clip_embeddings.sum()) == 4000 * 768 and dataset.prompts is not None


@pytest.mark.parametrize("position", [0.0, 0.3, 0.999])
def test_a_changed_number_is_noticed(large: Path, position: float) -> None:
    content = bytearray(large.read_bytes())
    with zipfile.ZipFile(large) as archive:
        start = archive.getinfo("perception_embeddings.npy").header_offset
    content[start + 300 + int(position * 4000 * 1441 * 4)] ^= 1
    large.write_bytes(content)
    with pytest.raises(DatasetError, match="perception_embeddings cannot be read .*CRC"):
        load(large)


def test_equal_files_and_aligned_data_whatever_the_names(tmp_path: Path) -> None:
    for run in ("a", "b"):
        members = [
            Member("n" * length, np.dtype("<f4"), (length,), [np.full(length, length, "f4")]) for length in range(1, 70)
        ]
        write(tmp_path / f"{run}.npz", members)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    arrays = read(tmp_path / "a.npz", {"n" * length: Layout("f", ("N",)) for length in range(1, 70)})
    with np.load(tmp_path / "a.npz") as file:
        for length in range(1, 70):
            assert file["n" * length].tolist() == [length] * length
            array = arrays["n" * length]
            assert mapped(array) and array.ctypes.data % 64 == 0 and array.tolist() == [length] * length


def test_numpys_own_files_are_mapped_if_they_happen_to_be_aligned(tmp_path: Path) -> None:
    """An array at an odd address would be undefined behavior in torch: it is read into memory."""
    found = set()
    for length in range(1, 9):
        np.savez(tmp_path / "a.npz", **{"n" * length: np.arange(10, dtype=np.float32)})
        array = read(tmp_path / "a.npz", {"n" * length: Layout("f", ("N",))})["n" * length]
        assert array.flags.aligned and array.flags.writeable and array.tolist() == list(range(10))
        found.add(mapped(array))
    assert found == {True, False}


@pytest.mark.parametrize("dtype", ["<f2", "<f8", ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_what_has_to_be_converted_is_in_memory(tmp_path: Path, dtype: str, order: str) -> None:
    array = np.arange(3000 * 8).reshape(3000, 8).astype(dtype, order=order)
    write(tmp_path / "a.npz", [Member("c", np.dtype(dtype), array.shape, [array])])
    np.savez(tmp_path / "b.npz", c=array)
    for name in ("a", "b"):
        found = read(tmp_path / f"{name}.npz", {"c": Layout("f", ("N", 8))})["c"]
        assert not mapped(found) and found.dtype == np.float32 and found.dtype.isnative and found.flags.c_contiguous
        assert np.array_equal(found, array.astype(np.float32))
