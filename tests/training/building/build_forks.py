"""Starts builds of one folder into one dataset, again and again, each in a process that is meant to be killed.

usage: python build_forks.py FOLDER DATASETS

Loading torch and the models takes seconds, so this process does it once. For each name of a dataset in the folder
DATASETS on standard input it forks a child that builds; the child prints "started PID", then "acknowledged N" after
each batch, N being the samples in the dataset, and "done"; this process prints "ended" after it. The models run on one
thread, and not before the fork: OpenMP's threads do not survive it.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from perception_clip.perception.pipeline import PerceptionPipeline
from perception_clip.training.building.build import BuildSummary, build
from perception_clip.training.building.item_reader import BuildOptions
from perception_clip.training.dataset.store import Store
from perception_clip.training.encoders.loading import load_encoder
from perception_clip.training.prompts.templates import Templates
from perception_clip.training.sources import find_items


def main(folder: Path, datasets: Path) -> None:
    torch.set_num_threads(1)
    pipeline, encoder = PerceptionPipeline(), load_encoder("random")
    items, options = find_items(folder).items, BuildOptions(Templates.load())
    for name in sys.stdin:
        child = os.fork()
        if child:
            os.waitpid(child, 0)
            print("ended", flush=True)
            continue
        print(f"started {os.getpid()}", flush=True)
        with Store(datasets / name.strip()) as store:

            def acknowledge(_: float, __: BuildSummary, store: Store = store) -> None:
                print(f"acknowledged {len(store)}", flush=True)

            build(items, store, pipeline, encoder, options, batch=2, progress=acknowledge)
        print("done", flush=True)
        os._exit(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
