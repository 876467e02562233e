"""What can be said of a face, and how strongly: from its emotions, actions, gaze and head pose.

Left and right are the person's own: a person who turns to the left turns to the picture's right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..vector import EMOTIONS, NEUTRAL
from .names import ACTIONS, values_of

Three = tuple[float, float, float]


@dataclass(frozen=True)
class Trait:
    """What can be said of a face: how far the actions `plus` exceed the actions `minus`, each in their mean.

    The thresholds are measured on photos by tools/choose_action_thresholds.py, as the network's values differ: a mouth
    wide open is 0.55 of its action, a smile as broad 0.88.
    """

    name: str
    plus: tuple[str, ...]
    minus: tuple[str, ...]
    thresholds: Three  # from which value it is slight, plain, strong
    rare: bool = False  # on a composed face; slight values are noise or the shape of the person's face

    def values(self, actions: Tensor) -> Tensor:
        """Return how strongly faces show it (N,), of their actions (N, 52)."""
        value = _mean(actions, self.plus)
        return value - _mean(actions, self.minus) if self.minus else value


def _mean(actions: Tensor, names: Sequence[str]) -> Tensor:
    return torch.stack([values_of(actions, name) for name in names]).mean(dim=0)


# The first ones matter most where there is room for a few only.
TRAITS = (
    Trait("smile", ("mouthSmile",), (), (0.10, 0.57, 0.88)),
    Trait("closed", ("eyeBlink",), (), (0.37, 0.44, 0.61)),
    Trait("wink left", ("eyeBlinkLeft",), ("eyeBlinkRight",), (0.34, 0.40, 0.51), rare=True),
    Trait("wink right", ("eyeBlinkRight",), ("eyeBlinkLeft",), (0.26, 0.31, 0.44), rare=True),
    Trait("wide", ("eyeWide",), (), (0.10, 0.13, 0.23), rare=True),
    Trait("jaw", ("jawOpen",), (), (0.26, 0.35, 0.55)),
    Trait("frown", ("mouthFrown",), (), (0.11, 0.21, 0.45)),
    Trait("brows down", ("browDown",), (), (0.81, 0.86, 0.92)),
    Trait("brows up", ("browOuterUp",), (), (0.42, 0.54, 0.77)),
    Trait("inner brows", ("browInnerUp",), ("browOuterUp",), (0.10, 0.19, 0.35)),
    Trait("narrowed", ("eyeSquint",), ("mouthSmile",), (0.66, 0.70, 0.77)),
    Trait("press", ("mouthPress",), (), (0.24, 0.31, 0.44)),
    Trait("pucker", ("mouthPucker",), (), (0.89, 0.96, 0.99)),
    Trait("upper lip", ("mouthUpperUp",), ("mouthSmile",), (0.21, 0.34, 0.56), rare=True),
    Trait("lower lip", ("mouthLowerDown",), ("mouthSmile",), (0.46, 0.64, 0.85)),
    Trait("stretch", ("mouthStretch",), ("mouthSmile",), (0.29, 0.40, 0.59), rare=True),
    Trait("roll", ("mouthRollLower", "mouthRollUpper"), (), (0.57, 0.68, 0.83)),
    Trait("chin", ("mouthShrugLower",), (), (0.22, 0.35, 0.63)),
    Trait("mouth left", ("mouthLeft",), (), (0.31, 0.36, 0.58), rare=True),
    Trait("mouth right", ("mouthRight",), (), (0.36, 0.43, 0.60), rare=True),
)
TRAIT_NAMES = tuple(trait.name for trait in TRAITS)
EYES = ("closed", "wink left", "wink right")

# Degrees from which a direction is slight, plain, strong. In photos, eyes on the camera read within about 10.
GAZE, TURN, NOD, TILT = (12.0, 20.0, 35.0), (10.0, 20.0, 40.0), (10.0, 18.0, 30.0), (7.0, 15.0, 30.0)
GAZES = ("gaze left", "gaze right", "gaze up", "gaze down", "gaze camera")
POSES = ("turn left", "turn right", "nod up", "nod down", "tilt left", "tilt right")

# Probabilities from which an emotion is slight, plain, strong.
EMOTION = (0.45, 0.60, 0.90)
CALM = 0.25  # from which probability of neutral a face without anything else is called neutral
SMILE = {1: 0.30, 2: 0.20, 3: 0.20}  # the least probability of happy: crying moves the mouth like smiling
UNHAPPY = ("angry", "disgust", "fear", "sad")

NAMES = (*EMOTIONS, *TRAIT_NAMES, *GAZES, *POSES)  # the order counts among equally strong ones


@dataclass(frozen=True)
class Finding:
    """One thing that a face shows."""

    name: str  # one of NAMES
    level: int  # 1: slightly, 2: plainly, 3: strongly


@dataclass(frozen=True)
class _Exclusion:
    """What is left out beside something else, because it contradicts it or says the same."""

    name: str
    others: tuple[str, ...]
    level: int = 1  # from which level on
    most: int = 3  # up to which level of the others


EXCLUSIONS = (
    _Exclusion("smile", (*UNHAPPY, "frown", "brows down", "press", "pucker", "chin"), level=2),
    _Exclusion("smile", ("closed",), level=2, most=1),  # cheeks raised by a smile narrow the eyes
    *(_Exclusion(emotion, ("smile", "wink left", "wink right")) for emotion in UNHAPPY),
    _Exclusion("smile", ("happy", "frown")),
    _Exclusion("happy", ("frown", "brows down")),
    _Exclusion("surprise", ("brows down", "narrowed")),
    _Exclusion("jaw", ("press", "roll", "pucker", "chin")),
    _Exclusion("press", ("pucker", "chin", "roll")),
    _Exclusion("frown", ("chin",)),
    _Exclusion("wide", ("closed", "narrowed")),
    _Exclusion("closed", ("narrowed",)),
    _Exclusion("brows up", ("brows down", "inner brows")),
    _Exclusion("mouth left", ("mouth right",)),
    _Exclusion("closed", GAZES, level=3),
)


def action_findings(actions: Tensor) -> list[Finding]:
    """Return what one face does, of its actions (52,). Raises ValueError for another shape."""
    if actions.shape != (len(ACTIONS),):
        raise ValueError(f"the actions of one face must have the shape ({len(ACTIONS)},), not {tuple(actions.shape)}")
    return findings_of_actions(actions[None])[0]


def findings_of_actions(actions: Tensor) -> list[list[Finding]]:
    """Return what each of N faces does, of their actions (N, 52)."""
    values = torch.stack([trait.values(actions) for trait in TRAITS], dim=1).tolist()  # (N, T)
    found = []
    for face in values:
        levels = [_level(value, trait.thresholds) for value, trait in zip(face, TRAITS, strict=True)]
        named = zip(TRAITS, levels, strict=True)
        found.append([Finding(trait.name, level) for trait, level in named if level >= (2 if trait.rare else 1)])
    return found


def gaze_findings(yaw: float, pitch: float) -> list[Finding]:
    """Return where the eyes look, of degrees as `gaze` returns them."""
    return _directions((yaw, GAZE, GAZES[:2]), (pitch, GAZE, GAZES[2:4])) or [Finding(GAZES[4], 1)]


def pose_findings(yaw: float, pitch: float, roll: float) -> list[Finding]:
    """Return how the head is turned, of degrees as `head_pose` returns them; nothing for a head that is straight."""
    return _directions((yaw, TURN, POSES[:2]), (pitch, NOD, POSES[2:4]), (roll, TILT, POSES[4:]))


def findings(
    actions: Tensor, emotions: Tensor, gaze: tuple[float, float], pose: tuple[float, float, float]
) -> list[Finding]:
    """Return what one face shows, without contradictions: the emotion, then the strongest first.

    Actions are (52,), emotions (7,) probabilities, gaze and pose degrees as `gaze` and `head_pose` return them.
    """
    emotion = _emotion(emotions)
    face = [*([emotion] if emotion else []), *action_findings(actions)]
    happy = float(emotions[EMOTIONS.index("happy")])
    face = [finding for finding in face if finding.name != "smile" or happy >= SMILE[finding.level]]
    if not face and emotions[NEUTRAL] >= CALM:
        face = [Finding(EMOTIONS[NEUTRAL], 2)]
    consistent = _without_contradictions([*face, *gaze_findings(*gaze), *pose_findings(*pose)])
    return sorted(consistent, key=_rank)


def _rank(finding: Finding) -> tuple[bool, int, int]:
    """Emotions come first, then what is strongest; of equally strong ones, the first in NAMES."""
    return finding.name not in EMOTIONS, -finding.level, NAMES.index(finding.name)


def _emotion(emotions: Tensor) -> Finding | None:
    """Return the emotion of a face, if it is strong enough to be said."""
    probability, index = emotions.max(dim=0)
    level = _level(float(probability), EMOTION)
    return Finding(EMOTIONS[index], level) if level and index != NEUTRAL else None


def _without_contradictions(found: list[Finding]) -> list[Finding]:
    levels = {finding.name: finding.level for finding in found}
    for rule in EXCLUSIONS:
        if levels.get(rule.name, 0) >= rule.level:
            levels = {name: level for name, level in levels.items() if not (name in rule.others and level <= rule.most)}
    # Of both eyes closed and of one closed further, only what is plainer.
    plainest = max(EYES, key=lambda name: levels.get(name, 0))
    return [Finding(*item) for item in levels.items() if item[0] not in EYES or item[0] == plainest]


def _directions(*axes: tuple[float, Three, tuple[str, ...]]) -> list[Finding]:
    """Return the directions of angles with their thresholds and the names for positive and negative."""
    found = [Finding(names[angle < 0], _level(abs(angle), thresholds)) for angle, thresholds, names in axes]
    return [finding for finding in found if finding.level]


def _level(value: float, thresholds: Three) -> int:
    return sum(value >= threshold for threshold in thresholds)
