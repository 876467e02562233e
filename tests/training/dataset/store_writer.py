"""Appends samples to a store, one at a time, and prints each number once it is acknowledged.

usage: python store_writer.py STORE NAME COUNT GO   (starts when the file GO exists)
"""

import sys
import time
from pathlib import Path

import torch

from perception_clip.perception.vector import PERCEPTION_DIM
from perception_clip.training.dataset.samples import Samples
from perception_clip.training.dataset.store import Store


def main(path: Path, name: str, count: int, go: Path) -> None:
    print("ready", flush=True)
    while not go.exists():
        time.sleep(0.001)
    embedding = torch.linspace(-1, 1, 768)
    with Store(path) as store:
        store.set_provenance("encoder", embedding, "landmarker", "emotion model")
        for number in range(count):
            vector = torch.zeros(1, PERCEPTION_DIM)
            vector[0, 0], vector[0, -1] = number, 1
            store.append(Samples(vector, torch.tensor([[4, 3]]), [name], embedding[None], [name], [f"{name} {number}"]))
            print(number, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
