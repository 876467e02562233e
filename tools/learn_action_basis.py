"""Make perception/weights/action_basis.safetensors: directions that edit the actions of a face.

    OMP_NUM_THREADS=1 python tools/learn_action_basis.py --data expression_landmarks.npz

An edit of 0.5 changes its reading by about 0.5, and other readings little. Takes about five minutes on one core.

A direction is a sum of the expression model's shape components, so that edited faces stay faces. It starts from the
slopes of the action network at neutral faces and then follows its gradient: on neutral faces, moved by several amounts,
the reading should change by the amount and other actions by little; a move that is unusual among real faces is
penalized. The right side's directions are those of the left side, mirrored. Both sides together have directions of
their own: a smile on both is not the sum of a smile on each, which also lifts the other side a little.

The reading is a sigmoid of the move: nearly flat at both ends. So each direction has a curve of its own, the lengths of
the move for the amounts in `AMOUNTS`, from the mean reading of the fitted faces.

Prints for each direction, on neutral faces that were not fitted: the mean change of its reading ÷ the amount, and the
largest mean change of another direction's reading and of another action ÷ the amount. Brows that rise are no longer
down, so the directions of brows are not compared with each other.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from perception_clip.perception import weight_files
from perception_clip.perception.actions.basis import AMOUNTS, DIRECTIONS
from perception_clip.perception.actions.model import ActionModel
from perception_clip.perception.actions.names import ACTIONS, BOTH, INDEX
from perception_clip.perception.actions.network import POINTS, ActionNetwork
from perception_clip.perception.emotions.expression import ExpressionModel
from perception_clip.perception.geometry import Alignment, head_pose, true_proportions
from perception_clip.perception.topology import FACE_OVAL, NOSE_BRIDGE

ROOT = Path(__file__).resolve().parents[1]
NOSE_TIP = 4
FITTED, TESTED = 400, 150  # neutral faces
AHEAD = 15.0  # degrees
STEPS, BATCH, RATE = 160, 12, 0.08
SLOPES = 24  # faces that the start is computed from
QUIET = 0.15  # of the amount: what others may change without a penalty
OTHERS, UNUSUAL, OUTLINE = 4.0, 0.0007, 100.0  # weights of the penalties
ASIDE = 0.1  # of the other side's direction, taken from that of one side: what would move with it
LONGEST = 1.1  # of a direction: where a reading no longer rises, longer moves only distort the face
MEASURED = 200  # fitted faces that the curves are measured on


@dataclass(frozen=True)
class Slider:
    """A direction: reading = mean of `plus` − mean of `minus`; `free` are actions that come with it by nature."""

    name: str
    plus: tuple[str, ...]
    minus: tuple[str, ...] = ()
    free: tuple[str, ...] = ()
    amounts: tuple[float, ...] = (0.35, 0.7)
    mirror: str = ""  # the slider of the other side, which is this one mirrored

    def reading(self) -> Tensor:
        """Return weights (52,) of the actions."""
        weights = torch.zeros(len(ACTIONS))
        for names, sign in ((self.plus, 1.0), (self.minus, -1.0)):
            for name in names:
                for each in expand(name):
                    weights[INDEX[each]] += sign / sum(len(expand(name)) for name in names)
        return weights


def expand(name: str) -> tuple[str, ...]:
    return (f"{name}Left", f"{name}Right") if name in BOTH else (name,)


BOTH_SIGNS = (-0.6, 0.6)
SLIDERS = (
    Slider("brow up", ("browOuterUp",), free=("browInnerUp", "browDown", "eyeSquint")),
    Slider("brow up left", ("browOuterUpLeft",), free=("browInnerUp", "browDown", "eyeSquint"), mirror="brow up right"),
    Slider("brow down", ("browDown",), free=("browInnerUp", "browOuterUp", "eyeSquint")),
    Slider(
        "brow down left", ("browDownLeft",), free=("browInnerUp", "browOuterUp", "eyeSquint"), mirror="brow down right"
    ),
    Slider("eye closed", ("eyeBlink",), free=("eyeSquint",)),
    Slider("eye closed left", ("eyeBlinkLeft",), free=("eyeSquint",), mirror="eye closed right"),
    Slider("gaze x", ("eyeLookOutLeft", "eyeLookInRight"), ("eyeLookInLeft", "eyeLookOutRight"), amounts=BOTH_SIGNS),
    Slider("gaze y", ("eyeLookUp",), ("eyeLookDown",), free=("eyeSquint",), amounts=BOTH_SIGNS),
    Slider("jaw open", ("jawOpen",), free=("mouthLowerDown",)),
    Slider("smile", ("mouthSmile",), free=("mouthDimple", "mouthUpperUp", "eyeSquint", "mouthPucker")),
    Slider(
        "smile left",
        ("mouthSmileLeft",),
        free=("mouthDimpleLeft", "mouthUpperUpLeft", "eyeSquintLeft", "mouthPucker"),
        mirror="smile right",
    ),
    Slider("frown", ("mouthFrown",), free=("mouthShrugLower",)),
    Slider("pucker", ("mouthPucker",)),
    Slider("press", ("mouthPress",)),
)


@dataclass(frozen=True)
class Faces:
    """Neutral faces in true proportions, the points that the network reads, and how the template lies in them."""

    points: Tensor  # (N, 146, 2)
    pose: Alignment
    before: Tensor  # (N, 52)

    def moved(self, network: ActionNetwork, move: Tensor, rows: Tensor, amounts: Tensor) -> Tensor:
        """Return the change of the actions (N, 52) of faces `rows` moved by `amounts` × a move (146, 3)."""
        steps = amounts[:, None, None] * move  # (N, 146, 3)
        turned = steps @ self.pose.rotation[rows].transpose(1, 2) / self.pose.scale[rows, None, None]
        return network(self.points[rows] + turned[..., :2]) - self.before[rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/expression_landmarks.npz")
    parser.add_argument("--out", type=Path, default=weight_files.FOLDER / "action_basis.safetensors")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    shapes, actions = ExpressionModel.load(), ActionModel.load()
    fitted, tested = load(arguments.data, shapes, actions)
    directions = learn(fitted, shapes, actions.network)
    curves = {slider.name: curve(slider, directions[slider.name], fitted, actions.network) for slider in SLIDERS}
    curves |= {slider.mirror: curves[slider.name] for slider in SLIDERS if slider.mirror}
    tensors = {
        "directions": torch.stack([directions[name] for name in DIRECTIONS]).half(),
        "curves": torch.stack([curves[name] for name in DIRECTIONS]).half(),
    }
    origin = {
        "made_by": "tools/learn_action_basis.py",
        "data_sha256": hashlib.sha256(arguments.data.read_bytes()).hexdigest(),
        "faces": FITTED,
        "action_model": actions.identity,
        "expression_model": shapes.identity,
    }
    arguments.out.write_bytes(save(tensors, metadata={"origin": json.dumps(origin, sort_keys=True)}))
    print(f"{arguments.out}: SHA-256 {hashlib.sha256(arguments.out.read_bytes()).hexdigest()}")
    report(directions, curves, tested, actions.network)


def learn(fitted: Faces, shapes: ExpressionModel, network: ActionNetwork) -> dict[str, Tensor]:
    """Return the directions (478, 3) in the template frame by name."""
    basis = whitened(shapes)  # (160, 478, 3)
    slopes = jacobian(fitted, basis[:, list(POINTS)], network)  # (52, 160)
    # A person keeps the outline of the face and the nose; below, the jaw moves.
    tip = shapes.template[NOSE_TIP, 1]
    kept = [landmark for landmark in (*FACE_OVAL, *NOSE_BRIDGE) if shapes.template[landmark, 1] <= tip]
    directions: dict[str, Tensor] = {}
    for slider in SLIDERS:
        weights = fit(slider, fitted, basis[:, list(POINTS)], basis[:, kept], slopes, network)
        direction = torch.tensordot(weights, basis, dims=1)
        other_side = mirrored(direction, shapes.mirror)
        if slider.mirror:
            directions |= {
                slider.name: direction - ASIDE * other_side,
                slider.mirror: other_side - ASIDE * direction,
            }
        else:
            directions[slider.name] = direction if slider.name == "gaze x" else (direction + other_side) / 2
        print(slider.name, flush=True)
    return directions


def curve(slider: Slider, direction: Tensor, faces: Faces, network: ActionNetwork) -> Tensor:
    """Return the lengths (4,) of a move whose mean change of the reading is each of `AMOUNTS`, at most `LONGEST`."""
    lengths = torch.linspace(0, LONGEST, 12)
    signs = (1.0, -1.0) if min(slider.amounts) < 0 else (1.0,)
    readings = [
        sum(sign * mean_change(direction, sign * float(length), faces, network) @ slider.reading() for sign in signs)
        for length in lengths
    ]
    rising = np.maximum.accumulate(np.array(readings) / len(signs)) + 1e-6 * np.arange(len(lengths))
    found = np.interp(AMOUNTS, rising, lengths.numpy())
    found[2] = min(found[2], (found[1] + found[3]) / 2)  # a reading that never gets there: the rest of the way evenly
    return torch.from_numpy(found).float()


def mean_change(direction: Tensor, length: float, faces: Faces, network: ActionNetwork) -> Tensor:
    """Return the mean change of the actions (52,) of some faces moved by `length` × a direction (478, 3)."""
    with torch.inference_mode():
        parts = [
            faces.moved(network, direction[list(POINTS)], rows, torch.full((len(rows),), length))
            for rows in torch.arange(min(len(faces.points), MEASURED)).split(50)
        ]
    return torch.cat(parts).mean(dim=0)


def load(path: Path, shapes: ExpressionModel, actions: ActionModel) -> tuple[Faces, Faces]:
    """Return neutral faces that look ahead, to fit and to test."""
    with np.load(path) as file:
        neutral = torch.from_numpy(file["label"] == "neutral")
        landmarks = torch.from_numpy(file["landmarks"]).float()[neutral]
        sizes = torch.from_numpy(file["image_size"]).long()[neutral]
    ahead = head_pose(landmarks, sizes, shapes.template)[:, :2].abs().amax(dim=1) < AHEAD
    chosen = ahead.nonzero()[:, 0]
    chosen = chosen[torch.randperm(len(chosen), generator=torch.Generator().manual_seed(0))[: FITTED + TESTED]]
    landmarks, sizes = landmarks[chosen], sizes[chosen]
    before = actions.actions(landmarks, sizes)
    points = true_proportions(landmarks, sizes)[:, list(POINTS), :2]
    pose = shapes.align(landmarks, sizes)
    made = [
        Faces(
            points[part],
            Alignment(*(getattr(pose, name)[part] for name in ("points", "rotation", "scale", "center"))),
            before[part],
        )
        for part in (slice(FITTED), slice(FITTED, None))
    ]
    return made[0], made[1]


def whitened(shapes: ExpressionModel) -> Tensor:
    """Return moves (S + A, 478, 3): in weights of them, real faces of one emotion are white noise."""
    root = torch.linalg.cholesky(shapes.covariance.double()).float()  # (S, S)
    symmetric = torch.tensordot(root.T, shapes.symmetric, dims=1)
    antisymmetric = shapes.asymmetry[:, None, None] * shapes.antisymmetric
    return torch.cat([symmetric, antisymmetric])


def jacobian(faces: Faces, basis: Tensor, network: ActionNetwork) -> Tensor:
    """Return how the actions change with the weights of moves, (52, S + A), in the mean over a few faces."""
    weights = torch.zeros(len(basis), requires_grad=True)
    rows = torch.arange(SLOPES)
    changes = faces.moved(network, torch.tensordot(weights, basis, dims=1), rows, torch.ones(SLOPES)).mean(dim=0)
    gradients = [torch.autograd.grad(change, weights, retain_graph=True)[0] for change in changes]
    return torch.stack(gradients)


def start(slider: Slider, slopes: Tensor) -> Tensor:
    """Return weights (S + A,) that are right for small changes: the shortest that change the reading and no other."""
    reading = slider.reading()
    wanted = torch.where(reading != 0, reading.sign(), 0.0)
    heavy = slopes.norm(dim=1) > 0.01 * slopes.norm(dim=1).max()
    matter = heavy | (reading != 0)
    for name in slider.free:
        for each in expand(name):
            matter[INDEX[each]] = reading[INDEX[each]] != 0
    rows = slopes[matter]
    ridge = 0.05 * (rows @ rows.T).diagonal().mean() * torch.eye(len(rows))
    weights: Tensor = rows.T @ torch.linalg.solve(rows @ rows.T + ridge, wanted[matter])
    return weights


def fit(slider: Slider, faces: Faces, basis: Tensor, kept: Tensor, slopes: Tensor, network: ActionNetwork) -> Tensor:
    """Return the weights (S + A,) of a direction."""
    reading = slider.reading()
    own = reading != 0
    free = own.clone()
    for name in slider.free:
        for each in expand(name):
            free[INDEX[each]] = True
    weights = start(slider, slopes).mul(0.5).requires_grad_()
    optimizer = torch.optim.Adam([weights], lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    generator = torch.Generator().manual_seed(1)
    amounts = torch.tensor(slider.amounts).repeat_interleave(BATCH)
    for _ in range(STEPS):
        rows = torch.randint(len(faces.points), (BATCH,), generator=generator).repeat(len(slider.amounts))
        changes = faces.moved(network, torch.tensordot(weights, basis, dims=1), rows, amounts)  # (N, 52)
        relative = changes / amounts[:, None]
        # In the mean over faces of each amount: a face that shows an action already cannot show much more of it.
        mean = relative.unflatten(0, (-1, BATCH)).mean(dim=1)  # (amounts, 52)
        missed = (mean @ reading - 1) ** 2
        excess = (mean[:, ~free].abs() - QUIET).clamp_min(0) ** 2
        sides = ((mean[:, own] / reading[own].sign() - 1) ** 2).mean() if own.sum() > 1 else torch.zeros(())
        outline = torch.tensordot(weights, kept, dims=1).square().sum(dim=1).mean()
        loss = (
            missed.mean()
            + OUTLINE * outline
            + OTHERS * excess.sum(dim=1).mean()
            + 0.3 * sides
            + UNUSUAL * (weights**2).sum()
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return weights.detach()


def mirrored(direction: Tensor, mirror: Tensor) -> Tensor:
    """Return a direction (478, 3) for the other side."""
    return direction[mirror] * torch.tensor([-1.0, 1.0, 1.0])


def report(directions: dict[str, Tensor], curves: dict[str, Tensor], faces: Faces, network: ActionNetwork) -> None:
    """Print what each direction changes on faces that were not fitted."""
    every = {slider.name: slider.reading() for slider in SLIDERS}
    print("| direction | amount | change ÷ amount | largest other direction | largest other action |")
    print("|---|---|---|---|---|")
    for name, reading in every.items():
        for sign in (-1, 1) if name.startswith("gaze") else (1,):
            for amount, length in zip(AMOUNTS, curves[name].tolist(), strict=True):
                mean = mean_change(directions[name], sign * length, faces, network) / (sign * amount)  # (52,)
                others = {
                    other: float((mean @ weights).abs())
                    for other, weights in every.items()
                    if not (weights * reading).any() and not (other.startswith("brow") and name.startswith("brow"))
                }
                other = max(others, key=others.__getitem__)
                left = mean.abs() * (reading == 0)
                action = int(left.argmax())
                print(
                    f"| {name} | {sign * amount} | {mean @ reading:.2f} | {other} {others[other]:.2f} | "
                    f"{ACTIONS[action]} {left[action]:.2f} |"
                )


if __name__ == "__main__":
    main()
