"""`python -m training <command>` from the plugin's own folder, whatever its name, with nothing installed.

The folder becomes the package `perception_clip`, so that its modules find each other in the same way as when ComfyUI or
pip has loaded them.
"""

import sys
from pathlib import Path
from types import ModuleType

if __name__ == "__main__":
    package = ModuleType("perception_clip")
    package.__path__ = [str(Path(__file__).resolve().parents[1])]
    sys.modules[package.__name__] = package
    from perception_clip.training.cli import main

    sys.exit(main())
