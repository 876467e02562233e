from __future__ import annotations

import hashlib
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from perception_clip.perception.editing.arithmetic import add_difference
from perception_clip.perception.editing.edit import edit, mix
from perception_clip.perception.editing.join import join
from perception_clip.perception.editing.schedule import spread
from perception_clip.perception.origins import as_texts, derived, of_picture, unknown
from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.perception.selection import Selection
from perception_clip.perception.sequences.missing import fill
from perception_clip.perception.sequences.smoothing import smooth
from perception_clip.perception.vector import Perceptions

from .reference_faces import MODEL, reference_faces


def test_a_face_is_named_by_its_picture_and_number() -> None:
    picture = torch.arange(24, dtype=torch.uint8).reshape(2, 4, 3)
    two = of_picture(picture, [0, 1])
    assert two.shape == (2, 32) and two.dtype == torch.uint8
    whole = hashlib.sha256(b"(2, 4, 3)" + bytes(range(24))).digest()
    assert as_texts(two)[1] == hashlib.sha256(whole + b"face 1").hexdigest()
    assert torch.equal(of_picture(picture.flip(0).flip(0), [1]), two[1:])
    assert not torch.equal(of_picture(picture.reshape(4, 2, 3), [0]), two[:1])
    assert of_picture(picture, []).shape == (0, 32)


def test_what_is_made_from_unknown_faces_is_unknown() -> None:
    known = torch.ones(2, 32, dtype=torch.uint8)
    assert as_texts(unknown(1)) == [""]
    assert as_texts(derived("x", known, torch.cat([known[:1], unknown(1)])))[1] == ""
    assert torch.equal(derived("x", known, unknown(1)), unknown(2))
    assert len(set(as_texts(derived(["x", "y"], known)))) == 2
    assert torch.equal(derived("x", known, known[:1]), derived("x", known, known))


def test_the_same_picture_has_the_same_faces_in_any_company(astronaut: np.ndarray, grace_hopper: np.ndarray) -> None:
    both = np.zeros((512, 800, 3), np.uint8)
    both[:, :512], both[100:356, 530:786] = astronaut, astronaut[::2, ::2]
    pipeline = PerceptionPipeline(detector="standard")
    alone = pipeline([astronaut])
    batch = pipeline([astronaut, grace_hopper, astronaut, both])
    assert torch.equal(batch.origins[:1], alone.origins) and torch.equal(batch.origins[2], batch.origins[0])
    assert len(batch) == 5 and len(set(as_texts(batch.origins))) == 4
    # A face keeps its name wherever it stands among those that are chosen.
    right_first = PerceptionPipeline(detector="standard", selection=Selection(index=1))([both])
    assert torch.equal(right_first.origins, batch.origins[4:])


Change = Callable[[Perceptions], Perceptions]
CHANGES: dict[str, Change] = {
    "edit": lambda faces: edit(faces, {"happy": 1.0}, 1.0, MODEL),
    "edit more": lambda faces: edit(faces, {"happy": 1.0}, 1.5, MODEL),
    "edit otherwise": lambda faces: edit(faces, {"sad": 1.0}, 1.0, MODEL),
    "mix": lambda faces: mix(faces, faces.select([1]), 0.5, MODEL),
    "mix more": lambda faces: mix(faces, faces.select([1]), 0.6, MODEL),
    "mix with another": lambda faces: mix(faces, faces.select([0]), 0.5, MODEL),
    "add": lambda faces: add_difference(faces, faces.select([0]), faces.select([1]), 1.0, MODEL),
    "add the other way": lambda faces: add_difference(faces, faces.select([1]), faces.select([0]), 1.0, MODEL),
}


def test_each_change_makes_another_face() -> None:
    faces = reference_faces()
    origins: dict[str, list[str]] = {"unchanged": as_texts(faces.origins)}
    for name, change in CHANGES.items():
        origins[name] = as_texts(change(faces).origins)
        assert origins[name] == as_texts(change(faces).origins), name
    texts = [text for each in origins.values() for text in each]
    assert "" not in texts and len(set(texts)) == len(texts)


def test_what_changes_nothing_keeps_the_names() -> None:
    faces = reference_faces()
    for same in (edit(faces, {"happy": 0.0}, 1.0, MODEL), mix(faces, faces, 0.0, MODEL), smooth(faces, 0.0, [0, 1, 2])):
        assert torch.equal(same.origins, faces.origins)
    assert torch.equal(join(faces, faces).origins, torch.cat([faces.origins, faces.origins]))
    assert torch.equal(faces.select([1]).origins, faces.origins[1:])


def test_keys_of_a_schedule_keep_theirs() -> None:
    faces = reference_faces()
    origins = spread(faces, 5, "linear").origins
    assert torch.equal(origins[[0, 4]], faces.origins)
    assert len(set(as_texts(origins))) == 5
    assert torch.equal(spread(faces, 4, "hold").origins, faces.origins[[0, 0, 1, 1]])


def test_a_smoothed_face_depends_on_its_whole_track() -> None:
    faces = reference_faces().select([0, 1, 1])
    faces.tracks[:] = torch.tensor([0, 0, 0])
    faces.frames[:] = torch.tensor([0, 1, 2])

    def smoothed(some: Perceptions, amount: float = 0.5) -> Tensor:
        return smooth(some, amount, [0.0, 0.1, 0.2]).origins

    origins = smoothed(faces)
    assert torch.equal(origins[0], faces.origins[0])  # the first of a track stays as it is
    assert len(set(as_texts(origins))) == 3  # the same picture twice, each time behind others
    assert torch.equal(smoothed(faces), origins) and not torch.equal(smoothed(faces, 0.6), origins)


def test_faces_that_are_filled_in() -> None:
    faces = reference_faces()
    previous = fill(faces, "previous", (512, 512))
    assert len(previous) > len(faces)
    assert set(as_texts(previous.origins)) == set(as_texts(faces.origins))
    template = fill(faces, "neutral", (512, 512))
    assert as_texts(template.origins[template.scores == 0]) == [""] * (len(template) - len(faces))
