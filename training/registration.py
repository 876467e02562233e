"""Gives the plugin's folder, whatever it is called, the name that its modules have where pip has installed them."""

import importlib.util
import sys
from pathlib import Path


def register(root: Path) -> None:
    """Make the folder `root` the package `perception_clip`."""
    spec = importlib.util.spec_from_file_location(
        "perception_clip", root / "__init__.py", submodule_search_locations=[str(root)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["perception_clip"] = module
    spec.loader.exec_module(module)
