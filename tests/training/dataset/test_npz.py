from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from perception_clip.training.dataset.npz import Dataset, DatasetError, content_hash, export, import_npz, load, save
from perception_clip.training.dataset.store import Store, StoreError

from .filling import Faces, fill

Arrays = dict[str, Any]


@pytest.fixture
def arrays(faces: Faces) -> Arrays:
    """The two required arrays, ten rows."""
    targets = torch.randn(10, 768, generator=torch.Generator().manual_seed(1))
    return {"perception_embeddings": faces(10).numpy(), "clip_embeddings": targets.numpy()}


def test_a_file_with_just_the_two_arrays_loads(tmp_path: Path, arrays: Arrays) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    dataset = load(tmp_path / "a.npz")
    assert np.array_equal(dataset.perceptions, arrays["perception_embeddings"])
    assert np.array_equal(dataset.clip_embeddings, arrays["clip_embeddings"])
    assert (dataset.image_sizes, dataset.prompts, dataset.groups, dataset.sources) == (None,) * 4
    assert dataset.meta == {} and len(dataset) == 10


@pytest.mark.parametrize("dtype", ["<f2", "<f8", ">f4"])
@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_other_precisions_and_compression_load(
    tmp_path: Path, arrays: Arrays, dtype: str, write: Callable[..., None]
) -> None:
    write(tmp_path / "a.npz", **{name: np.asfortranarray(array.astype(dtype)) for name, array in arrays.items()})
    dataset = load(tmp_path / "a.npz")
    assert dataset.perceptions.dtype == dataset.clip_embeddings.dtype == np.float32
    assert dataset.perceptions.flags.c_contiguous and dataset.perceptions.dtype.isnative
    tolerance = 1e-3 if dtype == "<f2" else 0
    np.testing.assert_allclose(dataset.perceptions, arrays["perception_embeddings"], atol=tolerance)
    np.testing.assert_allclose(dataset.clip_embeddings, arrays["clip_embeddings"], atol=tolerance * 5)


