"""What inspecting a dataset says of faces whose copies, groups and labels are known."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.vector import EMOTIONS, pack
from perception_clip.training.dataset.samples import Samples
from perception_clip.training.dataset.store import Store
from perception_clip.training.inspection.checks import inspect_scan
from perception_clip.training.inspection.inspection import Inspection
from perception_clip.training.inspection.scan import scan_dataset
from perception_clip.training.inspection.text import describe

EVEN = torch.full((1, len(EMOTIONS)), 1 / len(EMOTIONS))

Make = Callable[..., Inspection]


@pytest.fixture
def inspected(tmp_path: Path) -> Make:
    """A function: texts and rows of ten sampled faces → the inspection of a dataset with these."""
    model = ExpressionModel.load()
    landmarks, sizes = model.sample(torch.arange(10) % 7, torch.ones(10), torch.Generator().manual_seed(3))
    vectors = pack(landmarks, EVEN.expand(10, -1))

    def make(rows: list[int], prompts: list[str], **texts: list[str]) -> Inspection:
        known = {prompt: torch.randn(768, generator=torch.Generator().manual_seed(zlib.crc32(prompt.encode())))
                 for prompt in prompts}  # fmt: skip
        path = tmp_path / "a.db"
        path.unlink(missing_ok=True)
        with Store(path) as store:
            store.set_provenance("encoder", torch.ones(768), "landmarker", "emotions")
            embeddings = torch.stack([known[prompt] for prompt in prompts])
            sources = [f"{number}.png" for number in range(len(rows))]
            store.append(Samples(vectors[rows], sizes[rows], prompts, embeddings, sources=sources, **texts))
            with store.snapshot() as snapshot:
                return inspect_scan(scan_dataset(snapshot), path)

    return make


def said(held: Inspection) -> str:
    return "\n".join(issue.text for issue in held.issues)


def test_copies_across_groups_leak_and_within_do_not(inspected: Make) -> None:
    rows, prompts = [0, 0, 1, 2, 3], ["a", "b", "a", "b", "c"]
    within = inspected(rows, prompts, groups=["p", "p", "q", "r", "s"])
    across = inspected(rows, prompts, groups=["p", "q", "q", "r", "s"])
    alone = inspected(rows, prompts)  # each sample is a group of its own
    for held, leaking in ((within, 0), (across, 2), (alone, 2)):
        assert (held.perceptions, held.repeated, held.near_duplicates, held.straddling) == (4, 1, 0, leaking)
    assert across.leaks == [("0.png", "1.png")]
    assert "2 samples have near-duplicates in another group" in said(across) and "near-dup" not in said(within)


def test_labels_that_contradict_each_other_are_named(inspected: Make) -> None:
    held = inspected([0, 0, 1, 2], ["a", "b", "c", "d"], groups=list("ppqr"), labels=["happy", "sad", "sad", ""])
    assert held.contradictions == [("0.png", "1.png")]
    assert "2 samples are near-duplicates with different labels, such as 0.png and 1.png" in said(held)
    assert held.labels == {"sad": 2, "happy": 1}
    assert held.balance == (("sad", 2), ("happy", 1))


def test_all_spellings_of_a_label_are_counted_as_one(inspected: Make) -> None:
    labels = ["Happy", "HAPPINESS", "Freude", "Smirk", "smirk", ""]
    held = inspected(list(range(6)), list("abcdef"), labels=labels)
    assert held.labels == {"happy": 3, "Smirk": 2}


@pytest.mark.parametrize(
    ("rows", "prompts", "texts", "stops", "message"),
    [
        ([0, 1], ["a", "b"], {}, True, "the dataset has only 2 samples; at least 3 are needed"),
        ([0, 1, 2], ["a", "a", "a"], {}, True, "all samples have the same prompt"),
        ([0, 1, 2], ["a", "b", "c"], {"groups": ["p", "p", "q"]}, False, "fewer than 3 groups"),
        ([0, 1, 2], ["a", "b", "c"], {}, False, "no sample has a group"),
        ([0, 1, 2, 3], ["a", "b", "c", "d"], {"splits": ["train"] * 4}, False, "leave nothing for validation"),
        (list(range(7)), list("abcdefg"), {"labels": ["happy"] * 6 + ["fear"]}, False, "6 times as many samples"),
    ],
)
def test_what_is_missing_is_said(
    inspected: Make, rows: list[int], prompts: list[str], texts: dict[str, list[str]], stops: bool, message: str
) -> None:
    held = inspected(rows, prompts, **texts)
    (issue,) = [issue for issue in held.issues if message in issue.text]
    assert issue.blocking == stops
    assert ("not ready for training" in describe(held).splitlines()[-1]) == any(issue.blocking for issue in held.issues)
