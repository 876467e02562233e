"""Learn directions that edit the actions of a face: an edit of 0.5 changes its reading by about 0.5, others little.

    python tools/learn_action_basis.py [--data ../shared/data/expression_landmarks.npz] [--out action_basis.safetensors]

A direction is a sum of the expression model's shape components, so that edited faces stay faces. It starts from the
slopes of the action network at neutral faces and then follows its gradient: on neutral faces, moved by several amounts,
the reading should change by the amount and other actions by little; a move that is unusual among real faces is
penalized. The right side's directions are those of the left side, mirrored. Both sides together have directions of
their own: a smile on both is not the sum of a smile on each, which also lifts the other side a little.

Prints for each slider, on neutral faces that were not fitted: the mean change of its reading ÷ the amount, the largest
mean change of another slider's reading and of another action ÷ the amount, and the length of the move for 1 in standard
deviations of real faces. Brows that rise are no longer down, so these two are not compared.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

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


@dataclass(frozen=True)
class Slider:
    """A direction: reading = mean of `plus` − mean of `minus`; `free` are actions that come with it by nature."""

    name: str
    plus: tuple[str, ...]
    minus: tuple[str, ...] = ()
    free: tuple[str, ...] = ()
    amounts: tuple[float, ...] = (0.35, 0.7)
    mirror: str = field(default="")  # the slider of the other side, which is this one mirrored

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
    parser.add_argument("--out", type=Path, help="where to write the directions (S, 478, 3), by slider")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--only", nargs="*", help="names of sliders")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    shapes, actions = ExpressionModel.load(), ActionModel.load()
    fitted, tested = load(arguments.data, shapes, actions)
    basis = whitened(shapes)  # (160, 478, 3)
    torch.set_num_threads(1)
    slopes = jacobian(fitted, basis[:, list(POINTS)], actions.network)  # (52, 160)
    # A person keeps the outline of the face and the nose; below, the jaw moves.
    tip = shapes.template[NOSE_TIP, 1]
    kept = [landmark for landmark in (*FACE_OVAL, *NOSE_BRIDGE) if shapes.template[landmark, 1] <= tip]
    rows = []
    directions: dict[str, Tensor] = {}
    for slider in SLIDERS:
        if arguments.only and slider.name not in arguments.only:
            continue
        started = time.monotonic()
        weights = fit(slider, fitted, basis[:, list(POINTS)], basis[:, kept], slopes, actions.network, arguments.steps)
        direction = torch.tensordot(weights, basis, dims=1)
        other_side = mirrored(direction, shapes.mirror)
        if slider.mirror:
            directions |= {slider.name: direction, slider.mirror: other_side}
        else:
            directions[slider.name] = direction if slider.name == "gaze x" else (direction + other_side) / 2
        rows.append((slider, weights.norm(), time.monotonic() - started))
        print(slider.name, f"{rows[-1][2]:.0f} s", flush=True)
    report(rows, directions, tested, actions.network)
    if arguments.out:
        save_file({name: direction.contiguous() for name, direction in directions.items()}, arguments.out)


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


def fit(
    slider: Slider, faces: Faces, basis: Tensor, kept: Tensor, slopes: Tensor, network: ActionNetwork, steps: int
) -> Tensor:
    """Return the weights (S + A,) of a direction."""
    reading = slider.reading()
    own = reading != 0
    free = own.clone()
    for name in slider.free:
        for each in expand(name):
            free[INDEX[each]] = True
    weights = start(slider, slopes).mul(0.5).requires_grad_()
    optimizer = torch.optim.Adam([weights], lr=RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator = torch.Generator().manual_seed(1)
    amounts = torch.tensor(slider.amounts).repeat_interleave(BATCH)
    for _ in range(steps):
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


def report(
    rows: list[tuple[Slider, Tensor, float]], directions: dict[str, Tensor], faces: Faces, network: ActionNetwork
) -> None:
    """Print what each direction changes on faces that were not fitted."""
    every = {slider.name: slider.reading() for slider, *_ in rows}
    lengths = {slider.name: float(length) for slider, length, _ in rows}
    print("| slider | amount | change ÷ amount | largest other slider | largest other action | sd |")
    print("|---|---|---|---|---|---|")
    count = len(faces.points)
    for name, reading in every.items():
        move = directions[name][list(POINTS)]
        for amount in (-1.0, -0.5, 0.5, 1.0) if name.startswith("gaze") else (0.25, 0.5, 0.75, 1.0):
            with torch.inference_mode():
                changes = faces.moved(network, move, torch.arange(count), torch.full((count,), amount))
            mean = changes.mean(dim=0) / amount  # (52,)
            others = {
                other: float((mean @ weights).abs())
                for other, weights in every.items()
                if not (weights * reading).any() and not (other.startswith("brow") and name.startswith("brow"))
            }
            other = max(others, key=others.__getitem__, default="")
            left = mean.abs() * (reading == 0)
            action = int(left.argmax())
            print(
                f"| {name} | {amount} | {mean @ reading:.2f} | {other} {others.get(other, 0):.2f} | "
                f"{ACTIONS[action]} {left[action]:.2f} | {lengths[name]:.1f} |"
            )


if __name__ == "__main__":
    main()
