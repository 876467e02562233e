"""Samples copied from dataset to dataset keep all that they have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from perception_clip.projection.spaces import SD15, SDXL, added_targets
from perception_clip.training.dataset.copying import copy_samples, reencode, take, vectors_of, with_prompts
from perception_clip.training.dataset.npz import export
from perception_clip.training.dataset.opening import open_dataset, versions_of
from perception_clip.training.dataset.samples import Samples
from perception_clip.training.dataset.store import Store, StoreError
from perception_clip.training.encoders.base import fingerprint
from perception_clip.training.encoders.loading import load_encoder

from .filling import Faces, all_of, assert_same, fill

COUNT = 1200  # more than a batch


@pytest.mark.parametrize("space", [SD15.name, SDXL.name])
@pytest.mark.parametrize("known", [True, False])  # sizes and the subject's vectors
@pytest.mark.parametrize("suffix", [".db", ".npz"])
@pytest.mark.filterwarnings("error")
def test_a_copy_is_the_same_in_all_columns(tmp_path: Path, faces: Faces, space: str, known: bool, suffix: str) -> None:
    path = fill(tmp_path / "a.db", faces(COUNT), space, sizes=known, subject=known)
    if suffix == ".npz":
        with Store(path) as store:
            export(store, tmp_path / "a.npz")
    with open_dataset(tmp_path / f"a{suffix}") as source, Store(tmp_path / "b.db") as target:
        assert source.has_image_sizes == source.has_subject == known and versions_of(source)["dataset"].isdigit()
        assert [copy_samples(source, target) for _ in range(2)] == [COUNT, 0]
        assert target.provenance is not None and source.provenance is not None
        assert not target.provenance.differences(source.provenance)
    assert_same(all_of(tmp_path / "b.db"), all_of(path))


def test_shards_make_the_dataset_of_a_single_build(tmp_path: Path, faces: Faces) -> None:
    whole = fill(tmp_path / "whole.db", faces(COUNT))
    parts = [
        fill(tmp_path / f"{begin}.db", faces(COUNT), rows=slice(begin, end))
        for begin, end in ((0, 500), (400, 900), (900, COUNT))  # the second begins with a hundred of the first
    ]
    with Store(tmp_path / "merged.db") as target:
        new = []
        for part in parts:
            with open_dataset(part) as source:
                new.append(copy_samples(source, target))
    assert new == [500, 400, 300]
    assert_same(all_of(tmp_path / "merged.db"), all_of(whole))


def test_samples_are_kept_and_then_changed(tmp_path: Path, faces: Faces) -> None:
    path = fill(tmp_path / "a.db", faces(COUNT))
    seen = []

    def change(samples: Samples) -> Samples:
        seen.append(len(samples))
        return with_prompts(samples, [("other", prompt) for prompt in samples.prompts])[0]

    with open_dataset(path) as source, Store(tmp_path / "b.db") as target:
        assert copy_samples(source, target, keep=np.arange(COUNT) % 3 == 1) == COUNT // 3
    np.testing.assert_array_equal(all_of(tmp_path / "b.db").perceptions, all_of(path).perceptions[1::3])
    with open_dataset(path) as source, Store(tmp_path / "c.db") as target, pytest.raises(StoreError, match="embedding"):
        copy_samples(source, target, change=change)  # one prompt, three vectors
    assert seen == [1024]


def test_a_sample_with_another_prompt_has_the_same_origin(tmp_path: Path, faces: Faces) -> None:
    whole = all_of(fill(tmp_path / "a.db", faces(4)))
    changed, other = with_prompts(whole, [("new", "лицо 0"), ("лицо 1",), (), ("new",)])
    assert changed.prompts == ["new", "лицо 0", "лицо 1", "new"]
    assert other.tolist() == [True, False, False, True]
    assert changed.origins == ["", "", "key 1", "key 3"]
    np.testing.assert_array_equal(changed.perceptions, whole.perceptions[[0, 0, 1, 3]])
    assert_same(take(whole, np.array([True, False, True, False])), take(whole, np.array([0, 2])))


def test_prompts_encoded_anew_for_another_space(tmp_path: Path, faces: Faces) -> None:
    path = fill(tmp_path / "a.db", faces(COUNT), SD15.name, subject=False)
    encoder = load_encoder("random", space=SDXL.name)
    with open_dataset(path) as source, Store(tmp_path / "b.db") as target:
        assert reencode(source, target, encoder) == COUNT
        assert target.provenance is not None
        assert (target.provenance.encoder, target.provenance.space) == (encoder.identity, SDXL.name)
        np.testing.assert_allclose(target.provenance.fingerprint, fingerprint(encoder).numpy(), atol=1e-6)
    before, after = all_of(path), all_of(tmp_path / "b.db")
    assert (after.prompts, after.origins, after.labels) == (before.prompts, before.origins, before.labels)
    np.testing.assert_array_equal(after.perceptions, before.perceptions)
    prompts = before.prompts[:3]
    np.testing.assert_allclose(after.embeddings[:3], encoder.encode(prompts).numpy(), atol=1e-4)
    for name, values in encoder.added_targets(prompts).items():
        np.testing.assert_allclose(after.added_targets[name][:3], values.numpy(), atol=1e-4)


@pytest.mark.parametrize("space", [SD15.name, SDXL.name])
def test_no_prompts_have_no_vectors(tmp_path: Path, space: str) -> None:
    with Store(tmp_path / "a.db") as store:
        embeddings, added = vectors_of([], store, load_encoder("random", space=space))
    shapes = {name: tuple(values.shape) for name, values in added.items()}
    assert embeddings.shape == (0, 768)
    assert shapes == {name: (0, width) for name, width in added_targets(space, subject=True).items()}


def test_datasets_of_another_encoder_stay_apart(tmp_path: Path, faces: Faces) -> None:
    path = fill(tmp_path / "a.db", faces(5), SD15.name)
    other = fill(tmp_path / "b.db", faces(5, seed=1), SDXL.name)
    with open_dataset(path) as source, Store(other) as target:
        with pytest.raises(StoreError, match="text space 'sdxl', not 'sd15'"):
            copy_samples(source, target)
        assert len(target) == 5


def test_a_dataset_without_samples_gives_none(tmp_path: Path) -> None:
    Store(tmp_path / "a.db").close()
    with open_dataset(tmp_path / "a.db") as source, Store(tmp_path / "b.db") as target:
        assert copy_samples(source, target) == 0 and target.provenance is None
        assert reencode(source, target, load_encoder("random")) == 0
