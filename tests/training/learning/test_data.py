from __future__ import annotations

import copy
import dataclasses
import math
from pathlib import Path

import pytest
import torch

from perception_clip.projection.network import ProjectionNetwork
from perception_clip.training.dataset.npz import Dataset, load, save
from perception_clip.training.learning import data as tables
from perception_clip.training.learning.data import TrainingData, make_table, of_dataset, sample, training_data
from perception_clip.training.learning.settings import Settings
from perception_clip.training.learning.split import Split
from perception_clip.training.learning.trainer import new_network, train

QUICK = Settings(epochs=3, size="small")
PLACES = ("memory", "mapped features", "streamed targets", "both")


@pytest.fixture(scope="module")
def network(data: TrainingData, rows: Split, template: torch.Tensor) -> ProjectionNetwork:
    return new_network(data, rows, template, QUICK, None)


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the rows lie, by making memory scarce."""
    if request.param in ("mapped features", "both"):
        monkeypatch.setattr(tables, "FEATURES_IN_MEMORY", 1000)
    if request.param in ("streamed targets", "both"):
        monkeypatch.setattr(tables, "TARGETS_IN_MEMORY", 1000)
    return str(request.param)


@pytest.fixture(scope="module")
def mapped(data: TrainingData, tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    """The same data in a file."""
    path = tmp_path_factory.mktemp("data") / "training_data.npz"
    save(Dataset(data.vectors.numpy(), data.targets.numpy(), data.image_sizes.numpy()), path)
    return of_dataset(load(path))


@pytest.fixture(scope="module")
def in_memory(data: TrainingData, rows: Split, template: torch.Tensor) -> dict[str, torch.Tensor]:
    return train(data, rows, template, QUICK).network.state_dict()


def test_training_is_the_same_wherever_the_rows_lie(
    mapped: TrainingData, rows: Split, template: torch.Tensor, in_memory: dict[str, torch.Tensor], place: str
) -> None:
    weights = train(mapped, rows, template, QUICK).network.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in in_memory.items())


def test_the_temporary_file_is_gone(
    data: TrainingData, rows: Split, network: ProjectionNetwork, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tables, "FEATURES_IN_MEMORY", 1000)
    monkeypatch.setattr(tables.tempfile, "tempdir", str(tmp_path))
    # A folder cannot be removed on Windows while a file in it is mapped.
    monkeypatch.setattr(tables.tempfile, "TemporaryDirectory", None)
    table = make_table(network, data, rows.train)
    assert not list(tmp_path.iterdir()) and table.features.isfinite().all()


@pytest.mark.parametrize(
    ("bad", "named"), [([7], "rows 7 "), (range(3, 13), "rows 3, 4, 5, 6, 7 and 5 more ")], ids=["one", "ten"]
)
def test_bad_rows_are_named(data: TrainingData, network: ProjectionNetwork, bad: list[int], named: str) -> None:
    vectors = data.vectors.clone()
    vectors[list(bad), 100] = math.nan
    with pytest.raises(ValueError, match=f"perceptions of {named}.*counted from 0.*NaN or infinite"):
        make_table(network, dataclasses.replace(data, vectors=vectors), torch.arange(len(data)))
    fine = torch.tensor([row for row in range(len(data)) if row not in bad])
    assert len(make_table(network, dataclasses.replace(data, vectors=vectors), fine)) == len(data) - len(bad)


def test_rows_keep_their_targets_where_all_differ(
    data: TrainingData, rows: Split, network: ProjectionNetwork, place: str
) -> None:
    own = training_data(data.vectors, data.image_sizes, data.targets + torch.arange(len(data))[:, None] * 1e-3)
    table = make_table(network, own, rows.validation)
    expected = (own.targets[rows.validation] - network.target_mean) / network.target_scale
    assert (table.targets is None) == (place in ("streamed targets", "both"))
    assert len(own.first_row) == len(own) and torch.equal(table.targets_of(torch.arange(len(table))), expected)


def elsewhere(network: ProjectionNetwork) -> ProjectionNetwork:
    """The network, with all but its features on a device that cannot compute."""
    moved = copy.deepcopy(network)
    for part in (moved.enter, moved.blocks, moved.norm, moved.leave):
        part.to("meta")
    moved.target_mean, moved.target_scale = moved.target_mean.to("meta"), moved.target_scale.to("meta")
    return moved


def test_features_are_computed_on_the_cpu_and_moved_in_batches(
    data: TrainingData, rows: Split, network: ProjectionNetwork
) -> None:
    table = make_table(elsewhere(network), data, rows.train)
    assert torch.equal(table.features, make_table(network, data, rows.train).features)
    assert table.features_of(torch.arange(3)).device.type == "meta"


def test_training_data_knows_its_prompts(data: TrainingData) -> None:
    assert len(data.first_row) == 16 and data.prompts[:2] == ["prompt 1", "prompt 2"]
    assert torch.equal(data.unique_targets(data.target_index), data.targets)


def test_a_sample_is_in_order_and_always_the_same() -> None:
    rows = torch.arange(100, 200)
    chosen = sample(rows, 30)
    assert len(chosen) == 30 and torch.equal(chosen, chosen.unique()) and torch.equal(chosen, sample(rows, 30))
    assert torch.equal(sample(rows, 100), rows)
