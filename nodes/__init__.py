"""The pack's ComfyUI nodes; imported only when ComfyUI asks for them."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .edit.edit_perception import EditPerception
from .edit.join_perceptions import JoinPerceptions
from .edit.perception_arithmetic import PerceptionArithmetic
from .edit.perception_schedule import PerceptionSchedule
from .measure.compare_expressions import CompareExpressions
from .measure.inspect_projection import InspectProjection
from .measure.sweep_chart import SweepChart
from .perceive.describe_face import DescribeFace
from .perceive.draw_perception import DrawPerception
from .perceive.face_actions import FaceActions
from .perceive.face_perception import FacePerception
from .perceive.face_perception_video import FacePerceptionVideo
from .perceive.perception_info import PerceptionInfo
from .perceive.perception_to_face_landmarks import PerceptionToFaceLandmarks
from .perceive.stored_perception import LoadPerception, SavePerception
from .regions.crop_faces import CropFaces
from .regions.face_control_picture import FaceControlPicture
from .regions.face_regions import FaceRegions
from .regions.paste_faces import PasteFaces
from .steer.emotion_prompts import EmotionPrompts
from .steer.mix_by_emotion import MixByEmotion
from .steer.perception_projection import PerceptionProjection
from .steer.strength_sweep import StrengthSweep
from .steer.text_encode_face import TextEncodeFace
from .support import host
from .train.dataset_info import DatasetInfo
from .train.dataset_writer import DatasetWriter
from .train.starter_projection import StarterProjection
from .train.train_projection import TrainProjection


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
            DescribeFace,
            PerceptionToFaceLandmarks,
            EditPerception,
            PerceptionArithmetic,
            JoinPerceptions,
            PerceptionSchedule,
            SavePerception,
            LoadPerception,
            FaceRegions,
            CropFaces,
            PasteFaces,
            FaceControlPicture,
            TextEncodeFace,
            PerceptionProjection,
            InspectProjection,
            EmotionPrompts,
            MixByEmotion,
            StrengthSweep,
            SweepChart,
            CompareExpressions,
            DatasetWriter,
            DatasetInfo,
            StarterProjection,
            TrainProjection,
        ]
