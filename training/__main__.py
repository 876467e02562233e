"""`python -m training <command>` from the plugin's own folder, whatever its name, with nothing installed.

The folder is registered as the package `perception_clip`, so that its modules find each other in the same way
as when ComfyUI or pip has loaded them.
"""

import importlib.util
import sys
from pathlib import Path


def _register(root: Path) -> None:
    spec = importlib.util.spec_from_file_location(
        "perception_clip", root / "__init__.py", submodule_search_locations=[str(root)]
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["perception_clip"] = module
    spec.loader.exec_module(module)


if __name__ == "__main__":
    _register(Path(__file__).resolve().parents[1])
    from perception_clip.training.cli import main

    sys.exit(main())
