"""`merge`, `filter`, `relabel` and `info`, as they are typed, on faces with real geometry."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.geometry import head_pose
from perception_clip.perception.vector import EMOTIONS, pack, split
from perception_clip.training.dataset.relabeling import read_map
from perception_clip.training.dataset.samples import Samples
from perception_clip.training.dataset.store import Store
from perception_clip.training.encoders.base import fingerprint
from perception_clip.training.encoders.loading import load_encoder

from ..command_line import fails, ok

COUNT = 70


def sampled(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Perceptions (count, 1441) of faces drawn from the expression model, and their picture sizes."""
    model = ExpressionModel.load()
    generator = torch.Generator().manual_seed(seed)
    emotions = torch.arange(count) % len(EMOTIONS)
    landmarks, sizes = model.sample(emotions, torch.ones(count), generator)
    return pack(landmarks, model.probabilities(landmarks, sizes)), sizes


def write(path: Path, vectors: torch.Tensor, sizes: torch.Tensor, encoder: str = "random", person: str = "p") -> Path:
    """A dataset in which row i shows EMOTIONS[i % 7], has the score i / count, and belongs to one of seven people."""
    text = load_encoder(encoder)
    labels = [EMOTIONS[row % len(EMOTIONS)] for row in range(len(vectors))]
    prompts = [f"a {label} face" for label in labels]
    with Store(path) as store:
        store.set_provenance(text.identity, fingerprint(text), "landmarker/1", "emotions/1")
        store.append(
            Samples(
                vectors,
                sizes,
                prompts,
                text.encode(prompts),
                [f"{person} {row // 10}" for row in range(len(vectors))],
                [f"{person} {row}.png" for row in range(len(vectors))],
                [f"{person} key {row}" for row in range(len(vectors))],
                labels=labels,
                scores=torch.arange(len(vectors)) / len(vectors),
            )
        )
    return path


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write(tmp_path / "a.db", *sampled(COUNT, seed=0))


def read(path: Path) -> Samples:
    with Store(path, create=False) as store:
        (samples,) = store.iterate()
    return samples


def test_merge(dataset: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "b.db", *sampled(30, seed=1), person="q")
    ok("export", dataset, "--out", tmp_path / "a.npz")
    before = dataset.read_bytes()
    out = tmp_path / "all.db"
    shown = ok("merge", other, tmp_path / "a.npz", dataset, "--out", out)
    assert f"{dataset}: 0 of 70 samples new" in shown and f"100 samples in {out}" in shown
    merged, first, second = read(out), read(other), read(dataset)
    for name in ("prompts", "groups", "sources", "labels", "origins"):
        assert getattr(merged, name) == [*getattr(first, name), *getattr(second, name)]
    np.testing.assert_array_equal(merged.perceptions, np.concatenate([first.perceptions, second.perceptions]))
    np.testing.assert_array_equal(merged.scores, np.concatenate([first.scores, second.scores]))
    assert dataset.read_bytes() == before
    assert "is an input dataset, which is never changed" in fails("merge", dataset, other, "--out", dataset)


def test_datasets_made_differently_do_not_mix(dataset: Path, tmp_path: Path, tiny_clip: Path) -> None:
    other = write(tmp_path / "b.db", *sampled(10, seed=1), encoder=str(tiny_clip))
    assert "cannot be merged: the first was made with the text encoder" in fails(
        "merge", dataset, other, "--out", tmp_path / "all.db"
    )
    assert not (tmp_path / "all.db").exists()


