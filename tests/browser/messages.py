"""What nodes send to the front end when they have run, so that the layout of a template can be tested without a run."""

from __future__ import annotations

from typing import Any

PHOTO = "512x768.png"  # portrait, which takes more room than a square one
PICTURE = "512x512.png"
REPORT = "1024x742.png"
CHART = "1200x900.png"
PICTURES = PHOTO, PICTURE, REPORT, CHART
LINE = "first of 1 face: shifts the subject “person” (1 token) by 0.43 and the end by 1.2"

# By type: how many lines of text appear on the node, and the picture.
MESSAGES: dict[str, tuple[int, str | None]] = {
    "PreviewImage": (0, PICTURE),
    "SaveImage": (0, PICTURE),
    "SaveVideo": (0, PICTURE),
    "PerceptionClip_CropFaces": (2, None),
    "PerceptionClip_DatasetInfo": (12, REPORT),
    "PerceptionClip_DatasetWriter": (2, PHOTO),
    "PerceptionClip_EditPerception": (2, None),
    "PerceptionClip_EmotionPrompts": (17, None),
    "PerceptionClip_FacePerception": (1, PHOTO),
    "PerceptionClip_FacePerceptionVideo": (2, PICTURE),
    "PerceptionClip_InspectProjection": (8, REPORT),
    "PerceptionClip_JoinPerceptions": (1, None),
    "PerceptionClip_MixByEmotion": (2, None),
    "PerceptionClip_PasteFaces": (1, None),
    "PerceptionClip_PerceptionSchedule": (1, None),
    "PerceptionClip_Projection": (3, None),
    "PerceptionClip_StarterProjection": (1, REPORT),
    "PerceptionClip_StrengthSweep": (2, None),
    "PerceptionClip_SweepChart": (8, CHART),
    "PerceptionClip_TextEncode": (4, None),
    "PerceptionClip_TrainProjection": (4, REPORT),
}


def messages_of(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the event for each node of a workflow that shows something after a run."""
    return [
        {"node": str(node["id"]), "display_node": str(node["id"]), "prompt_id": "test", "output": output(node["type"])}
        for node in workflow["nodes"]
        if node["type"] in MESSAGES
    ]


def output(type: str) -> dict[str, Any]:
    """Return what a node of that type sends: its text and its picture, which is in the host's input folder."""
    lines, picture = MESSAGES[type]
    text = {"text": ["\n".join([LINE] * lines)]} if lines else {}
    return text | ({"images": [{"filename": picture, "subfolder": "", "type": "input"}]} if picture else {})
