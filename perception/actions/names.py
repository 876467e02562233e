"""The names of the 52 actions, as Apple's ARKit and MediaPipe have them, in the order of MediaPipe's network.

Left and right are the person's own, as everywhere in the pack. `_neutral` is not ARKit's, and nearly always 0.
"""

from __future__ import annotations

from torch import Tensor

ACTIONS = (
    "_neutral",
    *("browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight"),
    *("cheekPuff", "cheekSquintLeft", "cheekSquintRight"),
    *("eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight", "eyeLookInLeft", "eyeLookInRight"),
    *("eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight"),
    *("eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight"),
    *("jawForward", "jawLeft", "jawOpen", "jawRight"),
    *("mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel"),
    *("mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker"),
    *("mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper"),
    *("mouthSmileLeft", "mouthSmileRight", "mouthStretchLeft", "mouthStretchRight"),
    *("mouthUpperUpLeft", "mouthUpperUpRight", "noseSneerLeft", "noseSneerRight"),
)
INDEX = {name: index for index, name in enumerate(ACTIONS)}

# Actions that both sides of a face can do together: without Left or Right, a name is the mean of both.
BOTH = (
    *("browDown", "browOuterUp", "cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookUp", "eyeSquint", "eyeWide"),
    *("mouthDimple", "mouthFrown", "mouthLowerDown", "mouthPress", "mouthSmile", "mouthStretch", "mouthUpperUp"),
    "noseSneer",
)
NAMES = tuple(sorted((*BOTH, *ACTIONS[1:])))  # what can be chosen


def values_of(actions: Tensor, name: str) -> Tensor:
    """Return one action (N,) of `actions` (N, 52), by a name in `NAMES`. Raises KeyError for another name."""
    if name in BOTH:
        return (actions[:, INDEX[f"{name}Left"]] + actions[:, INDEX[f"{name}Right"]]) / 2
    return actions[:, INDEX[name]]
