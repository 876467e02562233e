"""`python train_without_dropout.py train …`: the command, but with dropout 0, so that nothing is left to chance."""

from __future__ import annotations

import sys
from dataclasses import replace

from perception_clip.training.cli import main
from perception_clip.training.commands import train

if __name__ == "__main__":
    given = train.settings_of
    train.settings_of = lambda options: replace(given(options), dropout=0.0)
    sys.exit(main())
