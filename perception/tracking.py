"""Track faces from picture to picture of a sequence."""

from __future__ import annotations

import torch
from torch import Tensor

from .engines import Faces
from .landmarks.boxes import overlap

OVERLAP = 0.15  # minimum intersection over union of the boxes of one face in two pictures
PATIENCE = 25  # pictures that a lost face is remembered for: about a second of video


class Tracker:
    """Numbers faces from 0 in the order in which they first appear.

    A face continues a track if its box overlaps the last box of that track; of several candidates, the one whose
    landmarks are nearest on average wins, and each track gets one face. Coordinates are in units of the longer picture
    side, so that the picture size may change.
    """

    def __init__(self) -> None:
        self._picture = 0
        self._next = 0
        self._ids: list[int] = []
        self._seen: list[int] = []  # the picture in which each track was last seen
        self._points = torch.zeros(0, 478, 2)
        self._boxes = torch.zeros(0, 4)

    def update(self, faces: Faces, height: int, width: int) -> list[int]:
        """Return the track of each face in the next picture."""
        side = max(height, width)
        points = faces.landmarks[..., :2] * torch.tensor([width / side, height / side])
        boxes = faces.boxes / side
        tracks = self._match(points, boxes)
        for face, track in enumerate(tracks):
            if track < 0:
                tracks[face] = self._next
                self._next += 1
        self._remember(tracks, points, boxes)
        return tracks

    def _match(self, points: Tensor, boxes: Tensor) -> list[int]:
        """Return the track of each face, −1 for a new one."""
        tracks = [-1] * len(boxes)
        if not tracks or not self._ids:
            return tracks
        distances = (points[:, None] - self._points).norm(dim=-1).mean(dim=-1)  # (F, T)
        shared = overlap(boxes[:, None, :2], boxes[:, None, 2:], self._boxes[:, :2], self._boxes[:, 2:])  # (F, T)
        distances[shared < OVERLAP] = torch.inf
        while distances.isfinite().any():
            face, known = divmod(int(distances.argmin()), len(self._ids))
            tracks[face] = self._ids[known]
            distances[face] = torch.inf
            distances[:, known] = torch.inf
        return tracks

    def _remember(self, tracks: list[int], points: Tensor, boxes: Tensor) -> None:
        """Update the position of each track; tracks that were not seen for long are dropped."""
        here = set(tracks)
        old = [
            index
            for index, track in enumerate(self._ids)
            if track not in here and self._picture - self._seen[index] < PATIENCE
        ]
        self._ids = tracks + [self._ids[index] for index in old]
        self._seen = [self._picture] * len(tracks) + [self._seen[index] for index in old]
        self._points = torch.cat([points, self._points[old]])
        self._boxes = torch.cat([boxes, self._boxes[old]])
        self._picture += 1
