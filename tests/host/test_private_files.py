"""Datasets, saved faces and checkpoints: names stay in their folders, and faces are not served over HTTP."""

from __future__ import annotations

import urllib.error
import urllib.parse
from pathlib import Path

import pytest

from .conftest import Collect
from .server import Host
from .test_face_perception import perceive, photo
from .test_stored_perception import save
from .test_train_projection import train

NAMES = ["../x", "/etc/x", "a\\b", "con", ".hidden", ""]


def stored_files(host: Host) -> set[Path]:
    return {path for path in host.base.rglob("*") if path.suffix in (".db", ".safetensors", ".pth")}


def test_names_cannot_leave_their_folders(host: Host, collect: Collect, photos: dict[str, str]) -> None:
    faces, before = perceive(photo(photos["astronaut"])), stored_files(host)
    for name in NAMES:
        assert "cannot be a dataset name" in host.run(collect(dataset=name)).message
    for name in NAMES:
        assert f"{name!r} is not a valid checkpoint name" in host.run(train("absent", name)).message
        for overwrite in (False, True):
            assert f"{name!r} cannot be the name of saved faces" in host.run(save(faces, name, overwrite)).message
    assert stored_files(host) == before


def test_faces_are_not_served(host: Host, collect: Collect, photos: dict[str, str]) -> None:
    assert host.run(collect(dataset="private")).succeeded
    assert host.run(save(perceive(photo(photos["astronaut"])), "private")).succeeded
    for folder, name in (("datasets", "private.db"), ("perceptions", "private.safetensors")):
        inside = f"__perception_clip/{folder}"
        assert (host.base / "user" / inside / name).is_file()
        views = [f"filename=../user/{inside}/{name}", f"subfolder=../user/{inside}&filename={name}"]
        paths = [urllib.parse.quote(f"{up}{inside}/{name}", safe="") for up in ("", "../", "default/../../")]
        for route in (
            *(f"/userdata/{path}" for path in paths),
            *(f"/view?type={kind}&{view}" for kind in ("input", "output", "temp") for view in views),
        ):
            with pytest.raises(urllib.error.HTTPError) as refusal:
                host.read(route)
            assert refusal.value.code in (400, 403, 404), route
