"""Put actions, gaze and head pose into words, such as "smiling broadly, left eye closed, head slightly tilted".

Actions are the person's own left and right; gaze and head pose are to the left and right of the picture, and say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .names import ACTIONS, values_of

Three = tuple[float, float, float]


@dataclass(frozen=True)
class Phrase:
    """What a face does, in words."""

    trait: str  # what it is about, such as smile or gaze
    text: str
    level: int  # 1: slightly, 2: plainly, 3: strongly


@dataclass(frozen=True)
class Trait:
    """What can be said of a face: how far the actions `plus` exceed the actions `minus`, each in their mean.

    The thresholds are measured on photos by tools/choose_action_thresholds.py, as the network's values differ: a mouth
    wide open is 0.55 of its action, a smile as broad 0.88.
    """

    name: str
    plus: tuple[str, ...]
    minus: tuple[str, ...]
    phrases: tuple[str, str, str]  # slightly, plainly, strongly
    thresholds: Three  # from which value each holds
    rare: bool = False  # on a composed face; smaller values are noise or the shape of the person's face

    def values(self, actions: Tensor) -> Tensor:
        """Return how strongly faces show it (N,), of their actions (N, 52)."""
        value = _mean(actions, self.plus)
        return value - _mean(actions, self.minus) if self.minus else value


def _mean(actions: Tensor, names: Sequence[str]) -> Tensor:
    return torch.stack([values_of(actions, name) for name in names]).mean(dim=0)


def _graded(subject: str, state: str) -> tuple[str, str, str]:
    return f"{subject} slightly {state}", f"{subject} {state}", f"{subject} strongly {state}"


def _closed(subject: str) -> tuple[str, str, str]:
    return f"{subject} slightly closed", f"{subject} half closed", f"{subject} closed"


TRAITS = (
    Trait("smile", ("mouthSmile",), (), ("smiling slightly", "smiling", "smiling broadly"), (0.10, 0.57, 0.88)),
    Trait("jaw", ("jawOpen",), (), ("mouth slightly open", "mouth open", "mouth wide open"), (0.26, 0.35, 0.55)),
    Trait("frown", ("mouthFrown",), (), _graded("mouth corners", "turned down"), (0.11, 0.21, 0.45)),
    Trait(
        "upper lip", ("mouthUpperUp",), ("mouthSmile",), _graded("upper lip", "raised"), (0.21, 0.34, 0.56), rare=True
    ),
    Trait("lower lip", ("mouthLowerDown",), ("mouthSmile",), _graded("lower lip", "drawn down"), (0.46, 0.64, 0.85)),
    Trait(
        "stretch", ("mouthStretch",), ("mouthSmile",), _graded("mouth", "stretched wide"), (0.29, 0.40, 0.59), rare=True
    ),
    Trait("press", ("mouthPress",), (), _graded("lips", "pressed together"), (0.24, 0.31, 0.44)),
    Trait("pucker", ("mouthPucker",), (), _graded("lips", "puckered"), (0.89, 0.96, 0.99)),
    Trait("roll", ("mouthRollLower", "mouthRollUpper"), (), _graded("lips", "drawn in"), (0.57, 0.68, 0.83)),
    Trait("chin", ("mouthShrugLower",), (), _graded("chin", "pushed up"), (0.22, 0.35, 0.63)),
    Trait("mouth left", ("mouthLeft",), (), _graded("mouth", "pulled to the left"), (0.31, 0.36, 0.58), rare=True),
    Trait("mouth right", ("mouthRight",), (), _graded("mouth", "pulled to the right"), (0.36, 0.43, 0.60), rare=True),
    Trait("brows down", ("browDown",), (), _graded("brows", "lowered"), (0.81, 0.86, 0.92)),
    Trait(
        "brows up",
        ("browOuterUp",),
        (),
        ("brows slightly raised", "brows raised", "brows raised high"),
        (0.42, 0.54, 0.77),
    ),
    Trait("inner brows", ("browInnerUp",), ("browOuterUp",), _graded("inner brows", "raised"), (0.10, 0.19, 0.35)),
    Trait("closed", ("eyeBlink",), (), _closed("eyes"), (0.37, 0.44, 0.61)),
    Trait("narrowed", ("eyeSquint",), ("mouthSmile",), _graded("eyes", "narrowed"), (0.66, 0.70, 0.77)),
    Trait(
        "wide",
        ("eyeWide",),
        (),
        ("eyes slightly widened", "eyes widened", "eyes wide open"),
        (0.10, 0.13, 0.23),
        rare=True,
    ),
    Trait(
        "wink left",
        ("eyeBlinkLeft",),
        ("eyeBlinkRight",),
        _closed("left eye"),
        (0.34, 0.40, 0.51),
        rare=True,
    ),
    Trait(
        "wink right",
        ("eyeBlinkRight",),
        ("eyeBlinkLeft",),
        _closed("right eye"),
        (0.26, 0.31, 0.44),
        rare=True,
    ),
)

# Degrees from which a direction is called slight, plain, strong. In photos, eyes on the camera read within about 10.
GAZE, TURN, NOD, TILT = (12.0, 20.0, 35.0), (10.0, 20.0, 40.0), (10.0, 18.0, 30.0), (7.0, 15.0, 30.0)
EYES = ("closed", "wink left", "wink right")
SIDEWAYS = ("to the picture's right", "to the picture's left")


def words_of_actions(actions: Tensor) -> list[Phrase]:
    """Return what one face does, of its actions (52,). Raises ValueError for another shape."""
    if actions.shape != (len(ACTIONS),):
        raise ValueError(f"the actions of one face must have the shape ({len(ACTIONS)},), not {tuple(actions.shape)}")
    phrases = []
    for trait in TRAITS:
        level = _level(float(trait.values(actions[None])), trait.thresholds)
        if level:
            phrases.append(Phrase(trait.name, trait.phrases[level - 1], level))
    # Of both eyes closed and of one closed further, only what is plainer.
    eyes = [phrase for phrase in phrases if phrase.trait in EYES]
    plainest = max(eyes, key=lambda phrase: phrase.level, default=None)
    return [phrase for phrase in phrases if phrase.trait not in EYES or phrase is plainest]


def words_of_gaze(yaw: float, pitch: float) -> list[Phrase]:
    """Return where the eyes look, of degrees as `gaze` returns them."""
    phrases = []
    for angle, (positive, negative) in ((yaw, SIDEWAYS), (pitch, ("up", "down"))):
        if level := _level(abs(angle), GAZE):
            much = ("slightly ", "", "far ")[level - 1]
            phrases.append(Phrase("gaze", f"looking {much}{positive if angle > 0 else negative}", level))
    return phrases or [Phrase("gaze", "looking into the camera", 2)]


def words_of_pose(yaw: float, pitch: float, roll: float) -> list[Phrase]:
    """Return how the head is turned, of degrees as `head_pose` returns them; nothing for a head that is straight."""
    phrases = []
    for name, angle, thresholds, (positive, negative) in (
        ("turn", yaw, TURN, [f"turned {side}" for side in SIDEWAYS]),
        ("nod", pitch, NOD, ("raised", "lowered")),
        ("tilt", roll, TILT, [f"tilted {side}" for side in SIDEWAYS]),
    ):
        if level := _level(abs(angle), thresholds):
            much = ("slightly ", "", "strongly ")[level - 1]
            phrases.append(Phrase(name, f"head {much}{positive if angle > 0 else negative}", level))
    return phrases


def describe(actions: Tensor, gaze: tuple[float, float], pose: tuple[float, float, float]) -> list[Phrase]:
    """Return what one face does, where it looks and how the head is turned; closed eyes look nowhere."""
    phrases = words_of_actions(actions)
    closed = any(phrase.trait == "closed" and phrase.level == 3 for phrase in phrases)
    return [*phrases, *([] if closed else words_of_gaze(*gaze)), *words_of_pose(*pose)]


def _level(value: float, thresholds: Three) -> int:
    return sum(value >= threshold for threshold in thresholds)
