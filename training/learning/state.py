"""Save the state of training to a file, so that it can resume after it was stopped or killed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ...common.errors import InputError
from ...common.files import atomic_path
from ...projection.pth_safety import DAMAGED

STATE_FILE = "training.state"  # not a suffix of checkpoints, which the nodes list


@dataclass(frozen=True)
class StateFile:
    """The state of one training run. `identity` has its data, split and settings, name → value."""

    path: Path
    identity: dict[str, Any]

    def write(self, state: dict[str, Any]) -> None:
        """Replace the state atomically."""
        with atomic_path(self.path) as temporary:
            torch.save({"identity": self.identity, "state": state}, temporary)

    def read(self) -> dict[str, Any] | None:
        """Return the state, or None if there is none. No code in the file is ever run.

        Raises ValueError if the file is damaged or belongs to a run with other data or settings.
        """
        if not self.path.is_file():
            return None
        remedy = "restart without --resume"
        damaged = f"{self.path}: the file is damaged or not the state of a training run; {remedy}"
        try:
            content = torch.load(self.path, map_location="cpu", weights_only=True)
        except DAMAGED as error:
            raise InputError(damaged) from error
        identity, state = (content.get(n) if isinstance(content, dict) else None for n in ("identity", "state"))
        if not (isinstance(identity, dict) and isinstance(state, dict)):
            raise InputError(damaged)
        for name, value in self.identity.items():
            if identity.get(name) != value:
                raise InputError(
                    f"{self.path}: the interrupted training had another {name} ({identity.get(name)}, now {value}); "
                    f"use the same {name}, or {remedy}"
                )
        return state

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
