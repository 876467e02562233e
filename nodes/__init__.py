"""ComfyUI's side of the pack; imported only when ComfyUI asks for the nodes."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from . import host
from .dataset_info import DatasetInfo
from .dataset_writer import DatasetWriter
from .edit_perception import EditPerception
from .face_perception import FacePerception
from .face_perception_video import FacePerceptionVideo
from .perception_info import PerceptionInfo
from .perception_projection import PerceptionProjection
from .starter_projection import StarterProjection
from .stored_perception import LoadPerception, SavePerception
from .train_projection import TrainProjection


class PerceptionClipExtension(ComfyExtension):  # type: ignore[misc]  # the host ships no types
    """Lists the pack's nodes."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        host.register_folders()
        return [
            FacePerception,
            FacePerceptionVideo,
            PerceptionInfo,
            EditPerception,
            SavePerception,
            LoadPerception,
            PerceptionProjection,
            DatasetWriter,
            DatasetInfo,
            StarterProjection,
            TrainProjection,
        ]
