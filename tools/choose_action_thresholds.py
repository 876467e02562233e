"""Choose from which values on a face is called smiling slightly, smiling, or smiling broadly, and so for all traits.

    python tools/choose_action_thresholds.py [--data ../shared/data/expression_landmarks.npz]

Prints for each trait of perception/actions/traits.py the thresholds by rule, those in that file, and which share of the
photos of each label then has the trait. The rule, over photos of faces that look ahead: "slightly" begins where 95 % of
faces labeled neutral are below, or 99 % for traits that are rare (`Trait.rare`); the plain word at the median of all
faces above that; the strong word where a tenth of them are above.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from perception_clip.perception.actions.model import ActionModel
from perception_clip.perception.actions.traits import TRAITS
from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.geometry import head_pose

ROOT = Path(__file__).resolve().parents[1]
AHEAD = 20.0  # degrees: on faces turned further, the hidden side is guessed
LEAST = 0.1  # no trait begins below this
LABELS = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear")
BELOW, BELOW_RARE, STRONG = 0.95, 0.99, 0.9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/expression_landmarks.npz")
    arguments = parser.parse_args()
    with np.load(arguments.data) as file:
        landmarks, labels = torch.from_numpy(file["landmarks"]).float(), file["label"]
        sizes = torch.from_numpy(file["image_size"]).long()
    pose = head_pose(landmarks, sizes, ExpressionModel.load().template)
    ahead = pose[:, :2].abs().amax(dim=1) < AHEAD
    actions, labels = ActionModel.load().actions(landmarks[ahead], sizes[ahead]), labels[ahead.numpy()]
    print(
        "| trait | by rule | in words.py | " + " | ".join(f"{name} {(labels == name).sum()}" for name in LABELS) + " |"
    )
    print("|---|---|---|" + "---|" * len(LABELS))
    for trait in TRAITS:
        values = trait.values(actions).numpy()
        least = max(np.quantile(values[labels == "neutral"], BELOW_RARE if trait.rare else BELOW), LEAST)
        above = values[values >= least]
        rule = least, np.quantile(above, 0.5), np.quantile(above, STRONG)
        shares = [np.mean(values[labels == name] >= trait.thresholds[0]) for name in LABELS]
        cells = [", ".join(f"{value:.2f}" for value in three) for three in (rule, trait.thresholds)]
        print(f"| {trait.name} | {cells[0]} | {cells[1]} | " + " | ".join(f"{share:.2f}" for share in shares) + " |")


if __name__ == "__main__":
    main()