def test_filter(dataset: Path, tmp_path: Path) -> None:
    whole = read(dataset)
    landmarks, _ = split(torch.from_numpy(whole.perceptions))
    pose = head_pose(landmarks, torch.from_numpy(whole.image_sizes), ExpressionModel.load().template)
    yaw = pose[:, 0].abs().numpy()
    assert 0 < (yaw <= 10).sum() < COUNT
    labels = np.array(whole.labels)
    expected = {
        ("--min-score", 0.5): whole.scores >= 0.5,
        ("--max-yaw", 10): yaw <= 10,
        ("--label", "Happiness", "--label", "sad"): np.isin(labels, ["happy", "sad"]),
        ("--prompt", "a fear face"): labels == "fear",
        ("--prompt-contains", "angry", "--min-score", 0.5): (labels == "angry") & (whole.scores >= 0.5),
        ("--group", "p 3"): np.array([group == "p 3" for group in whole.groups]),
        ("--label", "happy", "--invert"): labels != "happy",
    }
    for number, (conditions, keep) in enumerate(expected.items()):
        shown = ok("filter", dataset, "--out", tmp_path / f"{number}.db", *conditions)
        kept = read(tmp_path / f"{number}.db")
        assert kept.sources == [source for source, kept in zip(whole.sources, keep, strict=True) if kept], conditions
        assert f"{keep.sum()} of 70 samples kept" in shown
    assert "no condition was passed; add one" in fails("filter", dataset, "--out", tmp_path / "x.db")
    assert "no sample is left" in fails("filter", dataset, "--out", tmp_path / "x.db", "--label", "nobody")
    assert not (tmp_path / "x.db").exists()


@pytest.mark.parametrize(
    ("flag", "value", "range_of"),
    [("--min-score", "nan", "0 to 1"), ("--min-score", "70", "0 to 1"), ("--max-yaw", "nan", "at least 0")],
)
def test_limits_that_no_face_can_meet_or_fail(
    capsys: pytest.CaptureFixture[str], flag: str, value: str, range_of: str
) -> None:
    with pytest.raises(SystemExit):
        ok("filter", "a.db", "--out", "b.db", flag, value)
    message = capsys.readouterr().err.splitlines()[-1]
    assert flag in message and range_of in message and value in message


def test_outliers_and_duplicates_are_found_and_left_out(tmp_path: Path) -> None:
    """Of 210 faces, 3 have their landmarks shuffled, and 4 repeat another but for noise of a tenth of a pixel."""
    vectors, sizes = sampled(210, seed=2)
    generator = torch.Generator().manual_seed(0)
    for row in (5, 50, 100):
        points = vectors[row, :1434].view(478, 3)
        vectors[row, :1434] = points[torch.randperm(478, generator=generator)].flatten()
    for row in (150, 160, 170, 180):
        noise = torch.randn(1434, generator=generator) * 0.1 / sizes[row - 7].max()
        vectors[row] = vectors[row - 7]
        vectors[row, :1434] += noise
        sizes[row] = sizes[row - 7]
    path = write(tmp_path / "a.db", vectors, sizes)
    held = json.loads(ok("info", path, "--json"))
    assert held["samples"] == 210
    ok("filter", path, "--out", tmp_path / "b.db", "--drop-outliers")
    ok("filter", path, "--out", tmp_path / "c.db", "--drop-near-duplicates")
    rows = set(range(210))
    left_out = [rows - {int(s[2:-4]) for s in read(tmp_path / f"{name}.db").sources} for name in "bc"]
    assert left_out == [{5, 50, 100}, {150, 160, 170, 180}]


def test_of_duplicates_one_stays_that_meets_the_other_conditions(tmp_path: Path) -> None:
    """Row 1 is the same face as row 0, whose score is too low; row 2 is that of row 3, which has another prompt."""
    vectors, sizes = sampled(8, seed=3)
    for row, of in ((1, 0), (2, 3)):
        vectors[row], sizes[row] = vectors[of], sizes[of]
    vectors[1, 0] += 1e-6
    path = write(tmp_path / "a.db", vectors, sizes)
    both = ok("filter", path, "--out", tmp_path / "b.db", "--min-score", 0.1, "--drop-near-duplicates")
    assert [source[2:-4] for source in read(tmp_path / "b.db").sources] == list("1234567")
    assert "dropped: 1 (score below 0.1)" in both
    shown = ok("filter", path, "--out", tmp_path / "c.db", "--drop-near-duplicates")
    assert [source[2:-4] for source in read(tmp_path / "c.db").sources] == list("0234567")
    assert "dropped: 1 (near-duplicate of a kept sample)" in shown
    ok("filter", path, "--out", tmp_path / "d.db", "--drop-near-duplicates", "--invert")
    assert read(tmp_path / "d.db").sources == ["p 1.png"]


