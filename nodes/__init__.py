"""The pack's ComfyUI nodes; imported only when ComfyUI asks for them."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .dataset_info import DatasetInfo
from .dataset_writer import DatasetWriter
from .draw_perception import DrawPerception
from .edit_perception import EditPerception
from .emotion_prompts import EmotionPrompts
from .face_actions import FaceActions
from .face_perception import FacePerception
from .face_perception_video import FacePerceptionVideo
from .inspect_projection import InspectProjection
from .join_perceptions import JoinPerceptions
from .perception_arithmetic import PerceptionArithmetic
from .perception_info import PerceptionInfo
from .perception_projection import PerceptionProjection
from .perception_schedule import PerceptionSchedule
from .starter_projection import StarterProjection
from .stored_perception import LoadPerception, SavePerception
from .support import host
from .train_projection import TrainProjection


class PerceptionClipExtension(ComfyExtension):  # type: ignore[misc]  # the host ships no types
    """The list of the pack's nodes for ComfyUI."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        host.register_folders()
        return [
            FacePerception,
            FacePerceptionVideo,
            DrawPerception,
            PerceptionInfo,
            FaceActions,
            EditPerception,
            PerceptionArithmetic,
            JoinPerceptions,
            PerceptionSchedule,
            SavePerception,
            LoadPerception,
            PerceptionProjection,
            InspectProjection,
            EmotionPrompts,
            DatasetWriter,
            DatasetInfo,
            StarterProjection,
            TrainProjection,
        ]