def test_saving_and_loading_keeps_everything(tmp_path: Path, arrays: Arrays) -> None:
    dataset = Dataset(
        perceptions=arrays["perception_embeddings"],
        clip_embeddings=arrays["clip_embeddings"],
        image_sizes=np.tile(np.array([480, 640], dtype=np.int32), (10, 1)),
        prompts=np.array(["лицо 😀"] * 10),
        groups=np.array([""] * 10),
        sources=np.array([f"{row}.png" for row in range(10)]),
        meta={"encoder": "e", "fingerprint": [0.5] * 768},
    )
    save(dataset, tmp_path / "a.npz")
    loaded = load(tmp_path / "a.npz")
    for name in ("perceptions", "clip_embeddings", "image_sizes", "prompts", "groups", "sources"):
        assert np.array_equal(getattr(loaded, name), getattr(dataset, name)), name
    assert loaded.meta == dataset.meta
    assert content_hash(loaded) == content_hash(dataset)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as plain:  # NumPy itself reads it too
        assert plain["groups"].dtype == "<U1" and str(plain["prompts"][3]) == "лицо 😀"
    save(dataset, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_export_writes_what_the_store_holds(tmp_path: Path, faces: Faces) -> None:
    with Store(fill(tmp_path / "a.db", faces(20), "sd15")) as store:
        assert export(store, tmp_path / "a.npz") == 20
        samples = next(store.iterate())
    dataset = load(tmp_path / "a.npz")
    assert np.array_equal(dataset.perceptions, faces(20).numpy())
    assert np.array_equal(dataset.clip_embeddings, samples.embeddings)
    assert dataset.image_sizes is not None and dataset.image_sizes.dtype == np.int32
    assert dataset.image_sizes[:4].tolist() == [[480, 640], [481, 640], [482, 640], [480, 640]]
    expected = {"encoder": "encoder/1", "landmarker": "landmarker/1", "emotion_model": "emotions/1", "space": "sd15"}
    assert dataset.meta.items() >= {**expected, "fingerprint": [1] * 768}.items()


def test_the_content_hash_is_that_of_earlier_versions_and_sees_every_number() -> None:
    """Checkpoints know their dataset by it."""
    perceptions, targets = np.zeros((2, 1441), np.float32), np.ones((2, 768), np.float32)
    perceptions[:, 1440] = 1
    assert content_hash(Dataset(perceptions, targets)).startswith("d7852067912150fc09b18a85bbb87aaa3566cfc0")
    sizes = np.full((2, 2), 9, np.int32)
    full = Dataset(perceptions, targets, sizes, np.array(["a", "b"]), np.array(["g", ""]))
    assert content_hash(full) == "da372a76071831eb2f26b6e48fcd87bf3044ad9cfbc31087f6f8343ac2ea57d1"
    same = replace(full, labels=np.array(["x", "y"]), splits=np.array(["", ""]), scores=np.ones(2, np.float32))
    assert content_hash(same) == content_hash(full)  # training does not learn from any of these
    other = targets.copy()
    other[1, 767] += 1
    added_targets = {"sdxl_embeddings": np.ones((2, 2048), np.float32), "sdxl_pooled": np.ones((2, 1280), np.float32)}
    for change in (
        {"splits": np.array(["", "test"])},
        {"added_targets": added_targets},
        {"clip_embeddings": other},
        {"groups": np.array(["g", "g"])},
    ):
        assert content_hash(replace(full, **change)) != content_hash(full)


def test_everything_goes_there_and_back(tmp_path: Path, faces: Faces) -> None:
    with Store(fill(tmp_path / "a.db", faces(20), sizes=False)) as store:
        assert export(store, tmp_path / "a.npz") == 20
        samples = next(store.iterate())
    dataset = load(tmp_path / "a.npz")
    for name in ("labels", "splits", "origins", "prompts", "groups"):
        assert getattr(dataset, name).tolist() == getattr(samples, name), name
    assert dataset.scores is not None and np.array_equal(dataset.scores, samples.scores, equal_nan=True)
    assert np.isnan(dataset.scores[0]) and dataset.scores[10] == 0.5
    assert dataset.image_sizes is None and dataset.space == "sdxl"
    assert dataset.meta["space"] == "sdxl"
    assert {name: array.shape for name, array in dataset.added_targets.items()} == {
        "sdxl_embeddings": (20, 2048),
        "sdxl_pooled": (20, 1280),
        "subject_embeddings": (20, 768),
        "sdxl_subject": (20, 2048),
    }
    assert all(np.array_equal(array, samples.added_targets[name]) for name, array in dataset.added_targets.items())
    with Store(tmp_path / "b.db") as store:
        assert [import_npz(tmp_path / "a.npz", store) for _ in range(2)] == [20, 0]
        assert store.provenance is not None and store.provenance.space == "sdxl"
        export(store, tmp_path / "b.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    save(dataset, tmp_path / "c.npz")
    assert content_hash(load(tmp_path / "c.npz")) == content_hash(dataset)


def test_import_names_prompts_by_all_their_vectors(tmp_path: Path, arrays: Arrays) -> None:
    arrays["clip_embeddings"][:] = arrays["clip_embeddings"][0]
    pooled = np.zeros((10, 1280), np.float32)
    pooled[5:] = 1
    np.savez(tmp_path / "a.npz", **arrays, sdxl_embeddings=np.ones((10, 2048), np.float32), sdxl_pooled=pooled)
    with Store(tmp_path / "a.db") as store:
        assert import_npz(tmp_path / "a.npz", store) == 10
        assert len(set(next(store.iterate()).prompts)) == 2


def test_export_needs_little_memory(tmp_path: Path, faces: Faces) -> None:
    with Store(fill(tmp_path / "a.db", faces(6000), "sd15")) as store:
        tracemalloc.start()
        export(store, tmp_path / "a.npz")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (tmp_path / "a.npz").stat().st_size > 50e6
    assert peak < 25e6  # a batch of 1024 rows, as SQLite gives it and as an array


def test_an_empty_store_is_not_exported(tmp_path: Path) -> None:
    with Store(tmp_path / "a.db") as store, pytest.raises(DatasetError, match="has no samples yet"):
        export(store, tmp_path / "a.npz")
    assert not (tmp_path / "a.npz").exists()


def test_import_of_just_the_two_arrays(tmp_path: Path, arrays: Arrays, faces: Faces) -> None:
    arrays["clip_embeddings"][5:] = arrays["clip_embeddings"][0]
    np.savez(tmp_path / "a.npz", **arrays)
    with Store(tmp_path / "a.db") as store:
        assert import_npz(tmp_path / "a.npz", store) == 10
        prompts = set(next(store.iterate()).prompts)
        assert len(prompts) == 5 and all(prompt.startswith("#") for prompt in prompts)
        export(store, tmp_path / "b.npz")
    dataset = load(tmp_path / "b.npz")
    assert np.array_equal(dataset.perceptions, arrays["perception_embeddings"])
    assert np.array_equal(dataset.clip_embeddings, arrays["clip_embeddings"])
    assert dataset.image_sizes is None  # still unknown
    assert dataset.meta["encoder"] == "unknown" and dataset.meta["fingerprint"] is None
    with Store(fill(tmp_path / "c.db", faces(3, seed=5), "sd15")) as store:
        with pytest.raises(StoreError, match="text encoder 'encoder/1', not 'unknown'"):
            import_npz(tmp_path / "a.npz", store)
        assert len(store) == 3


def with_rows(array: np.ndarray, rows: list[int], value: float) -> np.ndarray:
    array = array.copy()
    array[rows, 700] = value
    return array


PERCEPTIONS, TARGETS = "perception_embeddings", "clip_embeddings"
SDXL = {"sdxl_embeddings": np.ones((10, 2048), "f4"), "sdxl_pooled": np.ones((10, 1280), "f4")}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (TARGETS, lambda _: None, r"clip_embeddings is missing \(the file contains perception_emb"),
        (PERCEPTIONS, lambda _: None, "perception_embeddings is missing"),
        (TARGETS, lambda a: a[:, :512], r"shape \(10, 512\); it must be \(N, 768\)"),
        (TARGETS, lambda a: a[0], r"shape \(768,\); it must be \(N, 768\)"),
        (PERCEPTIONS, lambda a: a[:, :1434], r"perception_embeddings has the shape \(10, 1434\); .* \(N, 1441\)"),
        (
            TARGETS,
            lambda a: a[:9],
            "clip_embeddings has 9 rows, but perception_embeddings has 10; row i of every array",
        ),
        (PERCEPTIONS, lambda a: a[:0], "has no rows"),
        (
            TARGETS,
            lambda a: with_rows(a, [3], np.nan),
            r"1 of 10 rows that contain NaN .*: 3 \(counted from 0\); remove",
        ),
        (PERCEPTIONS, lambda a: with_rows(a, [*range(2, 10)], np.inf), "has 8 of 10 rows .*: 2, 3, 4, 5, 6 and 3 more"),
        (TARGETS, lambda a: a.astype(np.float64) * 1e300, "10 of 10 rows that contain"),
        (PERCEPTIONS, lambda a: np.roll(a, 1, axis=1), "emotion probabilities .* do not sum to 1"),
        (TARGETS, lambda a: a.astype(np.int64), "has the type int64; save it as float32"),
        (TARGETS, lambda a: a.astype(complex), "has the type complex128"),
        ("groups", lambda _: np.array(["x"] * 9), "groups has 9 rows"),
        ("image_sizes", lambda _: np.zeros((10, 2), np.int32), "10 of 10 rows that contain sizes below 1 pixel"),
        ("image_sizes", lambda _: np.ones((10, 3), np.int32), r"image_sizes has the shape \(10, 3\)"),
        ("prompts", lambda _: np.arange(10), "prompts has the type int64; save it as text"),
        ("prompts", lambda _: np.array([b"\xff"] * 10), "prompts contains invalid text"),
        ("prompts", lambda _: np.array([0x110000] * 10, "<u4").view("<U1"), "prompts contains invalid text"),
        ("prompts", lambda _: np.array([0xD800] * 10, ">u4").view(">U1"), "prompts contains invalid text"),
        ("prompts", lambda _: np.array(["x" * (2**20 + 1)] * 10), "longest text may have 1048576 characters"),
        ("meta", lambda _: np.array("{"), "meta is not JSON"),
        ("meta", lambda _: np.array("[1]"), "meta is not a JSON object"),
        ("meta", lambda _: np.array('{"fingerprint": [1, 2]}'), "fingerprint that is not 768 finite numbers"),
        ("meta", lambda _: np.array('{"encoder": 3}'), "has no text as encoder"),
        ("meta", lambda _: np.array('{"space": ["sd15"]}'), r"names the text space \['sd15'\]; only sd15 and"),
        ("meta", lambda _: np.array('{"space": "sdxl"}'), "sdxl_embeddings is missing, but"),
        ("sdxl_embeddings", lambda _: np.ones((10, 2048), "f4"), "sdxl_pooled is missing, but"),
        ("sdxl_subject", lambda _: np.ones((10, 2048), "f4"), "sdxl_embeddings is missing, but"),
        ("subject_embeddings", lambda _: np.ones((10, 9), "f4"), r"subject_embeddings has the shape \(10, 9\)"),
        (
            "subject_embeddings",
            lambda _: np.full((10, 768), np.nan),
            "subject_embeddings has 10 of 10 rows that contain",
        ),
        ("splits", lambda _: np.array(["train"] * 9 + ["dev"]), "splits contains 'dev'; use train, validation, test"),
        ("scores", lambda _: np.array([0.5] * 9 + [1.5]), "1 of 10 rows that are not detection scores.*: 9"),
    ],
)
def test_bad_arrays_are_named(
    tmp_path: Path, arrays: Arrays, name: str, change: Callable[[Any], Any], message: str
) -> None:
    changed = {**arrays, name: change(arrays.get(name))}
    np.savez(tmp_path / "bad.npz", **{key: array for key, array in changed.items() if array is not None})
    with pytest.raises(DatasetError, match=message) as caught:
        load(tmp_path / "bad.npz")
    assert str(tmp_path / "bad.npz") in str(caught.value)


