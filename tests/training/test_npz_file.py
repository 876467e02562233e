"""Files that lie about themselves: refused with a message, never executed, never believed."""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib import format as npy
from torch import Tensor

from perception_clip.training.npz import Dataset, DatasetError, load, save

Faces = Callable[..., Tensor]


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
        with pytest.raises(DatasetError, match="declares the shape .* but 4000 are there"):
            load(tmp_path / "bad.npz")
        assert tracemalloc.get_traced_memory()[1] < 5e6
        tracemalloc.stop()


def test_a_member_twice_is_refused(tmp_path: Path, arrays: dict[str, Any]) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    with zipfile.ZipFile(tmp_path / "bad.npz", "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("clip_embeddings.npy", member((10, 768), data=b"\0" * 30720))
    with pytest.raises(DatasetError, match="clip_embeddings is in the file twice"):
        load(tmp_path / "bad.npz")


def test_names_that_lead_elsewhere_are_only_names(tmp_path: Path, arrays: dict[str, Any]) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive:
        archive.writestr("../outside.npy", member((1,), data=b"\0" * 4))
    before = sorted(tmp_path.parent.iterdir())
    assert len(load(tmp_path / "a.npz")) == 10
    assert sorted(tmp_path.parent.iterdir()) == before


def loads_or_says_why(path: Path) -> bool:
    """True for a sound dataset or an error that names the file; any other exception is a failure."""
    try:
        dataset = load(path)
    except DatasetError as error:
        return str(path) in str(error)
    return len(dataset) >= 1 and bool(np.isfinite(dataset.perceptions).all())


@pytest.fixture(scope="module")
def small_file(tmp_path_factory: pytest.TempPathFactory, faces: Faces) -> bytes:
    path = tmp_path_factory.mktemp("npz") / "small.npz"
    targets = np.ones((2, 768), dtype=np.float32)
    prompts, sizes = np.array(["one", "two"]), np.ones((2, 2), dtype=np.int32)
    save(Dataset(faces(2).numpy(), targets, sizes, prompts, prompts, prompts, {"encoder": "e"}), path)
    return path.read_bytes()


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_damaged_files_load_or_say_why(
    tmp_path_factory: pytest.TempPathFactory, small_file: bytes, data: st.DataObject
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


@settings(max_examples=100, deadline=None)
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


@settings(max_examples=100, deadline=None)
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
