"""`python -m training <command>` from the plugin's own folder, whatever its name, with nothing installed.

The folder is registered as the package `perception_clip`, so that its modules find each other in the same way
as when ComfyUI or pip has loaded them.
"""

import sys
from pathlib import Path

from .registration import register

if __name__ == "__main__":
    register(Path(__file__).resolve().parents[1])
    from perception_clip.training.cli import main

    sys.exit(main())