def test_what_is_unknown_is_said(dataset: Path, tmp_path: Path) -> None:
    whole = read(dataset)
    np.savez(tmp_path / "bare.npz", perception_embeddings=whole.perceptions, clip_embeddings=whole.embeddings)
    assert "the size of 70 pictures is unknown" in ok(
        "filter", tmp_path / "bare.npz", "--out", tmp_path / "b.db", "--max-yaw", 10
    )
    assert "no sample is left" in fails("filter", tmp_path / "bare.npz", "--out", tmp_path / "c.db", "--min-score", 0.5)
    assert "kept: 70 (unknown score, which counts as too low)" in ok(
        "filter", tmp_path / "bare.npz", "--out", tmp_path / "c.db", "--min-score", 0.5, "--invert"
    )


def test_prompts_that_the_dataset_has_need_no_encoder(dataset: Path, tmp_path: Path) -> None:
    before, whole = dataset.read_bytes(), read(dataset)
    words = ("--from-label", "Anger", "--to-prompt", "a neutral face")  # in any spelling
    ok("relabel", dataset, "--out", tmp_path / "b.db", *words)
    changed = read(tmp_path / "b.db")
    assert changed.prompts == [prompt.replace("angry", "neutral") for prompt in whole.prompts]
    row = whole.prompts.index("a neutral face")
    np.testing.assert_array_equal(changed.embeddings[0], whole.embeddings[row])
    assert changed.origins == whole.origins
    message = fails("relabel", dataset, "--out", tmp_path / "c.db", *words[:3], "something new")
    assert "no vector for 1 of the new prompts, such as 'something new': pass --text-encoder" in message
    assert "'random-weight placeholder" in message and not (tmp_path / "c.db").exists()
    fails("relabel", dataset, "--out", dataset, *words)
    assert dataset.read_bytes() == before


def test_relabel(dataset: Path, tmp_path: Path, tiny_clip: Path) -> None:
    (tmp_path / "map.csv").write_text('old,new\na happy face,"a person, beaming"\nnever there,x\n')
    encoder = ("--text-encoder", "random")
    shown = ok("relabel", dataset, "--out", tmp_path / "b.db", "--map", tmp_path / "map.csv", *encoder)
    assert "10 of 70 samples with changed prompts" in shown and "does not have them: 'never there'" in shown
    whole, changed = read(dataset), read(tmp_path / "b.db")
    assert changed.prompts == [p.replace("a happy face", "a person, beaming") for p in whole.prompts]
    np.testing.assert_array_equal(changed.perceptions, whole.perceptions)
    row = changed.prompts.index("a person, beaming")
    expected = load_encoder("random").encode(["a person, beaming"])[0].numpy()
    np.testing.assert_allclose(changed.embeddings[row], expected, atol=1e-4)

    many = ("--templates", "--prompts-per-sample", 2)
    ok("relabel", dataset, "--out", tmp_path / "c.db", *many, *encoder)
    varied = read(tmp_path / "c.db")
    assert len(varied) == 140 and len(set(varied.prompts)) > 70 and varied.labels[::2] == whole.labels

    assert (
        "encoder" in fails("relabel", dataset, "--out", tmp_path / "d.db", *many, "--text-encoder", tiny_clip)
        and not (tmp_path / "d.db").exists()
    )
    ok("relabel", dataset, "--out", tmp_path / "d.db", "--re-encode", "--text-encoder", tiny_clip)
    anew = read(tmp_path / "d.db")
    assert anew.prompts == whole.prompts
    np.testing.assert_allclose(
        anew.embeddings[0], load_encoder(str(tiny_clip)).encode(whole.prompts[:1])[0].numpy(), atol=1e-4
    )