def test_the_subjects_vectors_of_a_space_belong_together(tmp_path: Path, arrays: Arrays) -> None:
    np.savez(tmp_path / "bad.npz", **arrays, **SDXL, subject_embeddings=arrays["clip_embeddings"])
    with pytest.raises(DatasetError, match="sdxl_subject is missing, but subject_embeddings and sdxl_subject belong"):
        load(tmp_path / "bad.npz")


def test_bad_rows_of_any_array_are_listed_if_they_may_be(tmp_path: Path, arrays: Arrays) -> None:
    scores = np.array([0.5] * 9 + [1.5], "f4")
    sdxl = {**SDXL, "sdxl_pooled": with_rows(SDXL["sdxl_pooled"], [2], np.inf)}
    arrays["perception_embeddings"] = with_rows(arrays["perception_embeddings"], [5, 4], np.nan)
    np.savez(tmp_path / "a.npz", **arrays, **sdxl, scores=scores)
    assert load(tmp_path / "a.npz", allow_bad_rows=True).bad_rows.tolist() == [2, 4, 5, 9]


class Payload:
    """Unpickled, this would create a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", ["perception_embeddings", "clip_embeddings", "prompts", "meta"])
def test_object_arrays_are_refused_and_not_run(tmp_path: Path, arrays: Arrays, name: str) -> None:
    mark = tmp_path / "it ran"
    objects = np.array([[Payload(mark)]] if "embeddings" in name else [Payload(mark)], dtype=object)
    np.savez(tmp_path / "bad.npz", **{**arrays, name: objects}, allow_pickle=True)
    with pytest.raises(DatasetError, match=f"{name} contains pickled Python objects, which could run code"):
        load(tmp_path / "bad.npz")
    assert not mark.exists()
    with np.load(tmp_path / "bad.npz", allow_pickle=True) as file:  # the payload does work
        file[name]
    assert mark.exists()


def test_files_that_are_no_npz(tmp_path: Path, arrays: Arrays) -> None:
    np.savez(tmp_path / "whole.npz", **arrays)
    content = (tmp_path / "whole.npz").read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 1):
        (tmp_path / "cut.npz").write_bytes(content[:length])
        with pytest.raises(DatasetError, match=r"cut\.npz: this is not an NPZ file, or it is truncated"):
            load(tmp_path / "cut.npz")
    np.savez(tmp_path / "empty.npz")
    with pytest.raises(DatasetError, match=r"perception_embeddings is missing \(the file contains nothing\)"):
        load(tmp_path / "empty.npz")
    with pytest.raises(DatasetError, match="there is no such file"):
        load(tmp_path / "missing.npz")
    with pytest.raises(DatasetError, match="not an NPZ file"):
        load(tmp_path)