def test_relabeling_keeps_and_adds_subject_vectors(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # a report without pictures will do
    encoder, name = load_encoder("random"), "subject_embeddings"
    words = ("--from-label", "happy", "--to-prompt", "a person, beaming", "--text-encoder", "random")
    ok("relabel", dataset, "--out", tmp_path / "without.db", *words)
    assert read(tmp_path / "without.db").added_targets == {}
    assert "subject vectors  none: a projection steers at the end of the text only" in ok(
        "info", tmp_path / "without.db"
    )

    ok("relabel", dataset, "--out", tmp_path / "with.db", "--re-encode", "--text-encoder", "random")
    ok("relabel", tmp_path / "with.db", "--out", tmp_path / "changed.db", *words)
    ok("filter", tmp_path / "changed.db", "--out", tmp_path / "some.npz", "--min-score", 0.5)
    ok("import", tmp_path / "some.npz", "--out", tmp_path / "some.db")
    for path in ("with.db", "changed.db", "some.db"):
        samples = read(tmp_path / path)
        expected = encoder.added_targets(samples.prompts)[name].numpy()
        np.testing.assert_allclose(samples.added_targets[name], expected, atol=1e-4)
    assert "a person, beaming" in samples.prompts and len(samples) == 35
    assert "subject vectors  yes" in ok("info", tmp_path / "some.npz")

    for data, known in (("without.db", False), ("with.db", True)):
        out = tmp_path / data.removesuffix(".db")
        shown = ok("train", "--data", tmp_path / data, "--out-dir", out, "--epochs", 1, "--size", "small")
        assert (f"{tmp_path / data} has no subject vectors: the projection steers at the end" in shown) == (not known)
        assert (
            "Subject's vector: mean-centered cosine"
            in ok("evaluate", "--data", tmp_path / "with.db", "--checkpoint", out / "best_model.safetensors")
        ) == known

    other = write(tmp_path / "other.db", *sampled(10, seed=1), person="q")
    ok("merge", tmp_path / "with.db", other, "--out", tmp_path / "both.db")
    assert len(read(tmp_path / "both.db")) == 80 and name in read(tmp_path / "both.db").added_targets  # same prompts
    ok("merge", tmp_path / "changed.db", dataset, "--out", tmp_path / "mixed.db")
    assert read(tmp_path / "mixed.db").added_targets == {}


@given(
    content=st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: ("old,new\n" + text).encode("utf-8", "replace"))
)
def test_any_map_gives_prompts_or_a_message(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("map") / "map.csv"
    path.write_bytes(content)
    try:
        pairs = read_map(path)
    except ValueError as error:
        assert "map.csv" in str(error)
    else:
        assert all(old.strip() and new.strip() for old, new in pairs.items())


def test_info(dataset: Path, tmp_path: Path) -> None:
    text = ok("info", dataset)
    assert "landmarker/1" in text and "emotions/1" in text and "random-weight placeholder" in text
    assert max(map(len, text.splitlines())) <= 100
    ok("export", dataset, "--out", tmp_path / "a.npz")
    held = [json.loads(ok("info", path, "--json")) for path in (dataset, tmp_path / "a.npz")]
    assert held[0]["samples"] == held[1]["samples"] == COUNT and set(held[0]) == set(held[1])
    Store(tmp_path / "empty.db").close()
    assert "no samples" in ok("info", tmp_path / "empty.db")
    fails("info", tmp_path / "missing.db")
    (tmp_path / "text.npz").write_text("no dataset")
    fails("info", tmp_path / "text.npz")
    assert "choose another folder (--report)" in fails("info", dataset, "--report", dataset)
    assert "pass a CSV" in fails("relabel", dataset, "--out", tmp_path / "b.db", "--map", tmp_path / "no.csv")
